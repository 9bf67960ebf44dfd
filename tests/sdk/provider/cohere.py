"""Cohere's API, version 2, and the embeddings of version 1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .content import example_json, sentence, text_of, vector, words
from .server import Answer, Request, Route, events, whole

_USAGE = {
    "billed_units": {"input_tokens": 11, "output_tokens": 7},
    "tokens": {"input_tokens": 11, "output_tokens": 7},
}


def chat(request: Request) -> Answer:
    asked, number = request.json, request.number
    message, finish = _message(number, asked)
    if asked.get("stream"):
        return events(_events(number, message, finish), named=True)
    return whole({"id": f"chat-{number}", "finish_reason": finish, "message": message, "usage": _USAGE})


def _message(number: int, asked: dict[str, Any]) -> tuple[dict[str, Any], str]:
    last = asked["messages"][-1]
    if asked.get("tools") and last["role"] != "tool":
        wanted = asked["tools"][0]["function"]
        function = {"name": wanted["name"], "arguments": example_json(wanted["parameters"], number)}
        call = {"id": f"{wanted['name']}_{number}", "type": "function", "function": function}
        return {"role": "assistant", "tool_plan": "I will ask.", "tool_calls": [call]}, "TOOL_CALL"
    schema = (asked.get("response_format") or {}).get("json_schema")
    text = example_json(schema, number) if schema else sentence(number, text_of(last["content"]))
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}, "COMPLETE"


def _events(number: int, message: dict[str, Any], finish: str) -> Iterator[Any]:
    yield {
        "type": "message-start",
        "id": f"chat-{number}",
        "delta": {"message": {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": []}},
    }
    for call in message.get("tool_calls", ()):
        start = {**call, "function": {**call["function"], "arguments": ""}}
        yield {"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": start}}}
        for word in words(call["function"]["arguments"]):
            piece = {"function": {"arguments": word}}
            yield {"type": "tool-call-delta", "index": 0, "delta": {"message": {"tool_calls": piece}}}
        yield {"type": "tool-call-end", "index": 0}
    for part in message.get("content", ()):
        start = {"type": "text", "text": ""}
        yield {"type": "content-start", "index": 0, "delta": {"message": {"content": start}}}
        for word in words(part["text"]):
            yield {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": word}}}}
        yield {"type": "content-end", "index": 0}
    yield {"type": "message-end", "delta": {"finish_reason": finish, "usage": _USAGE}}
    yield "[DONE]"


def embed(request: Request) -> Answer:
    asked = request.json
    texts = asked["texts"]
    head = {"id": f"embed-{request.number}", "texts": texts, "meta": {"api_version": {"version": "2"}}}
    vectors = {"float": [vector(text) for text in texts]}
    return whole({**head, "response_type": "embeddings_by_type", "embeddings": vectors})


ROUTES: tuple[Route, ...] = (
    ("POST", "/cohere/v2/chat", chat),
    ("POST", "/cohere/v2/embed", embed),
    ("POST", "/cohere/v1/embed", embed),
)
