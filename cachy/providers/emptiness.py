"""Answers that are well-formed and have nothing in them: what an overloaded server hands out with status 200.

A model may say nothing and mean it (a limit of zero tokens, a filter, a tool's result that needs no comment): an
answer counts as empty only when the server itself says that no token was written, for no other reason than being done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .base import Json, Unrecordable, words

# Being done, in all dialects; every other reason (a limit, a filter, a refusal) explains an empty answer.
_JUST_DONE = words("stop end_turn STOP COMPLETE completed FINISH_REASON_UNSPECIFIED") | {""}


@dataclass
class _Seen:
    """What the documents of one answer say, each event of a stream being one."""

    generated: bool = False
    """Whether it is the answer of a model in a known dialect."""
    lacks: str = ""
    """What every such answer has, until it has been seen."""
    says: bool = False
    reason: str = ""
    tokens: int | None = None


def nothing_in(documents: Iterable[Json]) -> Unrecordable:
    """The reason when the documents of an answer, taken together, are an empty answer of a model."""
    seen = _Seen()
    for document in documents:
        if isinstance(document, dict):
            for look in _DIALECTS:
                look(document, seen)
    if not seen.generated or seen.says:
        return None
    if seen.lacks:
        return f"the answer is empty: it has no {seen.lacks}"
    if seen.tokens == 0 and seen.reason in _JUST_DONE:
        return "the answer is empty: no token was written"
    return None


def _openai(document: dict[str, Json], seen: _Seen) -> None:
    choices = document.get("choices")
    if not isinstance(choices, list):
        return
    if not seen.generated:
        seen.generated, seen.lacks = True, "choices"
    seen.tokens = _count(document, "usage", "completion_tokens", seen.tokens)
    for choice in choices:
        seen.lacks = ""
        if isinstance(choice, dict):
            said = choice.get("message") or choice.get("delta")
            seen.says |= _filled(said) or bool(choice.get("text"))
            seen.reason = choice.get("finish_reason") or seen.reason


def _listed(document: dict[str, Json], seen: _Seen) -> None:
    """OpenAI's embeddings and images: a list that is not one of what lies at the provider."""
    data = document.get("data")
    made = "usage" in document if document.get("object") == "list" else "created" in document
    if isinstance(data, list) and made:
        seen.generated = True
        seen.says |= bool(data)
        seen.lacks = "data"


def _responses(document: dict[str, Json], seen: _Seen) -> None:
    answer = document.get("response", document)
    if isinstance(answer, dict) and answer.get("object") == "response":
        seen.generated = True
        seen.says |= bool(answer.get("output"))
        seen.reason = answer.get("status") or seen.reason
        seen.tokens = _count(answer, "usage", "output_tokens", seen.tokens)


def _anthropic(document: dict[str, Json], seen: _Seen) -> None:
    kind = document.get("type")
    answer = document.get("message") if kind == "message_start" else document
    if kind in ("message", "message_start", "message_delta") and isinstance(answer, dict):
        seen.generated = True
        seen.says |= _blocks(answer.get("content"))
        ended = answer.get("delta") if kind == "message_delta" else answer
        seen.reason = (ended.get("stop_reason") if isinstance(ended, dict) else "") or seen.reason
        seen.tokens = _count(answer, "usage", "output_tokens", seen.tokens)
    elif kind == "content_block_start":
        seen.says |= _blocks([document.get("content_block")])
    elif kind == "content_block_delta":
        seen.says = True


def _gemini(document: dict[str, Json], seen: _Seen) -> None:
    if (
        not {"candidates", "usageMetadata", "modelVersion"} & document.keys()
        or "embeddings" in document
        or "embedding" in document
    ):
        return
    feedback = document.get("promptFeedback")
    if isinstance(feedback, dict) and feedback.get("blockReason"):
        seen.says = True
    if not seen.generated:
        seen.generated, seen.lacks = True, "candidates"
    thoughts = _count(document, "usageMetadata", "thoughtsTokenCount", 0)
    # A field that is zero is left out.
    seen.tokens = (_count(document, "usageMetadata", "candidatesTokenCount", 0) or 0) + (thoughts or 0)
    for candidate in document.get("candidates") or ():
        seen.lacks = ""
        if isinstance(candidate, dict):
            content = candidate.get("content")
            parts = content.get("parts") if isinstance(content, dict) else None
            seen.says |= any(_filled(part) for part in parts or ())
            seen.reason = candidate.get("finishReason") or seen.reason


def _converse(document: dict[str, Json], seen: _Seen) -> None:
    """Bedrock's `converse` and its stream, whose events do not name themselves here."""
    output = document.get("output")
    message = output.get("message") if isinstance(output, dict) else None
    if isinstance(message, dict) or "stopReason" in document:
        seen.generated = True
        seen.says |= isinstance(message, dict) and _blocks(message.get("content"))
        seen.reason = document.get("stopReason") or seen.reason
    if "contentBlockIndex" in document:
        seen.says |= bool(document.get("delta") or document.get("start"))
    seen.tokens = _count(document, "usage", "outputTokens", seen.tokens)


def _cohere(document: dict[str, Json], seen: _Seen) -> None:
    kind = document.get("type")
    ended = document.get("delta") if kind == "message-end" else document
    if isinstance(ended, dict) and isinstance(ended.get("finish_reason"), str):
        seen.generated = True
        seen.reason = ended["finish_reason"]
        message = ended.get("message")
        seen.says |= _filled(message) or bool(ended.get("text"))
        usage = ended.get("usage")
        seen.tokens = (
            _count(usage, "tokens", "output_tokens", seen.tokens) if isinstance(usage, dict) else None
        )
    elif kind in ("content-delta", "tool-plan-delta", "tool-call-start", "tool-call-delta"):
        seen.says = True


def _ollama(document: dict[str, Json], seen: _Seen) -> None:
    if not isinstance(document.get("done"), bool):
        return
    seen.generated = True
    seen.says |= _filled(document.get("message")) or bool(
        document.get("response") or document.get("thinking")
    )
    seen.reason = document.get("done_reason") or seen.reason
    if document["done"]:
        count = document.get("eval_count", 0)  # a zero is left out
        seen.tokens = count if isinstance(count, int) else None


_DIALECTS: tuple[Callable[[dict[str, Json], _Seen], None], ...] = (
    _openai,
    _listed,
    _responses,
    _anthropic,
    _gemini,
    _converse,
    _cohere,
    _ollama,
)


def _filled(said: Json) -> bool:
    """Whether a message, or a part of one, has anything in it but its role."""
    if not isinstance(said, dict):
        return bool(said)
    for name, value in said.items():
        if name in ("role", "type"):
            continue
        if _blocks(value) if name == "content" else bool(value):
            return True
    return False


def _blocks(content: Json) -> bool:
    """Whether content has anything in it: a text, or blocks that are more than an empty text."""
    return any(_filled(block) for block in content) if isinstance(content, list) else bool(content)


def _count(document: dict[str, Json], field: str, name: str, otherwise: int | None) -> int | None:
    counts = document.get(field)
    value = counts.get(name) if isinstance(counts, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise
