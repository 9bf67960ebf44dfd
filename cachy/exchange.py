"""Request and Response as cachy sees them: neutral, never changed, independent of any HTTP client.

Only `transports/` turns a client's own objects into these and back.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any
from urllib.parse import SplitResult, urlsplit

# A body above this many bytes is kept on disk, so that an upload of any size needs constant memory.
SPILL_BYTES = 8 * 1024 * 1024
_BLOCK = 1024 * 1024
_UNZIPPED = 64 * 1024 * 1024  # bytes

Headers = tuple[tuple[str, str], ...]
Echo = tuple[tuple[int | str, str], ...]
"""What an answer repeats of its request: (the number of an id or the name of a field, its text). See `cachy.echo`."""


class Body:
    """The bytes of a request, readable any number of times.

    Small bodies are `bytes` in memory (`data`); larger ones lie in an unnamed temporary file.
    """

    __slots__ = ("_file", "data", "size")

    def __init__(self, data: bytes = b"") -> None:
        self.data: bytes | None = data
        self.size = len(data)
        self._file: IO[bytes] | None = None

    @classmethod
    def gather(cls, chunks: Iterable[bytes]) -> Body:
        """Read `chunks` to their end; what is larger than `SPILL_BYTES` goes to disk."""
        writer = BodyWriter()
        for chunk in chunks:
            writer.write(chunk)
        return writer.body()

    def chunks(self) -> Iterator[bytes]:
        """The bytes from the start, in blocks of at most 1 MiB."""
        if self.data is not None:
            for at in range(0, self.size, _BLOCK):
                yield self.data[at : at + _BLOCK]
        if self._file is None:
            return
        offset = 0
        while offset < self.size:
            # Seek on every block: two readers may be under way at once (a retry, a redirect).
            self._file.seek(offset)
            block = self._file.read(_BLOCK)
            if not block:
                return
            offset += len(block)
            yield block

    def unzipped(self) -> Body:
        """This body without its gzip (RFC 1952), whose bytes hold the time at which it was made; itself when it is
        none, is damaged, or is large."""
        if self.data is None or not self.data.startswith(b"\x1f\x8b"):
            return self
        import zlib

        unzip = zlib.decompressobj(wbits=31)
        try:
            plain = unzip.decompress(self.data, _UNZIPPED)
        except zlib.error:
            return self
        return Body(plain) if unzip.eof and not unzip.unused_data else self

    def __del__(self) -> None:
        # Closed here, not left to the file object: that one warns, and some programs turn warnings into errors.
        if self._file is not None:
            self._file.close()


class BodyWriter:
    """Collects the chunks of a body, from sync or async code alike."""

    __slots__ = ("_body", "_pieces")

    def __init__(self) -> None:
        self._body = Body()
        self._pieces: list[bytes] = []

    def write(self, chunk: bytes) -> None:
        """Add `chunk` at the end."""
        body = self._body
        body.size += len(chunk)
        if body._file is not None:
            body._file.write(chunk)
            return
        self._pieces.append(chunk)
        if body.size > SPILL_BYTES:
            body._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the body
            body._file.writelines(self._pieces)
            self._pieces.clear()

    def body(self) -> Body:
        """The finished body; the writer is used up."""
        self._body.data = None if self._body._file is not None else b"".join(self._pieces)
        return self._body


# Never changed, but not frozen: that makes one at four times the cost.
@dataclass(slots=True, unsafe_hash=True)
class Request:
    """One HTTP request: method in capitals, full URL, headers with lower-case names, body."""

    method: str
    url: str
    headers: Headers = ()
    body: Body = field(default_factory=Body)
    known: tuple[object, str, Any] | None = field(default=None, init=False, compare=False, repr=False)
    """What `cachy.keys` remembers of it; not of its copies (`dataclasses.replace`)."""

    def split(self) -> SplitResult:
        """The URL in its parts."""
        return urlsplit(self.url)

    def header(self, name: str, default: str = "") -> str:
        """The first header called `name` (lower case), or `default`."""
        for key, value in self.headers:
            if key == name:
                return value
        return default


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer: status, headers with lower-case names, decoded body.

    `chunks` holds (milliseconds since the request was sent, length in bytes) of each piece of the body as it
    arrived; their lengths add up to `len(body)`. `ms` is the time until the body had ended. `echo` says, of a
    recorded answer, what in its body the request had made up (see `cachy.echo`).
    """

    status: int
    headers: Headers = ()
    body: bytes = b""
    chunks: tuple[tuple[int, int], ...] = ()
    ms: int = 0
    http_version: str = "HTTP/1.1"
    reason: str | None = None
    """What the server called the status; None: what the standard calls it."""
    partial: bool = False
    """Whether this is only as much as a consumer read that left before the end."""
    echo: Echo = ()

    def header(self, name: str, default: str = "") -> str:
        """The first header called `name` (lower case), or `default`."""
        for key, value in self.headers:
            if key == name:
                return value
        return default
