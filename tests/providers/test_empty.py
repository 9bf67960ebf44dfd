"""Answers with status 200 that have nothing in them, and jobs that failed at the provider: never recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest
from providers.event_stream import frame

from cachy.exchange import Request, Response
from cachy.providers import by_name

CHAT = ("openai", "/v1/chat/completions")
RESPONSES = ("openai", "/v1/responses")
MESSAGES = ("anthropic", "/v1/messages")
GEMINI = ("gemini", "/v1beta/models/m:generateContent")
CONVERSE = ("bedrock", "/model/m/converse")
COHERE = ("cohere", "/v2/chat")
OLLAMA = ("ollama", "/api/chat")


def why(of: tuple[str, str], body: Any, kind: str = "application/json", method: str = "POST") -> str | None:
    """The reason against recording an answer, or None."""
    provider = by_name(of[0])
    assert provider is not None
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request(method, f"https://host.example{of[1]}")
    return provider.finished(request, Response(200, (("content-type", kind),), data), True)


def sse(*documents: Any, end: str = "") -> bytes:
    return ("".join(f"data: {json.dumps(document)}\n\n" for document in documents) + end).encode()


def chat(content: Any = "", tokens: int | None = 0, reason: Any = "stop", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, "refusal": None, "annotations": [], **more}
    usage = {} if tokens is None else {"usage": {"completion_tokens": tokens}}
    return {"choices": [{"index": 0, "finish_reason": reason, "message": message}], **usage}


def message(content: Any, tokens: int = 0, reason: Any = "end_turn") -> dict[str, Any]:
    return {
        "type": "message",
        "role": "assistant",
        "content": content,
        "stop_reason": reason,
        "usage": {"input_tokens": 5, "output_tokens": tokens},
    }


def response(output: Any, tokens: int = 0, status: str = "completed") -> dict[str, Any]:
    usage = {"input_tokens": 5, "output_tokens": tokens}
    return {"object": "response", "status": status, "output": output, "usage": usage}


def gemini(parts: Any, reason: str = "STOP", **counts: int) -> dict[str, Any]:
    content = {"role": "model"} if parts is None else {"role": "model", "parts": parts}
    candidate = {"content": content, "finishReason": reason}
    return {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 5, **counts}}


def converse(content: Any, tokens: int = 0, reason: str = "end_turn") -> dict[str, Any]:
    output = {"message": {"role": "assistant", "content": content}}
    return {"output": output, "stopReason": reason, "usage": {"inputTokens": 5, "outputTokens": tokens}}


def cohere(content: Any, tokens: int = 0, reason: str = "COMPLETE", **more: Any) -> dict[str, Any]:
    usage = {"tokens": {"input_tokens": 5, "output_tokens": tokens}}
    told = {"role": "assistant", "content": content, **more}
    return {"id": "c", "finish_reason": reason, "message": told, "usage": usage}


def ollama(content: str, **more: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": content}, "done": True, "done_reason": "stop", **more}


TEXT = {"type": "text", "text": ""}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("of", "body", "recorded"),
    [
        (CHAT, {"choices": []}, False),
        (CHAT, {"choices": [], "usage": {"completion_tokens": 9}}, False),
        (CHAT, {}, False),
        (CHAT, chat(), False),
        (CHAT, chat(None), False),
        (CHAT, chat([]), False),
        (CHAT, chat(reason=None), False),
        (CHAT, chat("Hi"), True),
        (CHAT, chat(tokens=3), True),
        (CHAT, chat(tokens=None), True),
        (CHAT, chat(reason="length"), True),
        (CHAT, chat(reason="content_filter"), True),
        (CHAT, chat(None, tool_calls=[CALL]), True),
        (CHAT, chat(None, refusal="No."), True),
        (CHAT, chat(None, reasoning_content="Hm."), True),
        (CHAT, {**chat(), "choices": [*chat()["choices"], *chat("Hi")["choices"]]}, True),
        (
            CHAT,
            {"choices": [{"text": "", "finish_reason": "stop"}], "usage": {"completion_tokens": 0}},
            False,
        ),
        (
            CHAT,
            {"choices": [{"text": "a", "finish_reason": "stop"}], "usage": {"completion_tokens": 0}},
            True,
        ),
        (CHAT, {"request_id": "deferred"}, True),
        (CHAT, chat("Hi", reason="abort"), False),
        (("openai", "/v1/embeddings"), {"data": [], "usage": {"completion_tokens": 0}}, True),
        (RESPONSES, response([]), False),
        (RESPONSES, response([], status="incomplete"), True),
        (RESPONSES, response([], status="queued"), True),
        (RESPONSES, response([{"type": "message"}]), True),
        (RESPONSES, response([], tokens=3), True),
        (MESSAGES, message([]), False),
        (MESSAGES, message([TEXT]), False),
        (MESSAGES, message([], reason=None), False),
        (MESSAGES, message([], tokens=2), True),
        (MESSAGES, message([], reason="max_tokens"), True),
        (MESSAGES, message([], reason="refusal"), True),
        (MESSAGES, message([{"type": "tool_use", "id": "t", "input": {}}]), True),
        (("anthropic", "/v1/messages/count_tokens"), {"input_tokens": 5}, True),
        (GEMINI, {"usageMetadata": {"promptTokenCount": 5}}, False),
        (GEMINI, {"candidates": [], "modelVersion": "m"}, False),
        (GEMINI, {"modelVersion": "m", "responseId": "r"}, False),
        (GEMINI, {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {}}, True),
        (GEMINI, {"promptFeedback": {}, "usageMetadata": {}}, False),
        (GEMINI, gemini(None), False),
        (GEMINI, gemini([{"text": ""}]), False),
        (GEMINI, gemini(None, "MAX_TOKENS"), True),
        (GEMINI, gemini(None, "SAFETY"), True),
        (GEMINI, gemini(None, thoughtsTokenCount=9), True),
        (GEMINI, gemini([{"text": "Hi"}]), True),
        (GEMINI, gemini([{"functionCall": {"name": "f"}}]), True),
        (("gemini", "/v1beta/models/m:embedContent"), {"embedding": {}, "usageMetadata": {}}, True),
        (("gemini", "/v1beta/models/m:countTokens"), {"totalTokens": 5}, True),
        # The SDK raises an error for it.
        (("openai", "/v1/embeddings"), {"object": "list", "data": [], "usage": {"prompt_tokens": 0}}, False),
        (("openai", "/v1/embeddings"), {"object": "list", "data": [{"index": 0}], "usage": {}}, True),
        (("openai", "/v1/images/generations"), {"created": 1, "data": []}, False),
        (("openai", "/v1/images/generations"), {"created": 1, "data": [{"b64_json": "AA=="}]}, True),
        (
            ("openai", "/v1/vector_stores/v/search"),
            {"object": "vector_store.search_results.page", "data": []},
            True,
        ),
        (("openai", "/v1/files/search"), {"object": "list", "data": []}, True),
        (CONVERSE, converse([]), False),
        (CONVERSE, converse([{"text": ""}]), False),
        (CONVERSE, converse([{"text": "Hi"}]), True),
        (CONVERSE, converse([], reason="guardrail_intervened"), True),
        (COHERE, cohere([]), False),
        (COHERE, cohere([TEXT]), False),
        (COHERE, cohere([], reason="MAX_TOKENS"), True),
        (COHERE, cohere([], tool_calls=[CALL]), True),
        (COHERE, cohere([{"type": "text", "text": "Hi"}], tokens=1), True),
        (OLLAMA, ollama(""), False),
        (OLLAMA, ollama("", eval_count=1), True),
        (OLLAMA, ollama("Hi"), True),
        (OLLAMA, ollama("", done_reason="load"), True),
        (OLLAMA, {"response": "", "done": True, "done_reason": "stop"}, False),
    ],
)
def test_documents(of: tuple[str, str], body: Any, recorded: bool) -> None:
    """No token and no reason for it, or no choice at all: an empty answer is not frozen; a short one is an answer."""
    assert (why(of, body) is None) == recorded


def chunk(delta: Any, reason: str | None = None, usage: Any = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}], "usage": usage}


NONE = {"completion_tokens": 0}
START = {"type": "message_start", "message": message([], reason=None)}
STOPPED = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 0}}
BLOCK = {"type": "content_block_start", "content_block": TEXT}
DELTA = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}}
STOP = {"type": "message_stop"}
DONE = "data: [DONE]\n\n"
ENDED = {"type": "message-end", "delta": cohere([])}


@pytest.mark.parametrize(
    ("of", "body", "recorded"),
    [
        (CHAT, DONE.encode(), False),
        (CHAT, sse({"choices": [], "usage": NONE}, end=DONE), False),
        (CHAT, sse(chunk({"role": "assistant"}), chunk({}, "stop", NONE), end=DONE), False),
        (
            CHAT,
            sse(chunk({"content": ""}), chunk({}, "stop"), {"choices": [], "usage": NONE}, end=DONE),
            False,
        ),
        (CHAT, sse({"choices": []}, chunk({"content": "Hi"}), chunk({}, "stop", NONE), end=DONE), True),
        (CHAT, sse(chunk({"role": "assistant"}), chunk({}, "stop"), end=DONE), True),
        (CHAT, sse(chunk({"role": "assistant"}), chunk({}, "length", NONE), end=DONE), True),
        (MESSAGES, sse(START, STOPPED, STOP), False),
        (MESSAGES, sse(START, BLOCK, STOPPED, STOP), False),
        (MESSAGES, sse(START, BLOCK, DELTA, STOPPED, STOP), True),
        (RESPONSES, sse({"type": "response.completed", "response": response([])}), False),
        (RESPONSES, sse({"type": "response.completed", "response": response([{}])}), True),
        (GEMINI, sse(gemini([{"text": ""}])), False),
        (GEMINI, sse(gemini([{"text": "Hi"}]), gemini([{"text": ""}])), True),
        (COHERE, sse({"type": "message-start"}, ENDED), False),
        (COHERE, sse({"type": "message-start"}, {"type": "content-delta"}, ENDED), True),
    ],
)
def test_streams(of: tuple[str, str], body: bytes, recorded: bool) -> None:
    """The same for streams that end as they should: what counts is what all their events say together."""
    assert (why(of, body, "text/event-stream") is None) == recorded


def test_bedrock_streams() -> None:
    """Converse's frames: a message that stops with no block in it and no token written is empty."""
    kind = "application/vnd.amazon.eventstream"

    def stream(*blocks: dict[str, Any]) -> bytes:
        frames = [frame(b'{"role": "assistant"}', event_type="messageStart")]
        frames += [frame(json.dumps(block).encode(), event_type="contentBlockDelta") for block in blocks]
        frames.append(frame(b'{"stopReason": "end_turn"}', event_type="messageStop"))
        frames.append(frame(b'{"usage": {"inputTokens": 5, "outputTokens": 0}}', event_type="metadata"))
        return b"".join(frames)

    assert why(CONVERSE, stream(), kind) is not None
    assert why(CONVERSE, stream({"contentBlockIndex": 0, "delta": {"text": "Hi"}}), kind) is None


OPERATION = ("gemini", "/v1beta/models/m/operations/o")
THREAD = ("openai", "/v1/threads/t/runs/r")


@pytest.mark.parametrize(
    ("of", "body", "recorded"),
    [
        (("openai", "/v1/responses/r"), {"object": "response", "status": "failed"}, False),
        (THREAD, {"status": "failed", "last_error": {"code": "server_error"}}, False),
        (THREAD, {"status": "failed", "last_error": {"code": "invalid_prompt"}}, True),
        (("openai", "/v1/videos/v"), {"status": "failed", "error": {"code": "internal_error"}}, False),
        (("openai", "/v1/videos/v"), {"status": "failed", "error": {"code": "moderation_blocked"}}, True),
        (("openai", "/v1/batches/b"), {"status": "failed", "errors": {"data": [{"code": "bad"}]}}, True),
        (OPERATION, {"done": True, "error": {"code": 13}}, False),
        (OPERATION, {"done": True, "error": {"status": "UNAVAILABLE"}}, False),
        (OPERATION, {"done": True, "error": {"code": 3}}, True),
        (OPERATION, {"done": True, "response": {}}, True),
        (("openai", "/v1/fine_tuning/jobs/j"), {"status": "failed", "error": {"code": 503}}, False),
    ],
)
def test_jobs_that_failed(of: tuple[str, str], body: Any, recorded: bool) -> None:
    """A job that failed through the provider's fault is looked at again; one that was asked in vain has its answer."""
    assert (why(of, body, method="GET") is None) == recorded


def test_a_plain_host_may_say_nothing() -> None:
    """On a host of which nothing is known, an empty document and a failed job are documents like others."""
    assert why(("plain", "/x"), {}) is None
    assert why(("plain", "/x"), {"status": "failed", "error": {"code": "server_error"}}, method="GET") is None
