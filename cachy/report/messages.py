"""A conversation as people read it: who says what, which tool is called with what, and where there is a picture.

Requests and whole answers of all known APIs are read by one function, because they are built from the same few
kinds of parts under different names. What is not recognised is shown as JSON; nothing is left out in silence.
Streams are put together first, see `cachy.report.joined`. Pure functions; odd data raises nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from .xai import as_chat

Json = Any

_SYSTEM = ("system", "instructions", "systemInstruction", "system_instruction", "preamble")
TURNS = (
    "chat_history",
    "messages",
    "input",
    "contents",
    "message",
    "prompt",
    "inputs",
    "texts",
    "query",
    "content",
)
_MEDIA = frozenset(
    [
        "image",
        "image_url",
        "input_image",
        "input_audio",
        "audio",
        "document",
        "input_file",
        "file",
        "video",
        "inlineData",
        "inline_data",
        "fileData",
        "file_data",
    ]
)
_CALLS = frozenset(
    [
        "tool_use",
        "server_tool_use",
        "mcp_tool_use",
        "function_call",
        "custom_tool_call",
        "mcp_call",
        "computer_call",
        "toolUse",
        "functionCall",
        "function",
    ]
)
_RESULTS = frozenset(
    [
        "tool_result",
        "function_call_output",
        "custom_tool_call_output",
        "computer_call_output",
        "mcp_tool_result",
        "toolResult",
        "functionResponse",
        "web_search_tool_result",
        "code_execution_tool_result",
    ]
)
_THOUGHTS = ("thinking", "reasoning")


class Part(NamedTuple):
    """A piece of a message: `text`, `thinking`, `call` and `result` (of the tool `name`), or a `note` about what is
    no text."""

    kind: str
    text: str
    name: str = ""


class Message(NamedTuple):
    """What one side says."""

    role: str
    parts: tuple[Part, ...]


def asked(request: dict[str, Json]) -> list[Message]:
    """The messages in a canonical request (see `cachy.keys`)."""
    body = _dict(request.get("body"))
    if "json" not in body:
        other = tuple(_other_body(body))
        return [Message("user", other)] if other else []
    value = as_chat(body["json"])
    if not isinstance(value, dict):
        return [Message("user", tuple(parts(value)))]
    found = [Message("system", tuple(parts(value[name]))) for name in _SYSTEM if value.get(name)]
    for name in TURNS:
        given = value.get(name)
        if isinstance(given, list) and any(isinstance(item, dict) for item in given):
            found += [_message(item, "user") for item in given]
        elif given:
            found.append(Message("user", tuple(parts(given))))
    return found or [Message("user", (Part("text", _json(value)),))]


def said(document: Json) -> list[Message]:
    """The messages in a whole answer: a JSON document, or what a stream comes to."""
    value = _dict(document)
    if isinstance(value.get("choices"), list) and value["choices"]:
        choices = [_dict(choice) for choice in value["choices"]]
        return [
            _message(choice.get("message") or choice.get("text") or "", "assistant") for choice in choices
        ]
    if isinstance(value.get("candidates"), list):
        contents = [_dict(candidate).get("content") or "" for candidate in value["candidates"]]
        return [_message(content, "model") for content in contents]
    for inner in (value.get("message"), _dict(value.get("output")).get("message")):
        if isinstance(inner, dict):
            return [_message(inner, "assistant")]
    for name in (
        "content",
        "output",
        "outputs",
        "text",
        "response",
        "generated_text",
        "generation",
        "completion",
    ):
        if isinstance(value.get(name), str | list) and value[name]:
            return [Message(str(value.get("role") or "assistant"), tuple(parts(value[name])))]
    if vectors := _vectors(value):
        return [Message("assistant", (Part("note", vectors),))]
    return [Message("assistant", (Part("text", _json(document)),))]


def plain(messages: list[Message]) -> str:
    """All words of a conversation, one part a line."""
    return "\n".join(
        f"{part.name} {part.text}" if part.name else part.text
        for message in messages
        for part in message.parts
    )


def _message(value: Json, role: str) -> Message:
    given = _dict(value)
    kind = str(given.get("type", ""))
    who = given.get("role") or (
        "tool" if kind in _RESULTS else "assistant" if kind in (*_CALLS, "reasoning") else role
    )
    return Message(str(who).lower(), tuple(parts(value)))


def parts(value: Json) -> Iterator[Part]:
    """The parts of a value that stands where an API expects content."""
    if isinstance(value, str):
        if value:
            yield Part("text", value)
    elif isinstance(value, list):
        if len(value) > 16 and all(isinstance(item, int | float) for item in value):
            yield Part("note", f"[{len(value)} numbers]")
            return
        for item in value:
            yield from parts(item)
    elif isinstance(value, dict):
        yield from _parts(value)
    elif value is not None:
        yield Part("text", _json(value))


def _parts(value: dict[str, Json]) -> Iterator[Part]:
    kind = value.get("type")
    name = kind if isinstance(kind, str) else ""
    # Gemini and Bedrock name the kind by the only field there is.
    inner = next((field for field in (*_CALLS, *_RESULTS, *_MEDIA) if isinstance(value.get(field), dict)), "")
    if name in _RESULTS or inner in _RESULTS or value.get("role") == "tool":
        yield _result(_dict(value.get(inner)) if inner in _RESULTS else value)
    elif name in _CALLS or inner in _CALLS:
        yield _call(_dict(value.get(inner)) if inner in _CALLS else value)
    elif name in _MEDIA or inner in _MEDIA or set(value) >= {"digest", "size"}:
        yield Part("note", note(value))
    elif "role" not in value and (
        name in _THOUGHTS or "reasoningContent" in value or value.get("thought") is True
    ):
        yield Part("thinking", _all_text(value) or "[hidden]")
    elif name == "redacted_thinking":
        yield Part("thinking", "[hidden]")
    elif any(
        field in value for field in ("content", "parts", "tool_calls", "refusal", "text", "function_call")
    ):
        if thought := value.get("reasoning_content") or value.get("thinking"):
            yield Part("thinking", _all_text(thought))
        for field in ("text", "content", "parts", "refusal", "tool_calls"):
            yield from parts(value.get(field))
        if isinstance(value.get("function_call"), dict):
            yield _call(value["function_call"])
    else:
        yield Part("text", _json(value))


def _call(value: dict[str, Json]) -> Part:
    function = _dict(value.get("function")) or value
    given: Json = next(
        (function[field] for field in ("arguments", "input", "args") if function.get(field)), {}
    )
    return Part(
        "call",
        given if isinstance(given, str) else _json(given),
        str(function.get("name") or value.get("type", "")),
    )


def _result(value: dict[str, Json]) -> Part:
    given = next(
        (value[field] for field in ("output", "content", "response", "results") if field in value), ""
    )
    pieces = list(parts(given)) if isinstance(given, str | list) else [Part("text", _json(given))]
    names = ("name", "tool_use_id", "toolUseId", "tool_call_id", "call_id")
    name = next((value[field] for field in names if value.get(field)), "")
    return Part("result", "\n".join(part.text for part in pieces), str(name))


def _all_text(value: Json) -> str:
    """The words in what a model only thought: each API nests them in its own way."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(filter(None, map(_all_text, value)))
    fields = ("thinking", "text", "summary", "reasoningContent", "reasoningText")
    return "\n".join(
        filter(
            None, (_all_text(value[field]) for field in fields if isinstance(value, dict) and field in value)
        )
    )


def note(value: Json) -> str:
    """What stands for a picture, a sound or a file: `[image/png, 12.3 kB]`."""
    facts = dict(_facts(value))
    kind = facts.get("kind") or (value.get("type") if isinstance(value, dict) else "") or "file"
    return f"[{', '.join(filter(None, (str(kind), facts.get('name', ''), facts.get('size', ''), facts.get('url', ''))))}]"


def _facts(value: Json) -> Iterator[tuple[str, str]]:
    """What is known of a file, the outermost last."""
    if isinstance(value, list):
        for item in value:
            yield from _facts(item)
    if not isinstance(value, dict):
        return
    for name, item in value.items():
        yield from _facts(item)
        if not isinstance(item, str):
            continue
        if name in ("media_type", "mimeType", "mime_type", "format"):
            yield "kind", item
        elif name == "data" and "digest" in value:
            yield "kind", item.partition(";")[0]
        elif name in ("filename", "file_name", "title", "fileUri", "file_uri", "file_id"):
            yield "name", item
        elif name in ("url", "image_url") and item:
            yield ("kind", item[5:].partition(";")[0]) if item.startswith("data:") else ("url", item)
        if (
            name in ("data", "bytes", "url", "image_url", "file_data")
            and "digest" not in value
            and len(item) > 64
        ):
            yield "size", size(len(item.rpartition(",")[2]) * 3 // 4)
    if isinstance(value.get("size"), int):
        # A digest stands for base64 text where it came from JSON, and counts its characters.
        base64 = "data" in value or "type" not in value
        yield "size", size(value["size"] * 3 // 4 if base64 else value["size"])


def size(count: int) -> str:
    """Bytes as people read them: `840 B`, `12.3 kB`, `4.1 MB`."""
    number, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if number < 999.5 or unit == "GB":
            break
        number /= 1000
    return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"


def _other_body(body: dict[str, Json]) -> Iterator[Part]:
    if "text" in body:
        yield Part("text", str(body["text"]))
    for pair in body.get("form") or ():
        yield Part("text", "=".join(map(str, pair)))
    for part in body.get("multipart") or ():
        given = _dict(part)
        if "text" in given:
            yield Part("text", f"{given.get('name', '')}={given['text']}")
        else:
            yield Part("note", note({"filename": given.get("filename", ""), **given}))
    if "digest" in body:
        yield Part("note", note(body))


def _vectors(value: dict[str, Json]) -> str:
    """`3 embeddings of 1536 numbers` for an answer that is such, else ""."""
    found = value.get("data") or value.get("embeddings") or value.get("embedding") or value.get("predictions")
    if isinstance(found, dict):
        found = found.get("float") or found.get("values")
    rows = found if isinstance(found, list) else []
    if rows and isinstance(rows[0], int | float):
        rows = [rows]
    first = rows[0] if rows else None
    if isinstance(first, dict):
        first = first.get("embedding") or first.get("values")
    if isinstance(first, str):
        return f"[{len(rows)} embeddings, base64]" if "embedding" in _dict(rows[0]) else ""
    if isinstance(first, list) and first and isinstance(first[0], int | float):
        return f"[{len(rows)} embedding{'s' * (len(rows) != 1)} of {len(first)} numbers]"
    return ""


def _dict(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)
