"""Cassettes of vcrpy and pytest-recording (version 1), in YAML and JSON.

    {"version": 1, "interactions": [{"request": {"method", "uri", "body", "headers"}, "response": {...}}]}

Bodies take every form that is found in the wild: a text, bytes (`!!binary`), the file or the iterator that was sent,
`{"string": ...}`, `{"base64_string": ...}`, compressed, or parsed JSON in a field of its own (`parsed_body`, as the
serializer of Pydantic AI writes it).
"""

from __future__ import annotations

import base64
import json
from typing import Any

from ..exchange import Headers, Request, Response
from . import Interaction, Unreadable, answer, question
from .documents import yaml_module

HEAD, BETWEEN, TAIL = "interactions:\n", "", "version: 1\n"
EMPTY_TAIL = "  []\n" + TAIL


def interaction(item: dict[str, Any]) -> Interaction:
    """One interaction of a cassette. Raises Unreadable, or whatever a wrong shape makes it raise."""
    asked, given = item["request"], item["response"]
    if "status_code" in given:  # as vcrpy wrote the answers of httpx before its version 6
        given = {**given, "status": given["status_code"], "body": given["content"]}
    request = question(asked["method"], asked["uri"], _headers(asked), _body(asked))
    status = given["status"]
    code, reason = (status["code"], status.get("message")) if isinstance(status, dict) else (status, None)
    response = answer(int(code), str(reason) if reason else None, _headers(given), _body(given))
    at = item.get("recorded_at")
    return Interaction(
        request, response, at if isinstance(at, str) and len(at) == 20 and at[-1] == "Z" else ""
    )


def _headers(message: dict[str, Any]) -> Headers:
    found: list[tuple[str, str]] = []
    for name, values in (message.get("headers") or {}).items():
        for value in values if isinstance(values, list) else [values]:
            text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
            found.append((str(name).lower(), text))
    return tuple(found)


def _body(message: dict[str, Any]) -> bytes:
    if "parsed_body" in message:
        return json.dumps(message["parsed_body"], ensure_ascii=False, separators=(",", ":")).encode()
    body = message.get("body")
    if isinstance(body, dict):
        if "base64_string" in body:
            return base64.b64decode(body["base64_string"])
        if "string" not in body:
            return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        body = body["string"]
    if isinstance(body, str):
        return body.encode("utf-8", "surrogateescape")
    if body is None or isinstance(body, bytes):
        return body or b""
    if isinstance(body, list | tuple):
        return b"".join(map(_chunk, body))
    raise Unreadable(f"a body of the type {type(body).__name__}")


def _chunk(part: str | bytes | int) -> bytes:
    if isinstance(part, str):
        return part.encode("utf-8", "surrogateescape")
    return part if isinstance(part, bytes) else bytes([part])


def entry(request: Request, response: Response, at: str) -> str:
    """One interaction in YAML. Raises Unreadable without PyYAML."""
    yaml = yaml_module()
    sent = _text(request.body.data or b"")
    item = {
        "request": {
            "body": sent or None,
            "headers": _lists(request.headers),
            "method": request.method,
            "uri": request.url,
        },
        "response": {
            "body": {"string": _text(response.body)},
            "headers": _lists(response.headers),
            "status": {"code": response.status, "message": response.reason or ""},
        },
        **({"recorded_at": at} if at else {}),
    }
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump([item], Dumper=dumper, allow_unicode=True, sort_keys=False))


def _text(body: bytes) -> str | bytes:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body


def _lists(headers: Headers) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(name, []).append(value)
    return found
