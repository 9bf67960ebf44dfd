"""Whether an answer ended well and may be recorded: the judgement that all built-in providers share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from ..exchange import Request, Response
from . import rpc
from .base import LEFT, Json, Unrecordable
from .dialects import CUT, error_in, gemini_ended, still_to_come, stream_ended
from .emptiness import nothing_in
from .jobs import failed_there, not_final
from .shapes import promises_json
from .streams import Event, frames, json_lines, sse

NotFinal = Callable[[Request, Json], Unrecordable]
"""Tells from the JSON answer of a poll why it is not the last one, or None."""

_LINES = ("ndjson", "jsonl", "stream+json", "json-seq", "jsonlines")
_NO_BODY = frozenset((202, 204, 205))


def finished(request: Request, response: Response, clean: bool) -> Unrecordable:
    """The judgement for a known provider: None, or why the answer must not be recorded."""
    return judge(request, response, clean, not_final)


def judge(
    request: Request, response: Response, clean: bool, not_final: NotFinal, errors: bool = True
) -> Unrecordable:
    """None, or why the answer must not be recorded.

    `not_final` recognises the polls that say "not yet". `errors`: whether a JSON document with an `error` in
    it is one of the provider's errors (on a plain host it is just a document).
    """
    if not 200 <= response.status < 300:
        return None  # that a status may be recorded at all was the engine's decision
    if response.status == 202 and request.method == "GET":
        return "the job is not finished (202)"
    if rpc.is_answer(response):
        return _rpc_ended(request, response, clean, not_final, errors)
    body = response.body
    if request.method == "HEAD" or (not body and response.status in _NO_BODY):
        return None
    path = request.split().path
    promised = errors and request.method == "POST" and promises_json(path)
    kind = response.header("content-type").partition(";")[0].strip().lower()
    if kind == "text/event-stream":
        return stream_ended(*sse(body), clean)
    if kind == "application/vnd.amazon.eventstream":
        return _frames_ended(body, clean)
    if kind.endswith(_LINES):
        return stream_ended(*json_lines(body), clean)
    if ("json" in kind and response.status != 206) or promised:  # 206: a part of a document is just bytes
        reason = _document(request, response, clean, not_final, errors)
        return f"{reason} ({kind})" if reason == _NOT_JSON and "json" not in kind else reason
    if clean or _has_its_length(response):
        return None
    return LEFT


def completed(response: Response) -> Response:
    """An answer that its consumer left, with its end marker where that alone was missing; else as it is."""
    body = response.body
    kind = response.header("content-type").partition(";")[0].strip().lower()
    if kind != "text/event-stream" or response.header("content-length") or not body.endswith(_BLANK):
        return response
    rest = still_to_come(sse(body)[0])
    if not rest:
        return response
    chunks = (*response.chunks, (response.ms, len(rest))) if response.chunks else ()
    return replace(response, body=body + rest, chunks=chunks)


_BLANK = (b"\n\n", b"\r\n\r\n")  # the end of an event
_NOT_JSON = "the answer is not the JSON that was promised"


def _document(
    request: Request, response: Response, clean: bool, not_final: NotFinal, errors: bool
) -> Unrecordable:
    """An answer that should be one JSON document, and is sometimes a stream with the wrong content type."""
    body = response.body
    if not body.strip():
        # A server of which nothing is known may have nothing to say.
        whole = clean and not errors and _tells_its_end(response)
        return None if whole else "the answer is empty" if clean else LEFT
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        events, at_boundary = sse(body) if body.lstrip()[:1] not in (b"{", b"[") else json_lines(body)
        if events and events[0].json() is not None:
            return stream_ended(events, at_boundary, clean)
        if clean and not errors and _is_json(body.decode("latin-1")):
            return None  # in another encoding
        return _NOT_JSON if clean else LEFT
    path = request.split().path
    if isinstance(value, list) and path.endswith(":streamGenerateContent"):
        return gemini_ended(value, clean) or nothing_in(value)
    polls = request.method == "GET" or path.endswith(":fetchPredictOperation")
    reason = not_final(request, value) if polls else None
    if reason or not errors:
        return reason
    if failed := failed_there(value):
        return failed
    if polls:
        return None
    if not value and promises_json(path):
        return "the answer is empty"
    return error_in(value) or nothing_in([value])


def _rpc_ended(
    request: Request, response: Response, clean: bool, not_final: NotFinal, errors: bool
) -> Unrecordable:
    """gRPC says itself when an answer has ended well: `clean` stands for the status OK."""
    if not clean:
        return LEFT
    messages = rpc.messages(response)
    for message in messages:
        if rpc.polls(request):
            reason = "the job is not finished" if rpc.under_way(message) else not_final(request, message)
        else:
            reason = error_in(message) if errors else None
        if reason := reason or (failed_there(message) if errors else None):
            return reason
    return nothing_in(messages) if errors and not rpc.polls(request) else None


def _frames_ended(body: bytes, clean: bool) -> Unrecordable:
    """Bedrock's streams: `converse-stream`, `invoke-with-response-stream` and the agents' ones."""
    try:
        messages = frames(body)
    except ValueError as problem:
        return f"the stream was {problem}" if clean else LEFT
    if not messages:
        return "the stream was empty" if clean else LEFT
    kinds = []
    chunks = []
    for headers, payload in messages:
        if headers.get(":message-type", "event") != "event":
            kind = headers.get(":exception-type") or headers.get(":error-code", "")
            return f"the stream carried an error ({kind})"
        kinds.append(headers.get(":event-type", ""))
        chunks.append(payload)
    if "messageStart" in kinds or "messageStop" in kinds:
        # `metadata` (the usage) comes after the stop: a consumer that left before it has not read it all.
        if kinds[-1] == "metadata" or (clean and "messageStop" in kinds):
            return nothing_in(Event("", chunk).json() for chunk in chunks)
        return CUT if clean else LEFT
    return stream_ended([_unwrapped(chunk) for chunk in chunks], True, clean)


def _unwrapped(payload: bytes) -> Event:
    """The model's own event, which `invoke-with-response-stream` wraps in base64."""
    import base64

    event = Event("", payload)
    value = event.json()
    try:
        return Event("", base64.b64decode(value["bytes"]))
    except (TypeError, KeyError, ValueError):
        return event


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _tells_its_end(response: Response) -> bool:
    """Whether a client would have noticed a body that was cut."""
    return (
        response.http_version.startswith(("HTTP/2", "HTTP/3"))
        or response.header("content-length") != ""
        or "chunked" in response.header("transfer-encoding").lower()
    )


def _has_its_length(response: Response) -> bool:
    """Whether a body that the consumer left is complete nevertheless, by the length that was announced."""
    plain = response.header("content-encoding", "identity") == "identity"
    return plain and response.header("content-length") == str(len(response.body))
