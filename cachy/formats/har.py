"""HAR files (version 1.2), as browsers, proxies and test tools write them.

The format: http://www.softwareishard.com/blog/har-12-spec/
"""

from __future__ import annotations

import base64
import json
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from .. import __version__
from ..exchange import Body, Headers, Request, Response
from . import Interaction, Unreadable, answer

_CREATOR = json.dumps({"name": "cachy", "version": __version__})
HEAD, BETWEEN, TAIL = f'{{"log": {{"version": "1.2", "creator": {_CREATOR}, "entries": [\n', ",\n", "\n]}}\n"
EMPTY_TAIL = TAIL


def interaction(item: dict[str, Any]) -> Interaction:
    """One entry of a HAR file. Raises Unreadable, or whatever a wrong shape makes it raise."""
    asked, given = item["request"], item["response"]
    status = int(given["status"])
    if not status:
        raise Unreadable("it got no answer")
    headers = _headers(asked)
    posted = asked.get("postData") or {}
    if posted.get("mimeType") and not any(name == "content-type" for name, _ in headers):
        headers = (*headers, ("content-type", posted["mimeType"]))
    request = Request(asked["method"].upper(), asked["url"], headers, Body(_posted(posted)))
    content = given.get("content") or {}
    text = content.get("text") or ""
    if not text and (content.get("size") or 0) > 0:
        raise Unreadable("the tool that wrote it left out the body")
    body = (
        base64.b64decode(text)
        if content.get("encoding") == "base64"
        else text.encode("utf-8", "surrogateescape")
    )
    told = _headers(given)
    if content.get("mimeType") and not any(name == "content-type" for name, _ in told):
        told = (*told, ("content-type", content["mimeType"]))
    ms = max(0, round(item.get("time") or 0))
    return Interaction(request, answer(status, given.get("statusText") or "", told, body, ms), _at(item))


def _headers(message: dict[str, Any]) -> Headers:
    pairs = ((str(header["name"]).lower(), str(header["value"])) for header in message.get("headers") or [])
    return tuple(pair for pair in pairs if not pair[0].startswith(":"))  # HTTP/2's own


def _posted(posted: dict[str, Any]) -> bytes:
    if "text" in posted:
        text = posted["text"] or ""
        # `encoding` is no part of the format, but what some tools write for bytes.
        return (
            base64.b64decode(text)
            if posted.get("encoding") == "base64"
            else text.encode("utf-8", "surrogateescape")
        )
    params = posted.get("params") or []
    if any("fileName" in param for param in params):
        raise Unreadable("a form with files, whose bytes were left out")
    return urlencode([(param["name"], param.get("value", "")) for param in params]).encode()


def _at(item: dict[str, Any]) -> str:
    try:
        moment = datetime.fromisoformat(str(item["startedDateTime"]).replace("Z", "+00:00"))
        return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (KeyError, ValueError, OverflowError):
        return ""


def entry(request: Request, response: Response, at: str) -> str:
    """One entry, without the comma between it and the next."""
    data = request.body.data or b""
    kind = request.header("content-type", "application/octet-stream")
    sent = {"mimeType": kind, **_content(data)} if data else None
    item = {
        "startedDateTime": at or "1970-01-01T00:00:00Z",
        "time": response.ms,
        "request": {
            "method": request.method,
            "url": request.url,
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": _pairs(request.headers),
            "queryString": _pairs(parse_qsl(urlsplit(request.url).query, keep_blank_values=True)),
            **({"postData": sent} if sent else {}),
            "headersSize": -1,
            "bodySize": len(data),
        },
        "response": {
            "status": response.status,
            "statusText": response.reason,
            "httpVersion": response.http_version,
            "cookies": [],
            "headers": _pairs(response.headers),
            "content": {
                "size": len(response.body),
                "mimeType": response.header("content-type"),
                **_content(response.body),
            },
            "redirectURL": response.header("location"),
            "headersSize": -1,
            "bodySize": len(response.body),
        },
        "cache": {},
        "timings": {"send": 0, "wait": response.ms, "receive": 0},
    }
    return json.dumps(item, ensure_ascii=True)


def _content(body: bytes) -> dict[str, str]:
    try:
        return {"text": body.decode()}
    except UnicodeDecodeError:
        return {"text": base64.b64encode(body).decode("ascii"), "encoding": "base64"}


def _pairs(headers: Any) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers]
