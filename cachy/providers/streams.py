"""Reading streamed answers: server-sent events, JSON lines, AWS event streams. Pure functions on bodies."""

from __future__ import annotations

import json
import struct
from typing import Any, NamedTuple
from zlib import crc32


class Event(NamedTuple):
    """One event of a stream: its name ("" when it has none) and its data."""

    name: str
    data: bytes

    def json(self) -> Any:
        """The data as JSON, or None when it is not JSON."""
        try:
            return json.loads(self.data)
        except (ValueError, RecursionError):
            return None

    def kind(self) -> str:
        """What the event says it is: the `type` or `event_type` of its JSON object, else its name."""
        value = self.json()
        if isinstance(value, dict):
            for field in ("type", "event_type"):
                if isinstance(value.get(field), str):
                    return str(value[field])
        return self.name


def sse(body: bytes) -> tuple[list[Event], bool]:
    """The events of a server-sent event stream, and whether it ends at the boundary of an event.

    Lines end in LF, CRLF or CR. An unfinished last event counts when its data is complete, as many servers
    leave out the last blank line; otherwise it is left out, as the standard says.
    """
    events: list[Event] = []
    name = ""
    data: list[bytes] = []
    for line in body.removeprefix(b"\xef\xbb\xbf").splitlines():
        if not line:
            if data or name:
                events.append(Event(name, b"\n".join(data)))
                name, data = "", []
            continue
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ").decode("utf-8", "replace")
    if not data and not name:
        return events, True
    last = Event(name, b"\n".join(data))
    if last.data.strip() == b"[DONE]" or last.json() is not None:
        events.append(last)
        return events, True
    return events, False


def json_lines(body: bytes) -> tuple[list[Event], bool]:
    """The JSON documents of a body with one on each line, and whether the last one is complete."""
    events = [Event("", line) for line in body.splitlines() if line.strip()]
    if events and events[-1].json() is None:
        return events[:-1], False
    return events, True


class Frame(NamedTuple):
    """One message of an AWS event stream: its string headers (`:event-type`, ...) and its payload."""

    headers: dict[str, str]
    payload: bytes


def frames(body: bytes) -> list[Frame]:
    """The messages of an `application/vnd.amazon.eventstream` body. Raises ValueError when one is cut or
    damaged."""
    found = []
    start = 0
    while start < len(body):
        if len(body) - start < 16:
            raise ValueError("cut in the middle of a frame")
        total, head, prelude = struct.unpack_from(">III", body, start)
        end = start + total
        if prelude != crc32(body[start : start + 8]) or total < 16 + head:
            raise ValueError("a damaged frame")
        if end > len(body):
            raise ValueError("cut in the middle of a frame")
        if struct.unpack_from(">I", body, end - 4)[0] != crc32(body[start : end - 4]):
            raise ValueError("a damaged frame")
        payload_at = start + 12 + head
        try:
            headers = _frame_headers(body[start + 12 : payload_at])
        except (IndexError, struct.error):
            raise ValueError("a damaged frame") from None
        found.append(Frame(headers, body[payload_at : end - 4]))
        start = end
    return found


# Lengths of header values by type: true, false, byte, short, int, long, timestamp, UUID.
_FIXED = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}


def _frame_headers(raw: bytes) -> dict[str, str]:
    headers = {}
    at = 0
    while at < len(raw):
        kind_at = at + 1 + raw[at]
        name = raw[at + 1 : kind_at].decode("utf-8", "replace")
        kind = raw[kind_at]
        at = kind_at + 1
        if kind in _FIXED:
            at += _FIXED[kind]
            continue
        # 6 is bytes, 7 a string: both carry their length.
        (length,) = struct.unpack_from(">H", raw, at)
        at += 2 + length
        if kind == 7:
            headers[name] = raw[at - length : at].decode("utf-8", "replace")
    return headers
