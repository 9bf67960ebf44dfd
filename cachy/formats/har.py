"""HAR files (version 1.2), as browsers, proxies and test tools write them.

The format: http://www.softwareishard.com/blog/har-12-spec/
"""

from __future__ import annotations

import base64
import json
import re
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from .. import __version__
from ..exchange import Headers, Request, Response
from . import Interaction, Unreadable, answer, is_text, length_of, question

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
        headers = (*headers, ("content-type", str(posted["mimeType"])))
    body = _posted(posted, dict(headers).get("content-type", ""), asked.get("bodySize"))
    if not body and max(length_of(headers) or 0, asked.get("bodySize") or 0) > 0:
        raise Unreadable("the tool that wrote it left out what was sent")
    request = question(asked["method"], _url(asked), headers, body)
    content = given.get("content") or {}
    size = content.get("size") or 0
    told = _headers(given)
    if content.get("mimeType") and not any(name == "content-type" for name, _ in told):
        told = (*told, ("content-type", str(content["mimeType"])))
    if not content.get("text") and size > 0:
        raise Unreadable("the tool that wrote it left out the body")
    # mitmproxy's `size` is that of the encoded body; by the format it is that of the decoded one.
    sizes = (size, size + (content.get("compression") or 0))
    body = _bytes(content, dict(told).get("content-type", ""), sizes)
    ms = max(0, round(item.get("time") or 0))
    # A body should stand here decoded: one of which only that is known is.
    sent = max(0, given.get("bodySize") or 0)
    return Interaction(
        request, answer(status, given.get("statusText") or None, told, body, ms, sent), _at(item)
    )


def _headers(message: dict[str, Any]) -> Headers:
    pairs = ((str(header["name"]).lower(), str(header["value"])) for header in message.get("headers") or [])
    return tuple(pair for pair in pairs if not pair[0].startswith(":"))  # HTTP/2's own


def _url(asked: dict[str, Any]) -> str:
    """The URL with its query, which Insomnia writes only beside it."""
    url: str = asked["url"]
    query = [(pair["name"], pair.get("value") or "") for pair in asked.get("queryString") or []]
    return url + "?" + urlencode(query) if query and "?" not in url else url


def _posted(posted: dict[str, Any], kind: str, size: int | None) -> bytes:
    if "text" in posted:
        return _bytes(posted, kind, (size or 0,))
    params = posted.get("params") or []
    if any("fileName" in param for param in params):
        raise Unreadable("a form with files, whose bytes were left out")
    if kind.startswith("multipart/") and params:
        raise Unreadable("a form in parts, which were not written as they were sent")
    return urlencode([(param["name"], param.get("value", "")) for param in params]).encode()


def _bytes(content: dict[str, Any], kind: str, sizes: tuple[int, ...]) -> bytes:
    """The bytes of a body of the content type `kind`, which has one of these sizes if they are above 0.

    The text of a HAR file is in UTF-8 whatever the body was in. Raises Unreadable when the bytes are lost.
    """
    text = content.get("text") or ""
    # `encoding` is no part of the format for what was sent, but what some tools write there, too.
    if content.get("encoding") == "base64":
        return base64.b64decode(text)
    body: bytes = text.encode("utf-8", "surrogateescape")
    if text.isascii():
        return body
    if "\ufffd" in text and max(sizes) > 0 and len(body) not in sizes:
        raise Unreadable("bytes that the tool wrote as text, and lost")
    with suppress(LookupError, UnicodeError):
        if charset := _CHARSET.search(kind):
            return bytes(text.encode(charset[1]))
        if not _UTF8.search(kind):
            # What names no charset Chromium and mitmproxy read as Western, though it be UTF-8 or no text at all.
            western = bytes(text.translate(_WINDOWS).encode("latin-1", "surrogateescape"))
            if is_text(western) or (
                not _TEXT.search(kind) and len(body) not in sizes and len(western) in sizes
            ):
                return western
    return body


_CHARSET = re.compile(r"charset=[\"']?([\w.:-]+)", re.IGNORECASE)
_UTF8 = re.compile(r"json", re.IGNORECASE)  # it has no other charset (RFC 8259), and all tools know that
_TEXT = re.compile(r"^text/|xml|javascript|urlencoded", re.IGNORECASE)
# Windows-1252 as browsers read it (encoding.spec.whatwg.org): Latin-1 with these signs in the place of controls.
_WINDOWS = {ord(sign): 0x80 + at for at, sign in enumerate("€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ")}


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
    sent = {"mimeType": kind, **_content(data, kind)} if data else None
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
            "statusText": response.reason or "",
            "httpVersion": response.http_version,
            "cookies": [],
            "headers": _pairs(response.headers),
            "content": {
                "size": len(response.body),
                "mimeType": response.header("content-type"),
                **_content(response.body, response.header("content-type")),
            },
            "redirectURL": response.header("location"),
            "headersSize": -1,
            "bodySize": len(response.body),
        },
        "cache": {},
        "timings": {"send": 0, "wait": response.ms, "receive": 0},
    }
    return json.dumps(item, ensure_ascii=True)


def _content(body: bytes, kind: str) -> dict[str, str]:
    with suppress(UnicodeDecodeError):
        text = body.decode()
        if _bytes({"text": text}, kind, (len(body),)) == body:
            return {"text": text}
    return {"text": base64.b64encode(body).decode("ascii"), "encoding": "base64"}


def _pairs(headers: Any) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers]
