"""pycachy's data: the key that each of its versions gave to a request, and the answer in one of its lines.

All keys are eight hex digits of SHA-256 over a URL, a stream flag and the body; the versions differ in how much of
each they take and how they tidy it up:

| versions       | URL            | flag      | body                                                  |
|----------------|----------------|-----------|-------------------------------------------------------|
| lisette        | whole          | as passed | as sent, before the flag                              |
| 0.0.1          | whole          | False     | as sent                                               |
| 0.0.2-0.0.4    | host only      | False     | as sent                                               |
| 0.0.5-0.0.8    | without `key=` | False     | multipart boundary replaced                           |
| 0.0.9-0.0.12   | without `key=` | False, from 0.0.12 as passed | and JSON printed again with sorted names |
| 0.0.13-0.0.19  | without `key=` | a boolean | and paths, addresses, line numbers replaced           |
| 0.0.20         | replaced too   | a boolean | the same                                              |
| 0.0.21         | replaced too   | a boolean | the same, the `accept` header before it               |
| 0.0.22         | replaced too   | a boolean | the same, `prompt_cache_key` replaced, bytes kept     |
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from urllib.parse import parse_qs, urlencode

from .exchange import Headers, Request, Response

LINE = re.compile(rb'[ \t]*\{\s*"key"\s*:\s*"([0-9a-f]{8})"\s*,|([0-9a-f]{8})\|')
"""How a line of pycachy starts: `{"key": "<8 hex>", "response": ...}`, or in a `cachy.txt` `<8 hex>|...`."""

_REPLACED = [
    (re.compile(pattern), by)
    for pattern, by in (
        (r"/ipykernel_\d+/\d+\.py", "/ipykernel_N/X.py"),
        (r"<ipython-input-\d+-\w+>", "<ipython-input>"),
        (r"/var/folders/[\w|/]+", "/tmp/tmpT"),
        (r"/tmp/tmp\w+", "/tmp/tmpX"),
        (r"ipykernel_\d+", "ipykernel_N"),
        (r"0x[0-9a-fA-F]{6,}", "0xMEM"),
        (r"line \d+, in", "line N, in"),
    )
]
_REPLACED_22 = [
    *_REPLACED,
    (re.compile(r'"prompt_cache_key"\s*:\s*"[^"]*"'), '"prompt_cache_key":"notebook"'),
]
_STREAM = re.compile(rb'"stream"\s*:\s*true')

_KEPT = frozenset(("content-type", "location", "request-id", "retry-after", "x-request-id"))
_KEPT_PREFIX = "x-goog-upload-"


def _replace(text: str, patterns: list[tuple[re.Pattern[str], str]] = _REPLACED) -> str:
    for pattern, by in patterns:
        text = pattern.sub(by, text)
    return text


class _Asked:
    """One request in the pieces that the formulas use, each made when it is first needed.

    `spaces` is how httpx printed a space in a query it had put together anew: `+`, but `%20` from 0.24 to 0.27.
    """

    def __init__(self, request: Request, data: bytes, spaces: str = "+") -> None:
        self._request = request
        self.sent = data
        self.full_url = request.url
        self.spaces = spaces

    def _header(self, name: str) -> str:
        return ", ".join(value for key, value in self._request.headers if key == name)

    @cached_property
    def host(self) -> str:
        return self._request.split().hostname or ""

    @cached_property
    def accept(self) -> str:
        return self._header("accept")

    @cached_property
    def url(self) -> str:
        """The URL without its parameter `key`, as httpx's `copy_remove_param` prints it."""
        rest, hash_mark, fragment = self.full_url.partition("#")
        path, _, query = rest.partition("?")
        pairs = parse_qs(query, keep_blank_values=True)
        pairs.pop("key", None)
        printed = urlencode(pairs, doseq=True).replace("+", self.spaces)
        return path + ("?" + printed if pairs else "") + hash_mark + fragment

    @cached_property
    def tidy_url(self) -> str:
        return _replace(self.url)

    @cached_property
    def unbound(self) -> bytes:
        content_type = self._header("content-type")
        if content_type.startswith("multipart/form-data"):
            for section in map(str.strip, content_type.split(";")):
                if section.lower().startswith("boundary="):
                    boundary = section[len("boundary=") :].strip('"').encode()
                    return self.sent.replace(boundary, b"cachy-boundary") if boundary else self.sent
        return self.sent

    @cached_property
    def ordered(self) -> bytes:
        if "json" in self._header("content-type").lower():
            try:
                return json.dumps(json.loads(self.unbound), sort_keys=True).encode()
            except (ValueError, TypeError, RecursionError):
                pass
        return self.unbound

    @cached_property
    def tidy(self) -> bytes:
        return _replace(self.ordered.decode("utf-8", "replace")).encode()

    @cached_property
    def tidy_22(self) -> bytes:
        text = self.ordered.decode("utf-8", "surrogateescape")
        return _replace(text, _REPLACED_22).encode("utf-8", "surrogateescape")

    @cached_property
    def streams(self) -> bool:
        """Whether the answer was probably read as a stream; the transport does not know."""
        if "event-stream" in self.accept or ":stream" in self.full_url or "alt=sse" in self.full_url:
            return True
        return _STREAM.search(self.sent) is not None


@dataclass(frozen=True)
class Formula:
    """How some versions made a key: `material` gives what is hashed before the stream flag, and what after it."""

    flags: tuple[bool | None, ...]
    material: Callable[[_Asked], tuple[str, bytes]]

    def key(self, asked: _Asked, flag: bool | None) -> str:
        """The key of a request that was sent with the stream flag `flag` (None: not passed)."""
        before, after = self.material(asked)
        return sha256(before.encode() + str(flag).encode() + after).hexdigest()[:8]


_PASSED = (False, None, True)

FORMULAS = {
    "0.0.22": Formula((False, True), lambda asked: (asked.tidy_url, asked.accept.encode() + asked.tidy_22)),
    "0.0.21": Formula((False, True), lambda asked: (asked.tidy_url, asked.accept.encode() + asked.tidy)),
    "0.0.20": Formula((False, True), lambda asked: (asked.tidy_url, asked.tidy)),
    "0.0.13": Formula((False, True), lambda asked: (asked.url, asked.tidy)),
    "0.0.9": Formula(_PASSED, lambda asked: (asked.url, asked.ordered)),
    "0.0.5": Formula((False,), lambda asked: (asked.url, asked.unbound)),
    "0.0.2": Formula((False,), lambda asked: (asked.host, asked.sent)),
    "0.0.1": Formula((False,), lambda asked: (asked.full_url, asked.sent)),
    "lisette": Formula(_PASSED, lambda asked: (asked.full_url + asked.sent.decode("utf-8", "replace"), b"")),
}
"""By the first version that used it, newest first; each held until the next."""


def keys(request: Request) -> Iterator[str]:
    """The keys (8 hex digits) under which pycachy may have recorded `request`, newest formula first.

    Made one by one as they are asked for, none twice. None at all for a body that lies on disk: every formula needs
    it in memory, several times over.
    """
    data = request.body.data
    if data is None:
        return
    forms = [_Asked(request, data)]
    if "+" in forms[0].url.partition("?")[2]:
        forms.append(_Asked(request, data, "%20"))
    seen = set()
    for formula in FORMULAS.values():
        for flag in sorted(formula.flags, key=lambda flag: bool(flag) != forms[0].streams):
            for asked in forms:
                key = formula.key(asked, flag)
                if key not in seen:
                    seen.add(key)
                    yield key


def response_of(line: bytes) -> Response:
    """The answer in a line of pycachy, without the headers that no client needs. Raises ValueError."""
    start = LINE.match(line)
    if start is None:
        raise ValueError("not a recording of pycachy")
    try:
        if start[2]:
            # A plain answer was written as it was, a streamed one as a JSON string.
            text = line[start.end() :].strip().decode()
            whole = json.loads(text)
            return _response({"response": whole if isinstance(whole, str) else text})
        return _response(json.loads(line))
    except (KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise ValueError(f"not a recording of pycachy: {problem!r}") from None


def _response(facts: dict[str, object]) -> Response:
    text, status, headers = facts["response"], facts.get("status_code", 200), facts.get("headers")
    if not isinstance(text, str) or not isinstance(status, int):
        raise TypeError("response or status_code")
    binary = bool(facts.get("binary"))
    kept = _kept(headers) if isinstance(headers, dict) else ()
    if not any(name == "content-type" for name, _ in kept):
        kept = (("content-type", "application/octet-stream" if binary else _kind(text)), *kept)
    return Response(status, kept, base64.b64decode(text, validate=True) if binary else text.encode())


def _kept(headers: dict[str, object]) -> Headers:
    lower = ((name.lower(), str(value)) for name, value in headers.items())
    return tuple((name, value) for name, value in lower if name in _KEPT or name.startswith(_KEPT_PREFIX))


def _kind(text: str) -> str:
    """The content type of a text whose own was not kept (before 0.0.12)."""
    head = text.lstrip()
    if head.startswith(("{", "[")):
        try:
            json.loads(text)
            return "application/json"
        except (ValueError, RecursionError):
            pass
    # An event stream may start with comments (": OPENROUTER PROCESSING").
    first = next((line for line in head.splitlines() if line and not line.startswith(":")), "")
    return "text/event-stream" if first.startswith(("data:", "event:")) else "text/plain"
