"""How the streams of each known API end, told by their events alone.

A stream is recognised by what its first events say, not by host or path: clouds and gateways serve the
dialects of several providers under paths of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from .base import LEFT, Json, Unrecordable, words
from .emptiness import nothing_in
from .streams import Event

CUT = "the stream ended without its end marker"
_FIRST = 3  # events looked at to recognise a dialect: some servers begin with a ping or an empty chunk


def stream_ended(events: Sequence[Event], at_boundary: bool, clean: bool) -> Unrecordable:
    """Whether a stream of events ended well, and said anything.

    `at_boundary`: its bytes end where an event ends. `clean`: it was read to the end.
    """
    if all(event.data.startswith(b"[DONE]") for event in events):
        return "the stream was empty" if clean or events else LEFT
    reason = _ended(events, at_boundary, clean)
    return nothing_in(event.json() for event in events) if reason is None else reason


def _ended(events: Sequence[Event], at_boundary: bool, clean: bool) -> Unrecordable:
    for first in events[:_FIRST]:
        value = first.json()
        if problem := error_in(value):
            return problem
        kind = first.kind()
        for marked in _MARKED:
            if kind.startswith(marked.begins):
                return marked.ended(events, clean)
        if isinstance(value, dict):
            for field, ended in _BY_FIELD.items():
                if field in value:
                    return ended(events, clean)
    return _generic(events, at_boundary, clean)


class _Marked(NamedTuple):
    """A dialect whose events name their kind, the last one being an end marker."""

    begins: tuple[str, ...]
    ends: frozenset[str]
    fails: frozenset[str] = frozenset()

    def ended(self, events: Sequence[Event], clean: bool) -> Unrecordable:
        for event in reversed(events):
            kind = event.kind()
            if kind in self.ends:
                value = event.json()
                # Cohere puts an error into the end marker.
                return error_in(value.get("delta") or value) if isinstance(value, dict) else None
            if kind in self.fails or kind == "error":
                return f"the stream carried an error ({kind})"
        return CUT if clean else LEFT


_MARKED = (
    _Marked(("message_start",), words("message_stop")),
    # `response.incomplete` (a token limit) is an answer; the SDKs hand it on as one.
    _Marked(
        ("response.",),
        words("response.completed response.incomplete"),
        words("response.failed response.cancelled"),
    ),
    _Marked(
        ("image_generation.", "image_edit.", "speech.audio.", "transcript.text.", "transcription."),
        words("image_generation.completed image_edit.completed speech.audio.done transcript.text.done")
        | words("transcription.done"),
    ),
    _Marked(("thread.",), words("done"), words("thread.run.failed")),
    # Mistral's conversations and agents.
    _Marked(
        ("conversation.response.",), words("conversation.response.done"), words("conversation.response.error")
    ),
    # Cohere, version 2 and version 1.
    _Marked(("message-start",), words("message-end")),
    _Marked(("stream-start", "text-generation", "search-"), words("stream-end"), words("stream-error")),
    # Gemini's interactions.
    _Marked(
        ("interaction.",), words("interaction.completed interaction.complete"), words("interaction.failed")
    ),
)


def still_to_come(events: Sequence[Event]) -> bytes:
    """The rest of a stream that its consumer left, where it is certain: an end marker and nothing else; or b"".

    So it is after the stop reason of Anthropic's messages, and LiteLLM's sync client goes there.
    """
    if len(events) < 2 or events[0].kind() != "message_start" or events[-1].kind() != "message_delta":
        return b""
    value = events[-1].json()
    delta = value.get("delta") if isinstance(value, dict) else None
    if not isinstance(delta, dict) or not delta.get("stop_reason"):
        return b""
    return b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


def _chat(events: Sequence[Event], clean: bool) -> Unrecordable:
    """OpenAI's chat and text completions, as two dozen services speak them."""
    for event in events:
        # OpenRouter and others put an error among the chunks and go on to [DONE].
        if b'"error"' in event.data and (problem := error_in(event.json())):
            return problem
    if any(event.data.startswith(b"[DONE]") for event in events[-2:]):
        return None
    if not clean:
        return LEFT
    # Some servers leave [DONE] out; then every choice must have said why it finished.
    choices: dict[Json, bool] = {}
    for event in events:
        value = event.json()
        for choice in _dicts(value.get("choices") if isinstance(value, dict) else None):
            index = str(choice.get("index"))
            choices[index] = choices.get(index, False) or bool(choice.get("finish_reason"))
    return None if choices and all(choices.values()) else CUT


def _gemini(events: Sequence[Event], clean: bool) -> Unrecordable:
    return gemini_ended([event.json() for event in events], clean)


def gemini_ended(chunks: Sequence[Json], clean: bool) -> Unrecordable:
    """Gemini's `generateContent` chunks: every candidate finished, or the prompt was blocked."""
    for chunk in chunks:
        if problem := error_in(chunk):
            return problem
    finished: dict[Json, bool] = {}
    for chunk in chunks:
        if not isinstance(chunk, dict):
            return CUT if clean else LEFT
        feedback = chunk.get("promptFeedback")
        if isinstance(feedback, dict) and feedback.get("blockReason"):
            return None
        for candidate in _dicts(chunk.get("candidates")):
            index = str(candidate.get("index", 0))
            finished[index] = finished.get(index, False) or bool(candidate.get("finishReason"))
    if finished and all(finished.values()):
        return None
    return CUT if clean else LEFT


def _ollama(events: Sequence[Event], clean: bool) -> Unrecordable:
    last = events[-1].json()
    if problem := error_in(last):
        return problem
    if isinstance(last, dict) and last.get("done") is True:
        return None
    return CUT if clean else LEFT


def _generated(events: Sequence[Event], clean: bool) -> Unrecordable:
    """Hugging Face's text generation: the last token comes with the whole text."""
    for event in reversed(events):
        value = event.json()
        if problem := error_in(value):
            return problem
        if isinstance(value, dict) and isinstance(value.get("generated_text"), str):
            return None
    return CUT if clean else LEFT


# What Bedrock adds to the last chunk of `invoke-with-response-stream`, whatever the model.
_METRICS = "amazon-bedrock-invocationMetrics"

_BY_FIELD: dict[str, Callable[[Sequence[Event], bool], Unrecordable]] = {
    "choices": _chat,
    "candidates": _gemini,
    "promptFeedback": _gemini,
    "usageMetadata": _gemini,
    "generated_text": _generated,
    "done": _ollama,
}


def _generic(events: Sequence[Event], at_boundary: bool, clean: bool) -> Unrecordable:
    for event in reversed(events):
        if event.kind() == "error" or event.name == "error":
            return "the stream carried an error"
        if event.data.startswith(b"[DONE]"):
            return None
    last = events[-1].json()
    if problem := error_in(last):
        return problem
    if isinstance(last, dict) and _METRICS in last:
        return None
    if not clean:
        return LEFT
    return None if at_boundary else "the stream ended in the middle of an event"


def error_in(value: Json) -> Unrecordable:
    """The reason when a chunk or document says that it is an error, or that a choice in it ended in one."""
    if not isinstance(value, dict) or "jsonrpc" in value or "custom_id" in value:
        return None  # JSON-RPC's "method not found" is an answer; a batch may have some lines that failed
    if _filled(value.get("error")) or value.get("type") == "error":
        return "the answer is an error"
    for choice in _dicts(value.get("choices")):
        # "abort": vLLM and SGLang, when they gave up.
        if choice.get("finish_reason") in ("error", "abort") or _filled(choice.get("error")):
            return "a choice ended in an error"
    if value.get("finish_reason") in ("ERROR", "TIMEOUT"):  # Cohere
        return "the answer ended in an error"
    return None


def _filled(error: Json) -> bool:
    # A fine-tuning job without an error carries {"code": null, "message": null}.
    return any(error.values()) if isinstance(error, dict) else bool(error)


def _dicts(value: Json) -> Iterable[dict[str, Json]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else ()
