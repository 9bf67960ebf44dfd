"""Multipart bodies as an ordered list of parts, read as a stream in constant memory (RFC 2046, RFC 7578)."""

from __future__ import annotations

from collections.abc import Iterable
from email.message import Message
from hashlib import blake2b
from typing import Any

_LONGEST_LINE = 256  # bytes of blanks after a boundary
_LONGEST_HEAD = 64 * 1024  # bytes of the headers of a part


def boundary_of(content_type: str) -> bytes:
    """The boundary that a Content-Type header names, or b""."""
    message = Message()
    message["content-type"] = content_type
    return str(message.get_param("boundary", "") or "").encode("latin-1", "ignore")


def parse(chunks: Iterable[bytes], boundary: bytes, readable: int) -> list[dict[str, Any]] | None:
    """The parts of a body, or None when it is not a multipart body with this boundary.

    Each part holds `name`, `filename` and `type` where it has them, and `text` (a field of at most `readable`
    bytes of UTF-8 without a file name) or `digest` and `size` (bytes).
    """
    delimiter = b"\r\n--" + boundary
    parts: list[dict[str, Any]] = []
    # A body starts with the delimiter without its line break; giving it one makes the first part like the others.
    buffer = b"\r\n"
    part: _Part | None = None
    for chunk in chunks:
        buffer += chunk
        start = 0
        while True:
            at = buffer.find(delimiter, start)
            if at < 0:
                # All but a possible beginning of the delimiter belongs to the part.
                keep = len(delimiter) - 1
                if part is not None and len(buffer) > keep:
                    part.feed(buffer[:-keep])
                buffer = buffer[-keep:]
                break
            after = at + len(delimiter)
            line = buffer[after : after + _LONGEST_LINE].lstrip(b" \t")
            last = buffer.startswith(b"--", after)
            if not last and not line.startswith(b"\r\n"):
                if line in (b"", b"\r", b"-"):
                    break  # the rest of the line has not arrived
                start = at + 1  # a line of the part that only begins like a delimiter
                continue
            head_end = buffer.find(b"\r\n\r\n", after)
            if not last and head_end < 0:
                if len(buffer) - after > _LONGEST_HEAD:
                    return None
                break  # the headers of the next part have not all arrived; what ends here is fed when they have
            if part is not None:
                part.feed(buffer[:at])
                parts.append(part.facts(readable))
            if last:
                return parts
            part = _Part(buffer[after:head_end].lstrip())
            # The line break that ends the headers may begin the delimiter of an empty part.
            buffer = buffer[head_end + 2 :]
            start = 0
            if not buffer.startswith(delimiter):
                part.skip = 2
    return None


class _Part:
    """One part while it is being read."""

    def __init__(self, head: bytes) -> None:
        from email.parser import HeaderParser

        headers = HeaderParser().parsestr(_decoded(head) + "\r\n\r\n")
        self.name = _text(headers.get_param("name", None, "content-disposition"))
        self.filename = _text(headers.get_param("filename", None, "content-disposition"))
        self.type = headers.get("content-type", "").partition(";")[0].strip().lower()
        self.size = 0
        self.skip = 0
        self._start = b""
        self._digest = blake2b(digest_size=16)

    def feed(self, data: bytes) -> None:
        if self.skip:
            cut = min(self.skip, len(data))
            self.skip -= cut
            data = data[cut:]
        self.size += len(data)
        self._digest.update(data)
        if len(self._start) < 64 * 1024:
            self._start += data[: 64 * 1024]

    def facts(self, readable: int) -> dict[str, Any]:
        facts: dict[str, Any] = {}
        if self.name is not None:
            facts["name"] = self.name
        if self.filename is not None:
            facts["filename"] = self.filename
        if self.type:
            facts["type"] = self.type
        if self.filename is None and self.size <= readable:
            try:
                return {**facts, "text": self._start.decode()}
            except UnicodeDecodeError:
                pass
        return {**facts, "digest": "blake2b:" + self._digest.hexdigest(), "size": self.size}


def _decoded(head: bytes) -> str:
    try:
        return head.decode()
    except UnicodeDecodeError:
        return head.decode("latin-1")  # whatever it is, other bytes are other characters


def _text(value: Any) -> str | None:
    if value is None:
        return None
    from email.utils import collapse_rfc2231_value

    return collapse_rfc2231_value(value)
