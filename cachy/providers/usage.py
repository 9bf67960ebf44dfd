"""How many tokens an answer has cost, as it says itself: read from JSON documents and from streams of all known APIs.

As with the end of a stream, the API is recognised by what the answer says, not by host or path. Nothing of this
runs when a call is replayed: it is for those who look at recordings.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from ..exchange import Request, Response
from . import rpc
from .streams import frames, json_lines, sse

Json = Any
Counts = dict[str, Json]


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of one answer. Where the counts differ in what they include, they are added up here."""

    input: int = 0
    """All that was read, what came from a cache included."""
    output: int = 0
    """All that was written, what was only thought included."""
    cached: int = 0
    """The part of `input` that came from a cache."""
    reasoning: int = 0
    """The part of `output` that was only thought."""
    model: str = ""
    """Who answered, as the answer says, else as the request does."""


def usage(request: Request, response: Response) -> Usage | None:
    """The tokens that an answer says it has cost, or None when it says nothing of the kind."""
    told = [value for value in documents(response) if isinstance(value, dict)]
    if request.method == "GET":
        # Who fetches an answer a second time pays nothing; a job tells what it has cost when it is done.
        told = [value for value in told if value.get("background") or value.get("object") == _RUN]
    for dialect in _DIALECTS:
        found = dialect(told)
        if found is not None:
            return found if found.model else replace(found, model=model_asked(request))
    return _in_headers(request, response)


_RUN = "thread.run"


# Each of these knows one API: from the documents of an answer (one, or the events of a stream) to Usage or None.


def _anthropic(documents: list[Counts]) -> Usage | None:
    """`input_tokens` leaves out what the cache took part in; a stream counts at its start and again at its end."""
    counts: Counts = {}
    model = ""
    for document in documents:
        message = document.get("message")
        for holder in (message if isinstance(message, dict) else {}, document):
            given = holder.get("usage")
            if isinstance(given, dict) and holder.get("type") in ("message", "message_delta"):
                counts |= {name: value for name, value in given.items() if value is not None}
                model = _text(holder, "model") or model
    if not counts:
        return None
    cached = _number(counts, "cache_read_input_tokens")
    read = _number(counts, "input_tokens") + cached + _number(counts, "cache_creation_input_tokens")
    return Usage(read, _number(counts, "output_tokens"), cached, model=model)


def _gemini(documents: list[Counts]) -> Usage | None:
    """Thoughts and what tools brought in are counted apart; each chunk counts all that there was so far."""
    counts: Counts = {}
    model = ""
    for document in documents:
        given = document.get("usageMetadata")
        if isinstance(given, dict):
            counts |= given
            model = _text(document, "modelVersion") or model
    if "promptTokenCount" not in counts:
        return None
    thoughts = _number(counts, "thoughtsTokenCount")
    return Usage(
        input=_number(counts, "promptTokenCount") + _number(counts, "toolUsePromptTokenCount"),
        output=_number(counts, "candidatesTokenCount", "responseTokenCount") + thoughts,
        cached=_number(counts, "cachedContentTokenCount"),
        reasoning=thoughts,
        model=model,
    )


def _gemini_interaction(documents: list[Counts]) -> Usage | None:
    for holder in _holders(documents, "interaction"):
        given = holder.get("usage")
        if isinstance(given, dict) and "total_input_tokens" in given:
            thoughts = _number(given, "total_thought_tokens", "total_reasoning_tokens")
            return Usage(
                input=_number(given, "total_input_tokens") + _number(given, "total_tool_use_tokens"),
                output=_number(given, "total_output_tokens") + thoughts,
                cached=_number(given, "total_cached_tokens"),
                reasoning=thoughts,
                model=_text(holder, "model"),
            )
    return None


def _bedrock_converse(documents: list[Counts]) -> Usage | None:
    """Here too `inputTokens` leaves out the cache. Nova's `invoke` counts alike."""
    for document in reversed(documents):
        given = document.get("usage")
        if isinstance(given, dict) and "inputTokens" in given:
            cached = _number(given, "cacheReadInputTokens", "cacheReadInputTokenCount")
            written = _number(given, "cacheWriteInputTokens", "cacheWriteInputTokenCount")
            return Usage(
                _number(given, "inputTokens") + cached + written, _number(given, "outputTokens"), cached
            )
    return None


def _bedrock_invoke(documents: list[Counts]) -> Usage | None:
    """What Bedrock adds to the last event of a stream, and how Titan and Llama count."""
    for document in reversed(documents):
        given = document.get("amazon-bedrock-invocationMetrics")
        if isinstance(given, dict):
            cached = _number(given, "cacheReadInputTokenCount")
            read = _number(given, "inputTokenCount") + cached + _number(given, "cacheWriteInputTokenCount")
            return Usage(read, _number(given, "outputTokenCount"), cached)
        if "inputTextTokenCount" in document:
            results = document.get("results")
            written = [_number(one, "tokenCount") for one in results or () if isinstance(one, dict)]
            return Usage(_number(document, "inputTextTokenCount"), sum(written))
        if "generation_token_count" in document:
            return Usage(_number(document, "prompt_token_count"), _number(document, "generation_token_count"))
    return None


def _cohere(documents: list[Counts]) -> Usage | None:
    """Version 2 (`usage`), version 1 (`meta`); `tokens` are counted, `billed_units` are paid for."""
    for document in reversed(documents):
        delta, answer = document.get("delta"), document.get("response")
        for holder in (document, delta, answer):
            for field in ("usage", "meta"):
                given = holder.get(field) if isinstance(holder, dict) else None
                if not isinstance(given, dict):
                    continue
                for counts in (given.get("tokens"), given.get("billed_units")):
                    if isinstance(counts, dict) and "input_tokens" in counts:
                        read, written = _number(counts, "input_tokens"), _number(counts, "output_tokens")
                        return Usage(read, written, _number(given, "cached_tokens"))
    return None


def _openai(documents: list[Counts]) -> Usage | None:
    """Chat, responses, embeddings, images and audio, of all who speak OpenAI's API (Mistral and Voyage too).

    Where each chunk of a stream counts, the last one counts all.
    """
    model = ""
    for document in documents:
        model = model or _text(document, "model")
    for holder in _holders(documents, "response"):
        given = holder.get("usage")
        groq = holder.get("x_groq")
        if not isinstance(given, dict) and isinstance(groq, dict):
            given = groq.get("usage")
        if isinstance(given, dict) and any(name in given for name in _OPENAI_COUNTS):
            return replace(_openai_counts(given), model=_text(holder, "model") or model)
    return None


_OPENAI_COUNTS = ("prompt_tokens", "input_tokens", "total_tokens")


def _openai_counts(given: Counts) -> Usage:
    read = _number(given, "prompt_tokens", "input_tokens")
    written = _number(given, "completion_tokens", "output_tokens")
    total = _number(given, "total_tokens")
    if not read and not written:
        read = total  # Voyage's embeddings
    reasoning = _part(given, ("completion_tokens_details", "output_tokens_details"), "reasoning_tokens")
    if reasoning and total == read + written + reasoning:
        written += reasoning  # xAI counts the thoughts apart
    cached = _part(given, ("prompt_tokens_details", "input_tokens_details"), "cached_tokens")
    others = ("cached_tokens", "num_cached_tokens", "prompt_cache_hit_tokens")  # Together, Mistral, DeepSeek
    return Usage(read, written, cached or _number(given, *others), reasoning)


def _xai(documents: list[Counts]) -> Usage | None:
    """xAI over gRPC, thoughts counted apart; each chunk of a stream counts all that there was so far."""
    for holder in _holders(documents, "response"):
        given = holder.get("usage")
        if isinstance(given, dict) and ("promptTokens" in given or "completionTokens" in given):
            thoughts = _number(given, "reasoningTokens")
            return Usage(
                input=_number(given, "promptTokens"),
                output=_number(given, "completionTokens") + thoughts,
                cached=_number(given, "cachedPromptTextTokens"),
                reasoning=thoughts,
                model=_text(holder, "model"),
            )
    return None


def _ollama(documents: list[Counts]) -> Usage | None:
    for document in reversed(documents):
        if "prompt_eval_count" in document or "eval_count" in document:
            read, written = _number(document, "prompt_eval_count"), _number(document, "eval_count")
            return Usage(read, written, model=_text(document, "model"))
    return None


def _hugging_face(documents: list[Counts]) -> Usage | None:
    """Text generation, which counts only when asked for details."""
    for document in reversed(documents):
        given = document.get("details")
        if isinstance(given, dict) and "generated_tokens" in given:
            prefill = given.get("prefill")
            read = _number(given, "input_length") or len(prefill if isinstance(prefill, list) else ())
            return Usage(read, _number(given, "generated_tokens"))
    return None


_DIALECTS: tuple[Callable[[list[Counts]], Usage | None], ...] = (
    _anthropic,
    _gemini,
    _gemini_interaction,
    _bedrock_converse,
    _cohere,
    _openai,
    _xai,
    _bedrock_invoke,
    _ollama,
    _hugging_face,
)


def _in_headers(request: Request, response: Response) -> Usage | None:
    """How Bedrock's `invoke` counts for every model."""
    read, written = (response.header(f"x-amzn-bedrock-{what}-token-count") for what in ("input", "output"))
    if not read.isdecimal():
        return None
    cached = response.header("x-amzn-bedrock-cache-read-input-token-count")
    both = [int(text) if text.isdecimal() else 0 for text in (cached, written)]
    return Usage(int(read) + both[0], both[1], both[0], model=model_asked(request))


_IN_PATH = re.compile(r"/(?:model|models|tunedModels|deployments)/([^/:]+(?::\d+)?)")


def model_asked(request: Request) -> str:
    """The model that a request names in its body or its path, or ""."""
    data = request.body.data
    if data and data.lstrip()[:1] == b"{":
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            value = {}
        if model := _text(value, "model"):
            return model
    found = _IN_PATH.search(unquote(request.split().path))
    return found[1] if found else ""


def documents(response: Response) -> list[Json]:
    """The JSON documents of an answer, each event of a stream being one."""
    if rpc.is_answer(response):
        return rpc.messages(response)
    body = response.body
    kind = response.header("content-type").partition(";")[0].strip().lower()
    if kind == "application/vnd.amazon.eventstream":
        try:
            return [_unwrapped(payload) for _, payload in frames(body)]
        except ValueError:
            return []
    if kind != "text/event-stream":
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            value = None
        if value is not None:
            return value if isinstance(value, list) else [value]
    lines = json_lines(body)[0] if body.lstrip()[:1] == b"{" else sse(body)[0]
    return [event.json() for event in lines]


def _unwrapped(payload: bytes) -> Json:
    """An event of Bedrock's, or the model's own event that it wraps in base64."""
    try:
        value = json.loads(payload)
        return json.loads(base64.b64decode(value["bytes"])) if "bytes" in value else value
    except (ValueError, TypeError, RecursionError):
        return None


def _holders(documents: list[Counts], field: str) -> Iterator[Counts]:
    """The documents and what they hold in `field`, the last ones first."""
    for document in reversed(documents):
        inner = document.get(field)
        if isinstance(inner, dict):
            yield inner
        yield document


def _number(counts: Json, *names: str) -> int:
    """The first of these fields that is a number."""
    for name in names:
        value = counts.get(name) if isinstance(counts, dict) else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            return int(value)
    return 0


def _part(counts: Counts, fields: tuple[str, ...], name: str) -> int:
    return next((found for field in fields if (found := _number(counts.get(field), name))), 0)


def _text(value: Json, name: str) -> str:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""
