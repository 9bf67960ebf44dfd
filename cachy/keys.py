"""From a request to its canonical form and its key.

The canonical request is a JSON object, every member left out when empty:

    {"method": "POST", "host": "api.openai.com", "path": "/v1/chat/completions",
     "query": [["name", "value"], ...],            sorted, secrets left out
     "headers": {"anthropic-beta": "..."},         only those that change the meaning
     "body": {"json": ...}                         JSON compared as JSON, in the sense of RFC 8785
           | {"form": [["name", "value"], ...]}    sorted
           | {"multipart": [part, ...]}            in order; boundary left out
           | {"type": "text/plain", "text": "..."}
           | {"type": "audio/wav", "digest": "blake2b:...", "size": 12345}}

Long base64 strings and file contents enter as digests. The key is 128 bits of BLAKE2b over the object written
with sorted names and no spaces.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from . import redact
from .exchange import Body, Request

if TYPE_CHECKING:
    from .providers import Claim

_LONG = 1024  # characters: a base64 string or a text part above this enters as a digest
_READABLE = 64 * 1024  # bytes: another text body up to this size is kept readable
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_\r\n"
_EXACT = 2**53  # integers above this are not exact as IEEE 754 doubles


@dataclass(frozen=True, slots=True)
class Canonical:
    """A canonical request: its `key` (32 hex digits) and its `text` (JSON, sorted, no spaces)."""

    key: str
    text: str

    def data(self) -> dict[str, Any]:
        """The canonical request as an object."""
        parsed: dict[str, Any] = json.loads(self.text)
        return parsed


def canonical(request: Request, claim: Claim, secret_names: frozenset[str] = frozenset()) -> Canonical:
    """The canonical form of `request`; `secret_names` are the names that the settings add to redaction."""
    provider = claim.provider
    secret = secret_names | provider.secret_query | provider.secret_headers
    parts = request.split()
    form: dict[str, Any] = {"method": request.method, "host": claim.host, "path": _path(parts.path)}
    if parts.query:
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        query = sorted([name, value] for name, value in pairs if not redact.is_secret_name(name, secret))
        if query:
            form["query"] = query
    headers = _headers(request, provider.headers)
    if headers:
        form["headers"] = headers
    if request.body.size:
        form["body"] = _body(request, secret)
    return from_object(form)


def from_object(form: dict[str, Any]) -> Canonical:
    """The canonical request of an object (as a recording holds it), secrets masked, key computed."""
    text = redact.mask_text(json.dumps(form, sort_keys=True, separators=(",", ":")))
    return Canonical(blake2b(text.encode("ascii"), digest_size=16).hexdigest(), text)


def _path(path: str) -> str:
    if "%" not in path:
        return path or "/"
    # Clients differ in what they escape. Segment by segment, so that an escaped slash stays one.
    return "/".join(quote(unquote_to_bytes(segment), safe="!$&'()*+,;=:@~") for segment in path.split("/"))


def _headers(request: Request, wanted: frozenset[str]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    prefixes = tuple(name[:-1] for name in wanted if name.endswith("*"))
    for name, value in request.headers:
        if name in wanted or (prefixes and name.startswith(prefixes)):
            if name == "accept" and value.strip() == "*/*":
                continue  # what every client says when nothing in particular is asked for
            # Lists of features (anthropic-beta: a,b) mean the same in any order.
            values = [item.strip() for item in value.split(",")] if name.endswith("-beta") else [value.strip()]
            found.setdefault(name, []).extend(values)
    return {name: ",".join(sorted(set(values))) for name, values in found.items()}


def _body(request: Request, secret: frozenset[str]) -> dict[str, Any]:
    content_type = request.header("content-type")
    kind = content_type.partition(";")[0].strip().lower()
    body = request.body
    if body.data is not None:
        if "json" in kind or (not kind and body.data[:1] in (b"{", b"[")):
            try:
                return {"json": _json(body.data, secret)}
            except (ValueError, RecursionError):
                pass  # claims to be JSON and is not (or is JSON lines): it is what its bytes are
        elif kind == "application/x-www-form-urlencoded":
            pairs = parse_qsl(body.data.decode("utf-8", "surrogateescape"), keep_blank_values=True)
            return {
                "form": sorted([name, redact.BLANK if redact.is_secret_name(name, secret) else value]
                               for name, value in pairs)
            }  # fmt: skip
    if kind.startswith("multipart/"):
        from . import multipart

        boundary = multipart.boundary_of(content_type)
        parts = multipart.parse(body.chunks(), boundary, _LONG) if boundary else None
        if parts is not None:
            for part in parts:
                if "text" in part and redact.is_secret_name(part.get("name", ""), secret):
                    part["text"] = redact.BLANK
            return {"multipart": parts}
    if body.data is not None and body.size <= _READABLE:
        try:
            return {"type": kind, "text": body.data.decode()}
        except UnicodeDecodeError:
            pass
    return {"type": kind, **digest(body)}


def digest(body: Body) -> dict[str, Any]:
    """What stands for bytes that are not kept: `{"digest": "blake2b:<32 hex>", "size": bytes}`."""
    state = blake2b(digest_size=16)
    for chunk in body.chunks():
        state.update(chunk)
    return {"digest": "blake2b:" + state.hexdigest(), "size": body.size}


def _json(raw: bytes, secret: frozenset[str]) -> Any:
    value = json.loads(raw, parse_float=_number, parse_constant=_no_constant)
    if redact.may_hold_secret_fields(raw, secret):
        value = redact.blank_fields(value, secret)
    if len(raw) > _LONG:
        value = _fold(value)
    return value


def _number(literal: str) -> int | float:
    # RFC 8785 writes numbers as ECMAScript does: 1.0 is 1.
    number = float(literal)
    if number - number != 0.0:  # infinite: two such literals would look alike
        raise ValueError(literal)
    return int(number) if number.is_integer() and abs(number) < _EXACT else number


def _no_constant(literal: str) -> Any:
    raise ValueError(f"{literal} is not JSON")


def _fold(value: Any) -> Any:
    """`value` with long base64 strings and data URLs turned into digests."""
    if isinstance(value, str):
        return _fold_text(value) if len(value) > _LONG else value
    if isinstance(value, dict):
        return {name: _fold(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_fold(item) for item in value]
    return value


def _fold_text(text: str) -> Any:
    if not text.isascii():
        return text
    head, comma, data = text.partition(",") if text.startswith("data:") else ("", "", text)
    if (comma and not head.endswith(";base64")) or data.encode("ascii").translate(None, _BASE64):
        return text
    folded = {"digest": "blake2b:" + blake2b(data.encode("ascii"), digest_size=16).hexdigest(), "size": len(data)}
    return {"data": head[5:], **folded} if comma else folded
