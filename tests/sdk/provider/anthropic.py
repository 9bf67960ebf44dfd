"""Anthropic's API: messages, counting tokens, files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .content import calls_due, example, example_json, sentence, text_of, words
from .server import Answer, Request, Route, events, whole


def messages(request: Request) -> Answer:
    asked, number = request.json, request.number
    blocks, reason = _blocks(number, asked)
    answer = {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": asked["model"],
        "content": blocks,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 11, "output_tokens": 7},
    }
    headers = {"request_id": f"req_{number}", "anthropic_organization_id": "a-company-of-ours"}
    if asked.get("stream"):
        return events(_events(answer), named=True, **headers)
    return whole(answer, **headers)


def _blocks(number: int, asked: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
    content = asked["messages"][-1]["content"]
    if asked.get("tools"):
        due = calls_due(json.dumps(asked["messages"]), _results(asked["messages"]))
        insists = (asked.get("tool_choice") or {}).get("type") in ("any", "tool")
        tool = asked["tools"][0 if due else -1]
        uses = [_use(number, index, tool) for index in range(due or insists)]
        if uses:
            return uses, "tool_use"
    wanted = (asked.get("output_config") or {}).get("format")
    text = example_json(wanted["schema"], number) if wanted else sentence(number, text_of(content))
    return [{"type": "text", "text": text}], "end_turn"


def _results(messages: list[dict[str, Any]]) -> int:
    contents = [message["content"] for message in messages if isinstance(message["content"], list)]
    return sum(block["type"] == "tool_result" for content in contents for block in content)


def _use(number: int, index: int, tool: dict[str, Any]) -> dict[str, Any]:
    given = example(tool["input_schema"], number + index)
    return {"type": "tool_use", "id": f"toolu_{number}{index or ''}", "name": tool["name"], "input": given}


def _events(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    usage = {"input_tokens": 11, "output_tokens": 1}
    yield {
        "type": "message_start",
        "message": {**answer, "content": [], "stop_reason": None, "usage": usage},
    }
    for index, block in enumerate(answer["content"]):
        empty = {"text": ""} if block["type"] == "text" else {"input": {}}
        yield {"type": "content_block_start", "index": index, "content_block": {**block, **empty}}
        yield {"type": "ping"}
        if block["type"] == "text":
            deltas = [{"type": "text_delta", "text": word} for word in words(block["text"])]
        else:
            written = json.dumps(block["input"], ensure_ascii=False)
            deltas = [{"type": "input_json_delta", "partial_json": word} for word in words(written)]
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ended = {"stop_reason": answer["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": ended, "usage": {"output_tokens": 7}}
    yield {"type": "message_stop"}


def count_tokens(request: Request) -> Answer:
    return whole({"input_tokens": 100 + request.number})


def upload(request: Request) -> Answer:
    name, content = request.part("file")
    facts = {"filename": name, "mime_type": "text/plain", "size_bytes": len(content), "downloadable": False}
    created = "2026-06-01T12:00:00Z"
    return whole({"id": f"file_{request.number}", "type": "file", "created_at": created, **facts})


ROUTES: tuple[Route, ...] = (
    ("POST", "/anthropic/v1/messages", messages),
    ("POST", "/anthropic/v1/messages/count_tokens", count_tokens),
    ("POST", "/anthropic/v1/files", upload),
)
