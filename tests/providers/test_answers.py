"""Which answers may be recorded: one table of bodies for each API, well ended and not."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from providers.event_stream import frame

from cachy.exchange import Body, Request, Response
from cachy.providers import by_name

OPENAI = "https://api.openai.com/v1"
EVENTS = "text/event-stream"


def why(
    provider: str,
    url: str,
    body: bytes | str | dict[str, Any] | list[Any],
    kind: str = "application/json",
    *,
    clean: bool = True,
    method: str = "POST",
    status: int = 200,
    **headers: str,
) -> str | None:
    """What the provider says of an answer: None, or the reason against recording it."""
    found = by_name(provider)
    assert found is not None
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
    given = (("content-type", kind), *((name.replace("_", "-"), value) for name, value in headers.items()))
    data = body.encode() if isinstance(body, str) else body
    return found.finished(Request(method, url, (), Body()), Response(status, given, data), clean)


def stream(*events: dict[str, Any] | str | tuple[str, Any], end: str = "\n") -> str:
    """A server-sent event stream of JSON documents, texts, and (name, data) pairs."""
    text = ""
    for event in events:
        name, data = event if isinstance(event, tuple) else ("", event)
        text += f"event: {name}{end}" if name else ""
        text += f"data: {data if isinstance(data, str) else json.dumps(data)}{end}{end}"
    return text


def chunk(text: str = "", finish: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": {"content": text}, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice], **more}


USAGE = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [], "usage": {"total_tokens": 3}}
LATE_ERROR = {"error": {"code": 502, "message": "upstream went away"}}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("events", "clean", "left"),
    [
        # (events, may be recorded after a clean end, may be recorded when the consumer left)
        ((chunk("Hi"), chunk(finish="stop"), USAGE, "[DONE]"), True, True),
        ((chunk("Hi"), chunk(finish="stop"), "[DONE]"), True, True),
        ((chunk("Hi"), chunk(finish="length")), True, False),
        ((chunk("Hi"), chunk(finish="stop"), USAGE), True, False),
        ((chunk("A"), chunk("B", index=1), chunk(finish="stop"), chunk(finish="stop", index=1)), True, False),
        ((chunk("A"), chunk("B", index=1), chunk(finish="stop")), False, False),
        ((chunk("Hi"),), False, False),
        ((chunk("data: [DONE]\n\n"),), False, False),
        ((chunk('","finish_reason":"stop"'),), False, False),
        ((chunk("Hi"), LATE_ERROR), False, False),
        ((chunk("Hi"), LATE_ERROR, "[DONE]"), False, False),
        ((LATE_ERROR, "[DONE]"), False, False),
        ((chunk("Hi"), chunk(finish="error"), "[DONE]"), False, False),
        ((chunk("Hi"), chunk(finish="stop", error={"message": "no"}), "[DONE]"), False, False),
        ((chunk('what is an "error"?'), chunk(finish="stop", error=None), "[DONE]"), True, True),
        ((), False, False),
    ],
)
def test_chat_streams(events: tuple[Any, ...], clean: bool, left: bool, end: str) -> None:
    """OpenAI-shaped chat streams end with [DONE], or with a reason to finish in every choice."""
    for name, url in [
        ("openai", f"{OPENAI}/chat/completions"),
        ("groq", "https://api.groq.com/openai/v1/chat/completions"),
    ]:
        body = ": OPENROUTER PROCESSING\n\n" + stream(*events, end=end)
        assert (why(name, url, body, EVENTS) is None) == clean
        assert (why(name, url, body, EVENTS, clean=False) is None) == left


def test_a_chat_stream_cut_anywhere() -> None:
    """Whichever byte of a chat stream is the last one to arrive, it is recorded only with all of its text."""
    body = stream(chunk("Hello"), chunk(" world"), chunk(finish="stop"), "[DONE]")
    enough = body.index('"finish_reason": "stop"}]}') + len('"finish_reason": "stop"}]}')
    for cut in range(len(body)):
        recorded = why("openai", f"{OPENAI}/chat/completions", body[:cut], EVENTS) is None
        assert recorded == (cut >= enough), body[:cut]


def response_event(kind: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return kind, {"type": kind, "response": {"id": "resp_1", "object": "response", "error": None}, **more}


@pytest.mark.parametrize(
    ("events", "clean", "left"),
    [
        ((response_event("response.created"), response_event("response.completed")), True, True),
        ((response_event("response.created"), response_event("response.incomplete")), True, True),
        ((response_event("response.created"), response_event("response.failed")), False, False),
        ((response_event("response.created"), ("error", {"type": "error", "message": "no"})), False, False),
        ((response_event("response.created"), response_event("response.output_text.done")), False, False),
        (
            (
                response_event("response.created"),
                response_event("response.output_text.delta", delta="response.completed"),
            ),
            False,
            False,
        ),
        # The SDK of another client leaves the names of the events out.
        ((response_event("response.created")[1], response_event("response.completed")[1]), True, True),
        (
            ({"type": "keepalive"}, response_event("response.created"), response_event("response.queued")),
            False,
            False,
        ),
    ],
)
def test_responses_streams(events: tuple[Any, ...], clean: bool, left: bool) -> None:
    """A stream of the Responses API ends with the event that carries the whole response."""
    for name in ("openai", "azure", "bedrock", "openrouter", "chatgpt"):
        body = stream(*events)
        assert (why(name, f"{OPENAI}/responses", body, EVENTS) is None) == clean
        assert (why(name, f"{OPENAI}/responses", body, EVENTS, clean=False) is None) == left


def typed(kind: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return kind, {"type": kind, **more}


def untyped(kind: str, **more: Any) -> dict[str, Any]:
    return {"event_type": kind, **more}


BEGUN = typed("message_start", message={"id": "msg_1"})
TEXT = typed("content_block_delta", delta={"type": "text_delta", "text": 'data: {"type":"message_stop"}'})


@pytest.mark.parametrize(
    ("provider", "events", "recorded"),
    [
        ("anthropic", (BEGUN, typed("ping"), TEXT, typed("message_stop")), True),
        ("anthropic", (typed("ping"), BEGUN, TEXT, typed("message_stop")), True),
        ("anthropic", (BEGUN, TEXT, typed("message_delta", delta={"stop_reason": "end_turn"})), False),
        ("anthropic", (BEGUN, TEXT), False),
        ("anthropic", (BEGUN, TEXT, typed("error", error={"type": "overloaded_error"})), False),
        ("vertex", (BEGUN, TEXT, typed("message_stop")), True),
        ("azure", (BEGUN, TEXT), False),
        ("openrouter", (BEGUN, TEXT, typed("message_stop")), True),
        ("openai", (typed("image_generation.partial_image"), typed("image_generation.completed")), True),
        ("openai", (typed("image_generation.partial_image"),), False),
        ("openai", (typed("image_edit.partial_image"), typed("image_edit.completed")), True),
        ("openai", (typed("speech.audio.delta"), typed("speech.audio.done")), True),
        ("openai", (typed("transcript.text.delta"), typed("transcript.text.done"), "[DONE]"), True),
        ("openai", (typed("transcript.text.delta"),), False),
        ("openai", (("thread.run.created", {"id": "run_1"}), ("done", "[DONE]")), True),
        ("openai", (("thread.run.created", {"id": "run_1"}), ("thread.run.failed", {"id": "run_1"})), False),
        ("openai", (("thread.run.created", {"id": "run_1"}),), False),
        ("mistral", (typed("conversation.response.started"), typed("conversation.response.done")), True),
        ("mistral", (typed("conversation.response.started"), typed("conversation.response.error")), False),
        ("mistral", (typed("conversation.response.started"), typed("message.output.delta")), False),
        ("mistral", (typed("transcription.text.delta"), typed("transcription.done")), True),
        ("cohere", (typed("message-start"), typed("message-end", delta={"finish_reason": "COMPLETE"})), True),
        ("cohere", (typed("message-start"), typed("message-end", delta={"finish_reason": "ERROR"})), False),
        ("cohere", (typed("message-start"), typed("content-delta")), False),
        ("cohere", (untyped("stream-start"), untyped("stream-end", finish_reason="COMPLETE")), True),
        ("cohere", (untyped("stream-start"), untyped("stream-end", finish_reason="ERROR")), False),
        ("cohere", (untyped("stream-start"), untyped("text-generation", is_finished=False)), False),
        ("gemini", (untyped("interaction.created"), untyped("interaction.completed")), True),
        ("gemini", (untyped("interaction.created"), untyped("step.delta")), False),
        ("gemini", (untyped("interaction.created"), untyped("error", error={"message": "no"})), False),
        ("huggingface", ({"token": {"text": "a"}, "generated_text": None}, {"generated_text": "ab"}), True),
        ("huggingface", ({"token": {"text": "a"}, "generated_text": None},), False),
        (
            "huggingface",
            ({"generated_text": None}, {"error": "overloaded", "error_type": "overloaded"}),
            False,
        ),
    ],
)
def test_streams_with_an_end_marker(provider: str, events: tuple[Any, ...], recorded: bool) -> None:
    """A stream whose last event is known is recorded with that event and never without, whoever closes it."""
    for clean in (True, False):
        assert (
            why(provider, "https://host.example/any", stream(*events), EVENTS, clean=clean) is None
        ) == recorded


def candidate(text: str, finish: str | None = None, index: int | None = None) -> dict[str, Any]:
    part: dict[str, Any] = {"content": {"parts": [{"text": text}], "role": "model"}}
    if finish:
        part["finishReason"] = finish
    if index is not None:
        part["index"] = index
    return {"candidates": [part], "usageMetadata": {"totalTokenCount": 3}}


@pytest.mark.parametrize(
    ("chunks", "recorded"),
    [
        ([candidate("a"), candidate("b", "STOP")], True),
        ([candidate("a", "SAFETY")], True),
        ([candidate("a", "STOP"), {"usageMetadata": {"totalTokenCount": 3}}], True),
        ([{"promptFeedback": {"blockReason": "SAFETY"}}], True),
        ([candidate("a", "STOP", 0), candidate("b", "STOP", 1)], True),
        ([candidate("a", "STOP", 0), candidate("b", None, 1)], False),
        ([candidate("a"), candidate('"finishReason": "STOP"')], False),
        ([candidate("a"), {"error": {"code": 503, "status": "UNAVAILABLE"}}], False),
        ([{"usageMetadata": {"totalTokenCount": 3}}], False),
        ([], False),
    ],
)
def test_gemini_streams(chunks: list[dict[str, Any]], recorded: bool) -> None:
    """Gemini's streams, as events and as one JSON array, end when every candidate says why."""
    url = "https://generativelanguage.googleapis.com/v1beta/models/g:streamGenerateContent"
    for name in ("gemini", "vertex"):
        assert (why(name, f"{url}?alt=sse", stream(*chunks, end="\r\n"), EVENTS) is None) == recorded
        assert (why(name, url, chunks) is None) == recorded
        assert why(name, url, json.dumps(chunks)[:-1]) is not None


@pytest.mark.parametrize(
    ("lines", "recorded"),
    [
        ([{"message": {"content": "a"}, "done": False}, {"done": True, "done_reason": "stop"}], True),
        ([{"message": {"content": '"done":true'}, "done": False}] * 2, False),
        ([{"message": {"content": "a"}, "done": False}, {"error": "model runner has stopped"}], False),
        ([{"error": "model not found"}], False),
        ([], False),
    ],
)
@pytest.mark.parametrize("kind", ["application/x-ndjson", "application/json"])
def test_ollama_streams(lines: list[dict[str, Any]], recorded: bool, kind: str) -> None:
    """Ollama's JSON lines end with `"done": true`, whatever content type a proxy gives them."""
    body = "".join(json.dumps(line) + "\n" for line in lines)
    for clean in (True, False):
        assert (why("ollama", "http://localhost:11434/api/chat", body, kind, clean=clean) is None) == recorded
        assert why("ollama", "http://localhost:11434/api/chat", body[:-5], kind, clean=clean) is not None


def converse(*kinds: str) -> bytes:
    return b"".join(frame(b'{"p":"abc"}', event_type=kind, message_type="event") for kind in kinds)


def invoked(*events: dict[str, Any]) -> bytes:
    body = b""
    for event in events:
        inner = base64.b64encode(json.dumps(event).encode()).decode()
        body += frame(json.dumps({"bytes": inner}).encode(), event_type="chunk", message_type="event")
    return body


CONVERSED = converse("messageStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata")
THROTTLED = frame(b'{"message":"slow down"}', exception_type="throttlingException", message_type="exception")
METRICS = {"amazon-bedrock-invocationMetrics": {"outputTokenCount": 3}}


@pytest.mark.parametrize(
    ("body", "clean", "left"),
    [
        (CONVERSED, True, True),
        (CONVERSED[:-3], False, False),
        (converse("messageStart", "contentBlockDelta", "messageStop"), True, False),
        (converse("messageStart", "contentBlockDelta"), False, False),
        (converse("messageStart", "contentBlockDelta") + THROTTLED, False, False),
        (THROTTLED, False, False),
        (b"", False, False),
        (invoked({"type": "message_start"}, {"type": "message_stop", **METRICS}), True, True),
        (invoked({"type": "message_start"}, {"type": "content_block_delta"}), False, False),
        (invoked({"outputText": "a"}, {"outputText": "b", **METRICS}), True, True),
        (invoked({"outputText": "a"}, {"outputText": "b"}), True, False),
        (invoked({"outputText": "a"}) + THROTTLED, False, False),
    ],
)
def test_bedrock_streams(body: bytes, clean: bool, left: bool) -> None:
    """Bedrock's event streams are whole frames, without an exception, up to the model's own end."""
    url = "https://bedrock-runtime.us-east-1.amazonaws.com/model/m/converse-stream"
    assert (why("bedrock", url, body, "application/vnd.amazon.eventstream") is None) == clean
    assert (why("bedrock", url, body, "application/vnd.amazon.eventstream", clean=False) is None) == left


CHAT = {"object": "chat.completion", "choices": [{"index": 0, "finish_reason": "stop", "message": {}}]}


@pytest.mark.parametrize(
    ("path", "body", "recorded"),
    [
        ("/chat/completions", CHAT, True),
        ("/chat/completions", {**CHAT, "error": None}, True),
        ("/chat/completions", json.dumps(CHAT)[:-1], False),
        ("/chat/completions", "", False),
        ("/chat/completions", " \n", False),
        ("/chat/completions", LATE_ERROR, False),
        ("/messages", {"type": "error", "message": "overloaded"}, False),
        ("/chat/completions", {"type": "error", "error": {"type": "overloaded_error"}}, False),
        ("/chat/completions", {"choices": [{"finish_reason": "error", "error": {"code": 502}}]}, False),
        ("/responses", {"object": "response", "status": "completed", "error": None}, True),
        ("/responses", {"object": "response", "status": "incomplete"}, True),
        ("/responses", {"object": "response", "status": "failed", "error": {"code": "server_error"}}, False),
        # A job is created: the answer is final although the job is not.
        ("/responses", {"object": "response", "status": "queued", "background": True}, True),
        ("/batches", {"object": "batch", "status": "validating"}, True),
        ("/fine_tuning/jobs", {"status": "queued", "error": {"code": None, "message": None}}, True),
    ],
)
def test_json_answers(path: str, body: Any, recorded: bool) -> None:
    """A JSON answer is complete and no error; a job that was created is an answer."""
    assert (why("openai", OPENAI + path, body) is None) == recorded


@pytest.mark.parametrize(
    ("path", "kind", "body", "recorded"),
    [
        ("/chat/completions", "text/html", "<html>Log in to the airport's network</html>", False),
        ("/chat/completions", "", "", False),
        ("/chat/completions", "text/plain", "data: centre in maintenance\n\n", False),
        ("/chat/completions", "", json.dumps(CHAT), True),
        ("/chat/completions", "text/plain", stream(chunk(finish="stop"), "[DONE]"), True),
        ("/chat/completions", "application/json", stream(chunk(finish="stop"), "[DONE]"), True),
        ("/chat/completions", "text/plain", stream(chunk("Hi")), False),
        ("/audio/transcriptions", "text/plain", "Hello.", True),
        ("/audio/speech", "audio/mpeg", "ID3...", True),
        ("/files", "", "", True),
    ],
)
def test_the_content_type_is_not_trusted(path: str, kind: str, body: str, recorded: bool) -> None:
    """Where JSON is promised nothing else is recorded, and a stream is known under any content type."""
    assert (why("openai", OPENAI + path, body, kind) is None) == recorded


def test_bytes() -> None:
    """Audio, images and files are recorded when they were read to the end, or have the announced length."""
    url = f"{OPENAI}/audio/speech"
    assert why("openai", url, b"\xff\xfb", "audio/mpeg") is None
    assert why("openai", url, b"\xff\xfb", "audio/mpeg", clean=False) is not None
    assert why("openai", url, b"\xff\xfb", "audio/mpeg", clean=False, content_length="2") is None
    assert why("openai", url, b"\xff\xfb", "audio/mpeg", clean=False, content_length="3") is not None
    assert (
        why(
            "openai", url, b"\xff\xfb", "audio/mpeg", clean=False, content_length="2", content_encoding="gzip"
        )
        is not None
    )
    assert why("plain", "https://host.example/x", '{"a":', method="GET", status=206) is None
    assert why("openai", f"{OPENAI}/embeddings", {"data": []}, clean=False) is None
    assert why("openai", f"{OPENAI}/embeddings", '{"data": [', clean=False) is not None


def test_answers_without_a_body() -> None:
    """What has no body by its nature is whole without one."""
    assert why("openai", f"{OPENAI}/files/f", "", method="DELETE", status=204) is None
    assert why("openai", f"{OPENAI}/files/f", "", method="HEAD") is None
    assert why("plain", "https://mcp.example/mcp", "", status=202) is None
    assert why("openai", f"{OPENAI}/chat/completions", "", status=429) is None


@pytest.mark.parametrize(
    ("provider", "path", "body", "recorded"),
    [
        ("openai", "/v1/responses/r", {"object": "response", "status": "queued"}, False),
        ("openai", "/v1/responses/r", {"object": "response", "status": "in_progress"}, False),
        ("openai", "/v1/responses/r", {"object": "response", "status": "completed"}, True),
        ("openai", "/v1/batches/b", {"object": "batch", "status": "validating"}, False),
        ("openai", "/v1/batches/b", {"object": "batch", "status": "finalizing"}, False),
        ("openai", "/v1/batches/b", {"object": "batch", "status": "cancelling"}, False),
        ("openai", "/v1/batches/b", {"object": "batch", "status": "completed", "errors": None}, True),
        ("openai", "/v1/batches/b", {"object": "batch", "status": "failed", "errors": {"data": []}}, True),
        ("openai", "/v1/batches", {"data": [{"status": "completed"}, {"status": "in_progress"}]}, False),
        ("openai", "/v1/batches", {"data": [{"status": "completed"}, {"status": "expired"}]}, True),
        ("openai", "/v1/threads/t/runs/r", {"status": "requires_action"}, True),
        ("openai", "/v1/threads/t/runs/r", {"status": "queued"}, False),
        ("openai", "/v1/fine_tuning/jobs/j", {"status": "validating_files"}, False),
        ("openai", "/v1/fine_tuning/jobs/j", {"status": "succeeded", "error": {"code": None}}, True),
        ("openai", "/v1/files/f", {"status": "uploaded"}, False),
        ("openai", "/v1/files/f", {"status": "processed"}, True),
        ("openai", "/v1/models", {"data": [{"id": "gpt-5"}]}, True),
        ("perplexity", "/async/chat/completions/c", {"status": "CREATED"}, False),
        ("perplexity", "/async/chat/completions/c", {"status": "COMPLETED"}, True),
        ("mistral", "/v1/batch/jobs/j", {"status": "CANCELLATION_REQUESTED"}, False),
        ("mistral", "/v1/batch/jobs/j", {"status": "TIMEOUT_EXCEEDED"}, True),
        ("together", "/v1/fine-tunes/f", {"status": "compressing"}, False),
        ("anthropic", "/v1/messages/batches/b", {"processing_status": "in_progress"}, False),
        ("anthropic", "/v1/messages/batches/b", {"processing_status": "canceling"}, False),
        ("anthropic", "/v1/messages/batches/b", {"processing_status": "ended"}, True),
        ("gemini", "/v1beta/files/f", {"name": "files/f", "state": "PROCESSING"}, False),
        ("gemini", "/v1beta/files/f", {"name": "files/f", "state": "ACTIVE"}, True),
        ("gemini", "/v1beta/models/veo/operations/o", {"name": "models/veo/operations/o"}, False),
        ("gemini", "/v1beta/models/veo/operations/o", {"done": False}, False),
        ("gemini", "/v1beta/models/veo/operations/o", {"done": True, "response": {}}, True),
        ("gemini", "/v1beta/batches/b", {"metadata": {"state": "BATCH_STATE_RUNNING"}}, False),
        ("gemini", "/v1beta/batches/b", {"metadata": {"state": "BATCH_STATE_SUCCEEDED"}, "done": True}, True),
        ("gemini", "/v1beta/interactions/i", {"status": "in_progress"}, False),
        ("vertex", "/v1/projects/p/locations/l/batchPredictionJobs/b", {"state": "JOB_STATE_PENDING"}, False),
        (
            "vertex",
            "/v1/projects/p/locations/l/batchPredictionJobs/b",
            {"state": "JOB_STATE_SUCCEEDED"},
            True,
        ),
        ("bedrock", "/async-invoke/arn", {"status": "InProgress"}, False),
        ("bedrock", "/async-invoke/arn", {"status": "Completed"}, True),
        ("cohere", "/v1/embed-jobs/e", {"status": "processing"}, False),
        ("cohere", "/v1/datasets/d", {"dataset": {"validation_status": "queued"}}, False),
        ("cohere", "/v1/datasets/d", {"dataset": {"validation_status": "validated"}}, False),
        ("huggingface", "/v2/endpoint/e", {"status": {"state": "initializing"}}, False),
        ("huggingface", "/v2/endpoint/e", {"status": {"state": "running"}}, True),
        ("plain", "/v1/operations/o", {"name": "operations/o", "metadata": {}}, False),
        ("plain", "/v1/operations/o", {"name": "operations/o", "done": True}, True),
        ("plain", "/v1/operations/o", {"name": "appendectomy"}, True),
        ("openai", "/v1/models/m/operations/o", {"name": "models/m/operations/o"}, False),
        ("plain", "/v1/predictions/p", {"status": "starting"}, False),
        ("plain", "/v1/predictions/p", {"status": "processing"}, False),
        ("plain", "/v1/predictions/p", {"status": "succeeded"}, True),
        ("plain", "/orders/7", {"status": "pending", "error": {"code": 1}}, True),
        ("plain", "/orders", {"data": [{"status": "processing"}]}, True),
        ("plain", "/address", {"state": "Texas"}, True),
    ],
)
def test_polls(provider: str, path: str, body: dict[str, Any], recorded: bool) -> None:
    """Of a job that is polled only the last answer is recorded, so that a replay does not wait for ever."""
    assert (why(provider, f"https://host.example{path}", body, method="GET") is None) == recorded


def test_polls_with_other_means() -> None:
    """xAI says "not yet" with 202, Vertex polls with POST."""
    assert (
        why("xai", "https://api.x.ai/v1/chat/deferred-completion/d", "", method="GET", status=202) is not None
    )
    url = (
        "https://us-central1-aiplatform.googleapis.com/v1/publishers/google/models/veo:fetchPredictOperation"
    )
    assert why("vertex", url, {"name": "operations/o"}) is not None
    assert why("vertex", url, {"name": "operations/o", "done": True}) is None


@pytest.mark.parametrize(
    ("body", "clean", "left"),
    [
        (stream(("message", {"jsonrpc": "2.0", "id": 1, "result": {}})), True, False),
        (stream(("message", {"jsonrpc": "2.0", "id": 1, "error": {"code": -32601}})), True, False),
        (stream(("output", "Hello"), ("done", "{}")), True, False),
        (stream(("output", "Hello"), ("error", "out of memory")), False, False),
        (stream(("output", "Hello")) + "data: cut in the mid", False, False),
        (stream({"error": {"message": "no"}}), False, False),
        (stream(chunk("Hi")), False, False),
        ("", False, False),
    ],
)
def test_streams_of_unknown_services(body: str, clean: bool, left: bool) -> None:
    """An unknown stream is recorded when it was read to its end, ends between two events and carries no error."""
    assert (why("plain", "https://host.example/x", body, EVENTS) is None) == clean
    assert (why("plain", "https://host.example/x", body, EVENTS, clean=False) is None) == left


def test_plain_documents() -> None:
    """A plain host's document is recorded as it is, as long as it is complete."""
    assert why("plain", "https://host.example/x", {"error": "sold out"}) is None
    assert why("plain", "https://host.example/x", "<p>hello", "text/html") is None
    assert why("plain", "https://host.example/x", '{"cut', "application/problem+json") is not None
    assert why("plain", "https://host.example/x", b"\xff\x00", "") is None


def test_what_a_plain_host_calls_json() -> None:
    """Many servers answer with no body, and some in Latin-1, and call it JSON: it is recorded, an empty one where a cut
    one would have been noticed; never of a provider, of whom we know that it is an error."""
    latin = b'{"name":"Ren\xe9"}'
    for end in ({"content_length": "0"}, {"transfer_encoding": "chunked"}):
        assert why("plain", "https://host.example/x", b"", **end) is None  # type: ignore[arg-type]
        assert why("plain", "https://host.example/x", b"", clean=False, **end) is not None  # type: ignore[arg-type]
        assert why("openai", f"{OPENAI}/chat/completions", b"", **end) is not None  # type: ignore[arg-type]
    assert why("plain", "https://host.example/x", b"") is not None
    assert why("plain", "https://host.example/x", latin) is None
    assert why("plain", "https://host.example/x", latin, clean=False) is not None
    assert why("plain", "https://host.example/x", latin[:-1]) is not None
    assert why("openai", f"{OPENAI}/chat/completions", latin) is not None


def test_batch_results_are_documents() -> None:
    """Lines of a batch's result file may tell of requests that failed: the file is whole all the same."""
    lines = '{"custom_id":"1","error":null}\n{"custom_id":"2","error":{"code":"x"}}\n'
    assert why("openai", f"{OPENAI}/files/f/content", lines, "application/jsonl", method="GET") is None
    assert (
        why("openai", f"{OPENAI}/files/f/content", lines[:-9], "application/jsonl", method="GET") is not None
    )


@pytest.mark.parametrize(
    "body", [b"\x00\xff\xfe", b"data: \xff\n\n", b'{"a":"\xff"}', b"[" * 200_000, b"data: " + b"[" * 200_000]
)
@pytest.mark.parametrize(
    "kind", ["application/json", EVENTS, "application/vnd.amazon.eventstream", "application/x-ndjson", ""]
)
def test_garbage_never_raises(body: bytes, kind: str) -> None:
    """Whatever a server sends, the judgement is a reason or None."""
    for name in ("openai", "gemini", "bedrock", "plain"):
        for method in ("GET", "POST"):
            reason = why(name, f"{OPENAI}/chat/completions", body, kind, method=method)
            assert reason is None or isinstance(reason, str)


@pytest.mark.parametrize(
    ("provider", "method", "url", "skipped"),
    [
        ("openai", "POST", "https://api.openai.com/v1/traces/ingest", True),
        ("anthropic", "POST", "https://api.anthropic.com/v1/oauth/token", True),
        ("anthropic", "POST", "https://api.anthropic.com/api/event_logging/batch", True),
        ("plain", "POST", "https://oauth2.googleapis.com/token", True),
        ("plain", "POST", "https://login.example/oauth2/v2.0/token?x=y", True),
        ("azure", "POST", "https://acme.cognitiveservices.azure.com/sts/v1.0/issueToken", True),
        ("cohere", "POST", "https://api.cohere.com/v1/tokenize", False),
        ("openai", "POST", "https://api.openai.com/v1/chat/completions", False),
        ("plain", "GET", "https://host.example/token", False),
        (
            "huggingface-hub",
            "GET",
            "https://huggingface.co/api/models/m?expand=inferenceProviderMapping",
            False,
        ),
        ("huggingface-hub", "GET", "https://huggingface.co/api/models/m/revision/main", True),
    ],
)
def test_what_passes_untouched(provider: str, method: str, url: str, skipped: bool) -> None:
    """Token exchanges, telemetry and the model hub are neither recorded nor replayed."""
    found = by_name(provider)
    assert found is not None
    assert bool(found.skip(Request(method, url))) == skipped


@pytest.mark.parametrize(
    ("provider", "matter", "noise"),
    [
        (
            "openai",
            {"openai-beta", "range"},
            {"openai-organization", "accept", "user-agent", "idempotency-key"},
        ),
        (
            "anthropic",
            {"anthropic-beta", "anthropic-version"},
            {"x-stainless-retry-count", "accept", "x-api-key"},
        ),
        ("vertex", {"anthropic-beta", "x-goog-upload-*"}, {"x-goog-api-client", "x-goog-user-project"}),
        ("bedrock", {"x-amzn-bedrock-*", "accept"}, {"x-amz-date", "amz-sdk-invocation-id", "authorization"}),
        ("openrouter", {"anthropic-beta"}, {"http-referer", "x-title"}),
        ("huggingface", {"range"}, {"x-amzn-trace-id"}),
        ("plain", {"accept", "range"}, {"user-agent", "accept-encoding", "connection"}),
    ],
)
def test_headers_that_change_the_meaning(provider: str, matter: set[str], noise: set[str]) -> None:
    """Betas, versions and ranges enter the key; what SDKs send on every call does not."""
    found = by_name(provider)
    assert found is not None
    assert matter <= found.headers
    assert not noise & found.headers
