"""What the pieces of a streamed answer come to: the document that the same API gives when it does not stream.

As everywhere, the API is recognised by what its events say. Pure functions; odd data raises nothing.
"""

from __future__ import annotations

import json
from typing import Any

from ..exchange import Response
from ..providers.usage import documents
from .messages import Message, Part, said, size
from .xai import as_chat

Json = Any
Object = dict[str, Json]


def answered(response: Response) -> list[Message]:
    """The messages of an answer, its stream put together."""
    kind = response.header("content-type").partition(";")[0].strip().lower()
    found = documents(response)
    events = [value for value in map(as_chat, found) if isinstance(value, dict)]
    if events:
        whole = _joined(events) if len(found) > 1 or _is_event(events[0]) else events[0]
        return [message for value in ([whole] if whole else events) for message in said(value)]
    if not response.body:
        return []
    try:
        text = response.body.decode()
    except UnicodeDecodeError:
        return [Message("assistant", (Part("note", f"[{kind or 'bytes'}, {size(len(response.body))}]"),))]
    return [Message("assistant", (Part("text", text),))]


def _is_event(value: Object) -> bool:
    return any("delta" in choice for choice in _dicts(value.get("choices"))) or "contentBlockIndex" in value


def _joined(events: list[Object]) -> Object | None:
    """One document for all events, or None when the API is not known."""
    for join in (_responses, _blocks, _cohere, _choices, _candidates, _lines):
        found = join(events)
        if found is not None:
            return found
    return None


def _responses(events: list[Object]) -> Object | None:
    """OpenAI's responses: the last event holds all of it, unless the reader left before."""
    if not any(str(event.get("type", "")).startswith("response.") for event in events):
        return None
    for event in reversed(events):
        whole = event.get("response")
        if isinstance(whole, dict) and whole.get("output"):
            return whole
    texts = [
        _text(event.get("delta")) for event in events if event.get("type") == "response.output_text.delta"
    ]
    return {"output": [{"type": "message", "role": "assistant", "content": "".join(texts)}]}


def _blocks(events: list[Object]) -> Object | None:
    """Anthropic's blocks of content, and Bedrock's, which differ in their names."""
    blocks: dict[Json, Object] = {}
    known = False
    for event in events:
        kind = event.get("type")
        known = known or kind == "message_start" or "contentBlockIndex" in event
        index = event.get("index", event.get("contentBlockIndex", 0))
        block = blocks.setdefault(str(index), {"type": "text"})
        if kind == "content_block_start" and isinstance(event.get("content_block"), dict):
            blocks[str(index)] = (
                {**event["content_block"], "input": ""}
                if _is_call(event["content_block"])
                else dict(event["content_block"])
            )
        elif isinstance(start := _dict(event.get("start")).get("toolUse"), dict):
            block.update(start, type="tool_use", input="")
        elif isinstance(event.get("delta"), dict):
            _add_delta(block, event["delta"])
    if not known:
        return None
    return {"role": "assistant", "content": [block for block in blocks.values() if len(block) > 1]}


def _is_call(block: Object) -> bool:
    return str(block.get("type", "")).endswith("tool_use")


def _add_delta(block: Object, delta: Object) -> None:
    tool = _dict(delta.get("toolUse"))
    thought = _dict(delta.get("reasoningContent"))
    for field, given in (
        ("text", delta.get("text")),
        ("thinking", delta.get("thinking") or thought.get("text")),
        ("input", delta.get("partial_json") or tool.get("input")),
    ):
        if isinstance(given, str):
            block[field] = _text(block.get(field)) + given
    if thought:
        block["type"] = "thinking"


def _cohere(events: list[Object]) -> Object | None:
    text, calls = "", []
    known = False
    for event in events:
        kind = event.get("type") or event.get("event_type")
        message = _dict(_dict(event.get("delta")).get("message"))
        known = known or kind in ("message-start", "stream-start", "content-start")
        if kind == "text-generation":
            text += _text(event.get("text"))
        elif kind == "content-delta":
            text += _text(_dict(message.get("content")).get("text"))
        elif kind == "tool-call-start":
            calls.append(dict(_dict(_dict(message.get("tool_calls")).get("function"))))
        elif kind == "tool-call-delta" and calls:
            more = _dict(_dict(message.get("tool_calls")).get("function"))
            calls[-1]["arguments"] = _text(calls[-1].get("arguments")) + _text(more.get("arguments"))
    if not known:
        return None
    return {
        "message": {
            "role": "assistant",
            "content": text,
            "tool_calls": [{"function": call} for call in calls],
        }
    }


def _choices(events: list[Object]) -> Object | None:
    """OpenAI's chat and completions, and all who speak like it."""
    if not any(isinstance(event.get("choices"), list) for event in events):
        return None
    found: dict[str, Object] = {}
    for event in events:
        for choice in _dicts(event.get("choices")):
            message = found.setdefault(str(choice.get("index", 0)), {"role": "assistant"})
            delta = _dict(choice.get("delta"))
            for field, given in (
                ("content", _words(delta.get("content")) or _text(choice.get("text"))),
                ("reasoning_content", _words(delta.get("reasoning_content") or delta.get("reasoning"))),
                ("refusal", _text(delta.get("refusal"))),
            ):
                if given:
                    message[field] = message.get(field, "") + given
            for call in _dicts(delta.get("tool_calls")):
                _add_call(message.setdefault("tool_calls", []), call)
    return {"choices": [{"message": message} for message in found.values()]}


def _add_call(calls: list[Object], piece: Object) -> None:
    index = piece.get("index")
    call = next((one for one in calls if one.get("index") == index), None) if index is not None else None
    if call is None:
        call = {"index": index, "function": {"name": "", "arguments": ""}}
        calls.append(call)
    for field in ("name", "arguments"):
        given = _dict(piece.get("function")).get(field)
        call["function"][field] += given if isinstance(given, str) else json.dumps(given) if given else ""


def _candidates(events: list[Object]) -> Object | None:
    """Gemini's: each event goes on where the last one ended."""
    if not any("candidates" in event or "usageMetadata" in event for event in events):
        return None
    found: dict[str, list[Object]] = {}
    for event in events:
        for candidate in _dicts(event.get("candidates")):
            parts = found.setdefault(str(candidate.get("index", 0)), [])
            for part in _dicts(_dict(candidate.get("content")).get("parts")):
                last = parts[-1] if parts else {}
                alike = "text" in part and "text" in last and part.get("thought") == last.get("thought")
                if alike:
                    last["text"] = _text(last["text"]) + _text(part["text"])
                else:
                    parts.append(dict(part))
    return {"candidates": [{"content": {"role": "model", "parts": parts}} for parts in found.values()]}


def _lines(events: list[Object]) -> Object | None:
    """Ollama's lines and Hugging Face's tokens."""
    text, thought = "", ""
    calls: list[Json] = []
    known = False
    for event in events:
        message = _dict(event.get("message"))
        token = _dict(event.get("token"))
        known = known or "done" in event or bool(token)
        if isinstance(event.get("generated_text"), str):
            return {"generated_text": event["generated_text"]}
        text += _text(message.get("content")) or _text(event.get("response")) or _text(token.get("text"))
        thought += _text(message.get("thinking")) or _text(event.get("thinking"))
        calls += _dicts(message.get("tool_calls"))
    if not known:
        return None
    thinking = {"reasoning_content": thought} if thought else {}
    return {"message": {"role": "assistant", "content": text, "tool_calls": calls, **thinking}}


def _words(content: Json) -> str:
    """A text, which Mistral sends as a list of parts."""
    if isinstance(content, list):
        return "".join(_text(part.get("text")) for part in _dicts(content))
    return _text(content)


def _dict(value: Json) -> Object:
    return value if isinstance(value, dict) else {}


def _dicts(value: Json) -> list[Object]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""
