"""Request bodies through aiohttp: the server receives what it would receive without cachy, and each is a hit."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from transports.aiohttp_asking import aiohttp, ask, parsed


class Pipe(io.RawIOBase):
    """A file that can be read once and has no size."""

    def __init__(self, data: bytes) -> None:
        self._left = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._left.readinto(buffer)

    def seekable(self) -> bool:
        return False


@pytest.fixture
def options(tmp_path: Path) -> Iterator[Any]:
    """Makes the arguments of a call with a certain kind of body, anew for each call."""
    with ExitStack() as files:
        yield lambda kind: arguments(kind, tmp_path / "file", files)


def arguments(kind: str, path: Path, files: ExitStack) -> Any:
    if kind == "json":
        return {"json": {"text": "é", "n": 1.0}}
    if kind == "text":
        return {"data": "words é"}
    if kind == "form":
        return {"data": {"b": "2", "a": "1 é"}}
    if kind == "file":
        path.write_bytes(b"file " * 50_000)
        return {"data": files.enter_context(path.open("rb"))}
    if kind == "buffer":
        return {"data": io.BytesIO(b"buffer " * 50_000)}
    if kind == "pipe":
        return {"data": io.BufferedReader(Pipe(b"piped " * 50_000))}
    if kind == "generator":

        async def generate() -> AsyncIterator[bytes]:
            for piece in (b"a", b"b" * 1000, b"c"):
                yield piece

        return {"data": generate()}
    if kind == "multipart":
        data = aiohttp.FormData()
        data.add_field("purpose", "x é")
        data.add_field("file", io.BytesIO(b"part " * 50_000), filename="a.txt", content_type="text/plain")
        return {"data": data}
    if kind == "parts":
        writer = aiohttp.MultipartWriter("mixed")
        writer.append("text")
        writer.append_json({"a": 1})
        return {"data": writer}
    if kind == "compressed":
        return {"data": b"bytes " * 1000, "compress": "gzip"}
    if kind == "chunked":
        return {"data": b"bytes " * 1000, "chunked": True}
    if kind == "nothing":
        return {}
    return {"data": {"bytes": b"bytes", "bytearray": bytearray(b"bytes"), "view": memoryview(b"bytes")}[kind]}


KINDS = "json text form file buffer pipe generator multipart parts compressed chunked nothing bytes bytearray view"


@pytest.mark.parametrize("kind", KINDS.split())
def test_the_server_receives_every_byte_of_any_body(server: Any, using: Any, kind: str, options: Any) -> None:
    """Each kind of body arrives as it does without cachy, headers included, and a second one like it is a hit."""
    ask(server.url + "/plain", **options(kind))
    with using():
        assert [ask(server.url + "/v1", parsed, **options(kind)) for _ in range(2)] == [{"call": 2}] * 2
    without, recorded = server.calls
    boundary = without.headers.get("content-type", "").partition("boundary=")[2].strip('"').encode()
    other = recorded.headers.get("content-type", "").partition("boundary=")[2].strip('"').encode()
    assert recorded.body == (without.body.replace(boundary, other) if boundary else without.body)
    assert bool(recorded.body) is (kind != "nothing")
    for headers in (without.headers, recorded.headers):
        headers["content-type"] = headers.get("content-type", "").partition("boundary")[0]
    assert recorded.headers == without.headers


def test_other_bytes_are_another_call(server: Any, using: Any) -> None:
    """A file, a part of a form or a generated body that differs is not answered with the recording."""

    async def generate(data: bytes) -> AsyncIterator[bytes]:
        yield data

    def form(data: bytes) -> Any:
        found = aiohttp.FormData()
        found.add_field("file", data, filename="a", content_type="text/plain")
        return found

    with using():
        for make in (lambda data: data, generate, io.BytesIO, form):
            for data in (b"one", b"two"):
                ask(server.url + f"/{make.__name__.strip('<>')}", data=make(data))
    assert len(server.calls) == 8


def test_a_large_upload_goes_through_a_file(server: Any, using: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body above the spill size is sent whole and recognised the second time."""
    monkeypatch.setattr("cachy.exchange.SPILL_BYTES", 10_000)
    blocks = [bytes([n]) * 1000 for n in range(40)]

    async def body() -> AsyncIterator[bytes]:
        for block in blocks:
            yield block

    with using():
        for _ in range(2):
            ask(server.url + "/v1", data=body())
    assert [call.body for call in server.calls] == [b"".join(blocks)]


def test_a_body_that_cannot_be_read(server: Any, using: Any) -> None:
    """What a generator raises reaches the program in the exception that aiohttp makes of it; nothing is sent."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"a"
        raise ValueError("broken")

    with using(), pytest.raises(aiohttp.ClientConnectionError) as caught:
        ask(server.url + "/v1", data=broken())
    assert isinstance(caught.value.__cause__, ValueError)
    assert server.calls == []


@pytest.mark.parametrize("kind", ["file", "multipart", "bytes"])
def test_a_body_survives_redirects(server: Any, using: Any, kind: str, options: Any) -> None:
    """307 sends the same body to another address, live and replayed."""
    if kind != "bytes" and not hasattr(aiohttp, "ClientHandlerType"):
        pytest.skip("this aiohttp itself cannot send a file again")
    url = server.on("/from", lambda h: h.whole(b"", status=307, location="/to"))
    with using():
        assert [ask(url, parsed, **options(kind)) for _ in range(2)] == [{"call": 2}] * 2
    assert [call.path for call in server.calls] == ["/from", "/to"]
    assert server.calls[0].body == server.calls[1].body != b""


def test_expect_100(server: Any, using: Any) -> None:
    """A request that waits for `100 Continue` before it sends its body is recorded and replayed."""
    with using():
        assert [ask(server.url + "/v1", parsed, data=b"bytes", expect100=True) for _ in range(2)] == [
            {"call": 1}
        ] * 2
    assert [call.body for call in server.calls] == [b"bytes"]


def test_a_body_is_read_once_for_several_attempts(server: Any, using: Any) -> None:
    """A middleware that sends a request a second time sends the same bytes, though their source is used up."""
    if not hasattr(aiohttp, "ClientHandlerType"):
        pytest.skip("this aiohttp has no middlewares")

    def once(handler: Any) -> None:
        handler.whole(b'{"n":1}', status=503 if len(handler.scripted.calls) == 1 else 200)

    async def again(request: Any, handler: Any) -> Any:
        response = await handler(request)
        return await handler(request) if response.status == 503 else response

    async def body() -> AsyncIterator[bytes]:
        yield b"used up"

    async def main() -> Any:
        url = server.on("/v1", once)
        async with aiohttp.ClientSession(middlewares=[again]) as session, session.post(url, data=body()) as r:
            return await r.json()

    with using():
        assert [asyncio.run(main()), asyncio.run(main())] == [{"n": 1}] * 2
    assert [call.body for call in server.calls] == [b"used up"] * 2
