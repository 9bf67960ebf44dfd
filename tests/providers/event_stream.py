"""Writing AWS event streams, as the services do."""

from __future__ import annotations

import struct
from zlib import crc32


def frame(payload: bytes, **headers: str) -> bytes:
    """One message; `event_type` stands for the header `:event-type`."""
    head = b""
    for name, value in headers.items():
        key = b":" + name.replace("_", "-").encode()
        head += bytes([len(key)]) + key + b"\x07" + struct.pack(">H", len(value)) + value.encode()
    return message(head, payload)


def message(head: bytes, payload: bytes) -> bytes:
    """One message with these bytes for its headers."""
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    whole = prelude + struct.pack(">I", crc32(prelude)) + head + payload
    return whole + struct.pack(">I", crc32(whole))
