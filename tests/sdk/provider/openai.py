"""OpenAI's API, which Groq, LiteLLM and many others speak too: chat, responses, embeddings, audio, files."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

from .content import SPEECH, calls_due, example_json, marked, sentence, text_of, vector, words
from .server import Answer, Request, Route, binary, events, whole

CREATED = 1_780_000_000
FILE_CONTENT = b"The provider's copy of a file.\n" * 3


def chat(request: Request) -> Answer:
    asked = request.json
    head = {"id": f"chatcmpl-{request.number}", "created": CREATED, "model": asked["model"]}
    message, finish = _message(request.number, asked)
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    request_id = f"req_{request.number}"
    if asked.get("stream"):
        chunks = _chat_chunks(head, message, finish, asked, usage)
        return events(chunks, x_request_id=request_id)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    answer = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
    return whole(answer, x_request_id=request_id)


def _message(number: int, asked: dict[str, Any]) -> tuple[dict[str, Any], str]:
    last = asked["messages"][-1]
    if asked.get("tools"):
        roles = [message["role"] for message in asked["messages"]]
        due = calls_due(json.dumps(asked["messages"]), roles.count("tool") or roles.count("assistant"))
        # Who insists on a call gets one; the last tool is the one that ends a loop.
        insists = asked.get("tool_choice") not in (None, "auto", "none")
        wanted = asked["tools"][0 if due else -1]["function"]
        calls = [_call(number, index, wanted) for index in range(due or insists)]
        if calls:
            message = {"role": "assistant", "content": None, "refusal": None, "tool_calls": calls}
            return message, "tool_calls"
    schema = (asked.get("response_format") or {}).get("json_schema", {}).get("schema")
    question = text_of(last["content"])
    text = example_json(schema, number) if schema else marked(number, question) or sentence(number, question)
    return {"role": "assistant", "content": text, "refusal": None}, "stop"


def _call(number: int, index: int, wanted: dict[str, Any]) -> dict[str, Any]:
    function = {"name": wanted["name"], "arguments": example_json(wanted["parameters"], number + index)}
    return {"id": f"call_{number}{index or ''}", "type": "function", "function": function}


def _chat_chunks(
    head: dict[str, Any], message: dict[str, Any], finish: str, asked: dict[str, Any], usage: dict[str, int]
) -> Iterator[Any]:
    def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return {**head, "object": "chat.completion.chunk", "choices": [choice]}

    yield chunk({"role": "assistant", "content": None if "tool_calls" in message else ""})
    for index, call in enumerate(message.get("tool_calls", ())):
        function = call["function"]
        yield chunk({"tool_calls": [{**call, "index": index, "function": {**function, "arguments": ""}}]})
        for word in words(function["arguments"]):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": word}}]})
    for word in words(message["content"] or ""):
        yield chunk({"content": word})
    yield chunk({}, finish)
    if (asked.get("stream_options") or {}).get("include_usage"):
        yield {**head, "object": "chat.completion.chunk", "choices": [], "usage": usage}
    yield "[DONE]"


def responses(request: Request) -> Answer:
    asked, number = request.json, request.number
    if asked.get("background"):
        from .jobs import in_background  # which needs this module

        return in_background(request)
    answer: dict[str, Any] = {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": CREATED,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": asked.get("instructions"),
        "metadata": {},
        "model": asked["model"],
        "output": _output(number, asked),
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "text": asked.get("text", {"format": {"type": "text"}}),
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
    }
    usage = {
        "input_tokens": 11,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 18,
    }
    request_id = f"req_{number}"
    if not asked.get("stream"):
        return whole({**answer, "usage": usage}, x_request_id=request_id)
    numbered = [
        {**event, "sequence_number": index} for index, event in enumerate(_response_events(answer, usage))
    ]
    return events(numbered, named=True, x_request_id=request_id)


def _output(number: int, asked: dict[str, Any]) -> list[dict[str, Any]]:
    given = asked["input"]
    items = [] if isinstance(given, str) else given
    results = [item for item in items if item.get("type") == "function_call_output"]
    if asked.get("tools") and (due := calls_due(json.dumps(given), len(results))):
        tool = asked["tools"][0]
        return [
            {
                "type": "function_call",
                "id": f"fc_{number}{index or ''}",
                "call_id": f"call_{number}{index or ''}",
                "name": tool["name"],
                "arguments": example_json(tool["parameters"], number + index),
                "status": "completed",
            }
            for index in range(due)
        ]
    schema = (asked.get("text") or {}).get("format", {}).get("schema")
    text = example_json(schema, number) if schema else sentence(number, str(items[-1] if items else given))
    return [
        {
            "type": "message",
            "id": f"msg_{number}",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": text, "annotations": []}],
        }
    ]


def _response_events(answer: dict[str, Any], usage: dict[str, Any]) -> Iterator[dict[str, Any]]:
    started = {**answer, "status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "response": started}
    yield {"type": "response.in_progress", "response": started}
    for index, item in enumerate(answer["output"]):
        yield from _item_events(index, item)
    yield {"type": "response.completed", "response": {**answer, "usage": usage}}


def _item_events(index: int, item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    at: dict[str, Any] = {"output_index": index, "item_id": item["id"]}
    empty = {"content": []} if item["type"] == "message" else {"arguments": ""}
    added = {**item, **empty, "status": "in_progress"}
    yield {"type": "response.output_item.added", "output_index": index, "item": added}
    if item["type"] == "message":
        (part,) = item["content"]
        at["content_index"] = 0
        yield {"type": "response.content_part.added", **at, "part": {**part, "text": ""}}
        for word in words(part["text"]):
            yield {"type": "response.output_text.delta", **at, "delta": word, "logprobs": []}
        yield {"type": "response.output_text.done", **at, "text": part["text"], "logprobs": []}
        yield {"type": "response.content_part.done", **at, "part": part}
    else:
        for word in words(item["arguments"]):
            yield {"type": "response.function_call_arguments.delta", **at, "delta": word}
        arguments = {"name": item["name"], "arguments": item["arguments"]}
        yield {"type": "response.function_call_arguments.done", **at, **arguments}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def embeddings(request: Request) -> Answer:
    asked = request.json
    texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
    data = []
    for index, text in enumerate(texts):
        values: Any = vector(text)
        if asked.get("encoding_format") == "base64":  # what the SDK asks for when nobody says otherwise
            values = base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
        data.append({"object": "embedding", "index": index, "embedding": values})
    usage = {"prompt_tokens": 4, "total_tokens": 4 + request.number}
    return whole({"object": "list", "data": data, "model": asked["model"], "usage": usage})


def speech(request: Request) -> Answer:
    return binary([*SPEECH, bytes([request.number])], "audio/mpeg")


def transcription(request: Request) -> Answer:
    name, content = request.part("file")
    return whole({"text": f"{name}: {len(content)} bytes, heard by {request.number}"})


def _file(number: int, name: str, size: int) -> dict[str, Any]:
    facts = {"filename": name, "bytes": size, "purpose": "user_data", "status": "processed"}
    return {"id": f"file-{number}", "object": "file", "created_at": CREATED, **facts}


def upload(request: Request) -> Answer:
    name, content = request.part("file")
    return whole(_file(request.number, name, len(content)))


def file_list(request: Request) -> Answer:
    """Two pages, the second of which is asked for by the last id of the first."""
    first = "after" not in request.query
    files = [_file(100 * request.number + index, f"{index}.txt", index) for index in (1, 2)]
    return whole({"object": "list", "data": files, "has_more": first})


def file_content(request: Request) -> Answer:
    return binary([FILE_CONTENT + b"%d" % request.number], "application/octet-stream")


# Groq mounts the API at /openai/v1, Azure at /openai/deployments/NAME.
_BASE = r"(?:/openai)?(?:/v1|/deployments/[^/]+)"

ROUTES: tuple[Route, ...] = (
    ("POST", _BASE + "/chat/completions", chat),
    ("POST", _BASE + "/responses", responses),
    ("POST", _BASE + "/embeddings", embeddings),
    ("POST", _BASE + "/audio/speech", speech),
    ("POST", _BASE + "/audio/transcriptions", transcription),
    ("POST", _BASE + "/files", upload),
    ("GET", _BASE + "/files", file_list),
    ("GET", _BASE + "/files/[^/]+/content", file_content),
)
