"""Request bodies of aiohttp: what reads one, and what it is replaced by; to be mixed into aiohttp's own classes."""

from __future__ import annotations

from typing import Any

from ..exchange import Body, BodyWriter


class Collector:
    """A writer that keeps what a payload writes."""

    def __init__(self) -> None:
        self.writer = BodyWriter()

    async def write(self, chunk: bytes) -> None:
        self.writer.write(bytes(chunk))

    async def write_eof(self, chunk: bytes = b"") -> None:
        self.writer.write(bytes(chunk))

    async def drain(self) -> None:
        pass

    async def write_headers(self, *_: Any) -> None:
        pass

    def enable_compression(self, *_: Any, **__: Any) -> None:
        pass

    def enable_chunking(self) -> None:
        pass


class Payload:
    """A request body that was read once to make its key, written as often as aiohttp asks: with retries, redirects
    and middlewares. For everything else it is the payload that the program gave."""

    _headers: Any
    _consumed = False

    def __init__(self, given: Any, size: int | None, body: Body) -> None:
        super().__init__(given, filename=given.filename, encoding=given.encoding)  # type: ignore[call-arg]
        self._headers = given.headers
        self._given = given
        self._size = size
        self.recorded = body

    @property
    def size(self) -> Any:
        return self._size

    async def write(self, writer: Any) -> None:
        for chunk in self.recorded.chunks():
            await writer.write(chunk)

    async def write_with_length(self, writer: Any, content_length: int | None) -> None:
        left = self.recorded.size if content_length is None else content_length
        for chunk in self.recorded.chunks():
            await writer.write(chunk[:left])
            left = max(0, left - len(chunk))

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return b"".join(self.recorded.chunks())

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return b"".join(self.recorded.chunks()).decode(encoding, errors)

    def _close(self) -> None:
        self._given._close()

    async def close(self) -> None:
        await self._given.close()
