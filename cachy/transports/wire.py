"""Answers as `http.client` reads them, for all clients that are built on it: a recorded one is a real
`http.client.HTTPResponse` whose bytes come from the recording, a live one is listened to where its bytes are read.

Whatever way a client has of reading an answer, it ends in the file of that object (`fp`): only that is ours.
"""

from __future__ import annotations

import http.client
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..exchange import Headers
from ..streaming import Decode, Tee, pieces, waits
from .headers import own_reason, reason_for
from .streams import sleep

if TYPE_CHECKING:
    from ..calls import Forward
    from ..engine import Replay

_LITTLE = 512  # bytes: what a consumer takes in smaller sips than this is recorded as one piece
_MUCH = 64 * 1024


def headers_of(message: Any) -> Headers:
    """Headers (anything with `items`) in the neutral form."""
    return tuple((_text(name).lower(), _text(value)) for name, value in message.items())


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def replayed(verdict: Replay, method: str) -> http.client.HTTPResponse:
    """The recorded answer to a request with this method."""
    recorded = verdict.response
    message = http.client.HTTPMessage()
    for name, value in recorded.headers:
        message[name] = value
    length: int | None = None
    if method == "HEAD" or recorded.status in (204, 304):
        length = 0
    elif "content-length" in message and not recorded.partial:
        length = len(recorded.body)  # a recording may have been edited by hand
        message.replace_header("content-length", str(length))
    else:
        # Its pieces come back as they came. What is known of one that was left half-read is less than its length.
        del message["content-length"]
        message["transfer-encoding"] = "chunked"
    file = io.BufferedReader(_Wire(_frames(verdict, length is None)))
    response = http.client.HTTPResponse(_Socket(file), method=method)  # type: ignore[arg-type]
    response.headers = response.msg = message
    response.status = response.code = recorded.status  # type: ignore[attr-defined]
    response.reason = reason_for(recorded.status, recorded.reason)
    response.version = 10 if recorded.http_version == "HTTP/1.0" else 11
    response.chunked = length is None
    response.chunk_left = None
    response.length = length
    response.will_close = False
    return response


class _Socket:
    """As much of a socket as an answer needs."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file

    def makefile(self, *_: Any) -> io.BufferedReader:
        return self._file


class _Wire(io.RawIOBase):
    """What arrives from a connection, one frame with each read."""

    def __init__(self, frames: Iterator[bytes]) -> None:
        self._arriving = frames
        self._arrived = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._arrived:
            self._arrived = memoryview(next(self._arriving, b""))
        size = min(len(buffer), len(self._arrived))
        buffer[:size] = self._arrived[:size]
        self._arrived = self._arrived[size:]
        return size


def _frames(verdict: Replay, chunked: bool) -> Iterator[bytes]:
    recorded = verdict.response
    for seconds, piece in zip(waits(recorded, verdict.pace), pieces(recorded), strict=False):
        if seconds:
            sleep(seconds)
        yield b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece
    if verdict.at_end:
        verdict.at_end()
    if chunked:
        yield b"0\r\n\r\n"


def listen(response: http.client.HTTPResponse, forward: Forward, decode: Decode) -> None:
    """Keep a copy of a live answer whose head has been read, while the program reads its body."""
    version = "HTTP/1.0" if response.version == 10 else "HTTP/1.1"
    reason = own_reason(response.status, response.reason)
    tee = forward.answered(response.status, headers_of(response.msg), decode, version, reason)
    if tee is not None:
        response.fp = _Tap(response, tee)  # type: ignore[assignment]


class _Tap:
    """The file of a live answer: hands everything on, and tells the tee what has been read."""

    def __init__(self, response: http.client.HTTPResponse, tee: Tee) -> None:
        self._file: Any = response.fp
        self._tee = tee
        self._framing: _Chunks | _Plain = _Chunks() if response.chunked else _Plain(response.length)
        self._waiting: list[bytes] = []
        self._size = 0
        self._dry = False  # whether the connection had no more to give

    def read(self, size: int | None = -1) -> bytes:
        whole = size is None or size < 0
        data: bytes = self._heard(self._file.read, -1 if whole else size)
        # A buffered file comes short at its end only.
        self._dry = self._dry or whole or len(data) < size  # type: ignore[operator]
        return data

    def read1(self, size: int = -1) -> bytes:
        data: bytes = self._heard(self._file.read1, size)
        self._dry = self._dry or not (data or size == 0)
        return data

    def readline(self, limit: int = -1) -> bytes:
        data: bytes = self._heard(self._file.readline, limit)
        self._dry = self._dry or not (data or limit == 0)
        return data

    def readinto(self, buffer: Any) -> int:
        size: int = self._heard(self._file.readinto, buffer)
        self._dry = self._dry or size < len(memoryview(buffer).cast("B"))
        return size

    def close(self) -> None:
        # First: an early close stops the provider's generation at once.
        try:
            self._file.close()
        finally:
            self._hand_on()
            if self._framing.ended or (self._dry and self._framing.ends_dry):
                self._tee.finish()
            elif self._dry:
                self._tee.fail(ConnectionError("the connection ended"))
            else:
                self._tee.leave()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def _heard(self, read: Any, how: Any) -> Any:
        try:
            found = read(how)
        except BaseException as problem:
            self._hand_on()
            self._tee.fail(problem)
            raise
        if not found:
            return found
        data = found if isinstance(found, bytes) else bytes(memoryview(how).cast("B")[:found])
        try:
            for piece, is_whole in self._framing.payload(data):
                self._waiting.append(piece)
                self._size += len(piece)
                if is_whole or self._size >= _MUCH:
                    self._hand_on()
        except ValueError as problem:  # no chunks at all: the client is going to say so
            self._tee.fail(problem)
        return found

    def _hand_on(self) -> None:
        # What was sent as one chunk is one piece, even when the consumer took it byte by byte.
        if self._size:
            self._tee.feed(b"".join(self._waiting))
        self._waiting.clear()
        self._size = 0


class _Plain:
    """The framing of a body of known length, or of one that ends with the connection."""

    def __init__(self, length: int | None) -> None:
        self._left = length
        self._sips = 0
        self.ended = length == 0
        self.ends_dry = length is None

    def payload(self, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """The pieces of the body in what has been read, each with whether it is whole."""
        if self._left is not None:
            self._left -= len(data)
            self.ended = self._left <= 0
        self._sips += len(data)
        whole = self._sips >= _LITTLE
        if whole:
            self._sips = 0
        yield data, whole


class _Chunks:
    """The framing of a chunked body, however what has been read of it is cut."""

    ends_dry = False

    def __init__(self) -> None:
        self._left = 0
        self._line = b""
        self.ended = False

    def payload(self, data: bytes) -> Iterator[tuple[bytes, bool]]:
        while data and not self.ended:
            if self._left:
                piece, data = data[: self._left], data[self._left :]
                self._left -= len(piece)
                yield piece, not self._left
                continue
            line, newline, data = data.partition(b"\n")
            self._line += line
            if newline:
                size = self._line.partition(b";")[0].strip()
                self._line = b""
                if size:  # else the end of the chunk before
                    self._left = int(size, 16)
                    self.ended = not self._left
                    if self._left < 0:
                        raise ValueError("a chunk of less than nothing")
