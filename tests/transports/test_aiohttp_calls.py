"""Recording and replaying through aiohttp: what goes out and what comes back."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import zlib
from typing import Any

import pytest
from transports.aiohttp_asking import EVENTS, aiohttp, ask, lines_of, parsed, stream_events, text

import cachy


def test_second_call_is_replayed(server: Any, using: Any, store: Any) -> None:
    """One call reaches the server, both answers are the same, one line is in the store."""
    with using():
        assert [ask(server.url + "/v1", parsed, json={"a": 1}) for _ in range(2)] == [{"call": 1}] * 2
    assert len(server.calls) == len(lines_of(store)) == 1


def test_a_replay_is_like_the_live_answer(server: Any, using: Any) -> None:
    """Status, headers worth having, bytes, version, reason, URLs and flags are those of the live answer."""
    url = server.on("/a", lambda h: h.whole('{"x":"é"}'.encode(), x_request_id="r-1", set_cookie="s=1"))

    async def look(response: Any) -> Any:
        content = await response.read()
        return {
            "classes": [type(response), type(response.headers), isinstance(response.content, aiohttp.StreamReader)],
            "status": [response.status, response.ok, response.reason, response.version, response.method],
            "headers": [response.headers[name] for name in ("Content-Type", "X-Request-ID", "content-length")],
            "raw": b"r-1" in [value for name, value in response.raw_headers if name.lower() == b"x-request-id"],
            "type": [response.content_type, response.charset, response.get_encoding()],
            "body": [content, await response.text(), await response.json(), response.content.total_bytes],
            "url": [response.url, response.real_url, response.host, response.request_info.url],
            "sent": [response.request_info.method, response.request_info.headers["content-type"]],
            "ended": [response.closed, response.connection, response.content.at_eof(), response.history],
            "rest": [response.links, response.content_disposition],
        }  # fmt: skip

    with using():
        live, replayed = (ask(url + "?q=1#top", look, json={"a": 1}) for _ in range(2))
    assert live == replayed
    assert len(server.calls) == 1


async def awaited(url: str) -> Any:
    """Without `async with` around the answer, whose body is read before the session is closed."""
    async with aiohttp.ClientSession() as session:
        response = await session.post(url, json={"a": 1})
        seen = await response.json()
        response.release()
        return seen, response.closed


def test_an_answer_that_is_awaited_and_released(server: Any, using: Any) -> None:
    """A plain `await session.post(...)` works as `async with` does, and so does `aiohttp.request`."""

    async def without_session(url: str) -> Any:
        async with aiohttp.request("POST", url, json={"a": 1}) as response:
            return await response.json()

    with using():
        live, replayed = (asyncio.run(awaited(server.url + "/v1")) for _ in range(2))
        assert asyncio.run(without_session(server.url + "/v1")) == {"call": 1}
    assert live == replayed == ({"call": 1}, True)
    assert len(server.calls) == 1


def test_an_answer_that_nobody_reads(server: Any, using: Any) -> None:
    """A status check that leaves the body alone is recorded when the body has come, and replayed."""

    async def status(response: Any) -> Any:
        await response.content.wait_eof()
        return response.status

    with using():
        assert [ask(server.url + "/v1", status), ask(server.url + "/v1", status)] == [200, 200]
    assert len(server.calls) == 1


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize("status", [200, 204])
def test_answers_without_a_body(server: Any, using: Any, method: str, status: int) -> None:
    """HEAD and 204 are recorded and replayed as empty."""
    url = server.on("/e", lambda h: h.whole(b"", status=status, content_type="text/plain"))

    async def look(response: Any) -> Any:
        return response.status, await response.read(), response.headers["content-type"]

    with using():
        assert [ask(url, look, method) for _ in range(2)] == [(status, b"", "text/plain")] * 2
    assert len(server.calls) == 1


@pytest.mark.parametrize("name", ["é.txt".encode("latin-1"), "é☃.txt".encode()])
def test_headers_that_are_not_ascii(server: Any, using: Any, name: bytes) -> None:
    """The bytes of a header are replayed as they came, be they Latin-1 or UTF-8."""
    raw = b'HTTP/1.1 200 OK\r\ncontent-disposition: attachment; filename="%s"\r\ncontent-length: 1\r\n\r\nx'
    url = server.on("/file", lambda handler: handler.wfile.write(raw % name))

    async def look(response: Any) -> Any:
        await response.read()
        found = [value for key, value in response.raw_headers if key.lower() == b"content-disposition"]
        return found, response.headers["content-disposition"]

    with using():
        live, replayed = ask(url, look), ask(url, look)
    assert live == replayed
    assert name in live[0][0]
    assert len(server.calls) == 1


# Streams


def pieces_by(how: str) -> Any:
    async def look(response: Any) -> Any:
        content = response.content
        if how == "lines":
            return [line async for line in content]
        if how == "iter_chunked":
            return [piece async for piece in content.iter_chunked(5)]
        if how == "readline":
            return [await content.readline() for _ in range(7)]
        if how == "readuntil":
            return [await content.readuntil(b"\n\n") for _ in range(4)]
        if how == "readexactly":
            return [await content.readexactly(16) for _ in range(2)]
        if how == "readchunk":
            return [(await content.readchunk())[0] for _ in range(8)]
        return [piece async for piece in getattr(content, how)()]

    return look


WAYS = [
    "lines",
    "iter_any",
    "iter_chunks",
    "iter_chunked",
    "readline",
    "readuntil",
    "readexactly",
    "readchunk",
]


@pytest.mark.parametrize("how", WAYS)
def test_streams_are_replayed_however_they_are_read(server: Any, using: Any, store: Any, how: str) -> None:
    """Each way to read a stream gives the same bytes live and replayed; pieces of the server stay pieces."""
    url = server.on("/s", stream_events)

    async def whole(response: Any) -> Any:
        return await response.read()

    with using():
        live, replayed = (ask(url, pieces_by(how), json={"stream": True}) for _ in range(2))
        assert ask(url, whole, json={"stream": True}) == b"".join(EVENTS)
    if how in (
        "iter_any",
        "iter_chunked",
        "iter_chunks",
        "readchunk",
    ):  # how it is cut depends on how it arrives
        if how == "iter_chunks":
            live, replayed = ([piece for piece, _ in found] for found in (live, replayed))
        assert b"".join(live) == b"".join(replayed) == b"".join(EVENTS)
    else:
        assert live == replayed
    assert len(server.calls) == 1
    assert [length for _, length in lines_of(store)[0]["response"]["chunks"]] == [len(e) for e in EVENTS]


def test_a_replay_gives_the_pieces_one_by_one(server: Any, using: Any) -> None:
    """`iter_any` on a replay gives what once arrived piece by piece in these pieces."""
    url = server.on("/s", stream_events)
    with using():
        ask(url)
        assert ask(url, pieces_by("iter_any")) == EVENTS
        assert ask(url, pieces_by("iter_chunks")) == [(event, True) for event in EVENTS]


def test_the_first_chunk_arrives_before_the_second_is_sent(server: Any, using: Any) -> None:
    """While recording, each piece reaches the user when it arrives, not when the stream has ended."""
    received = threading.Event()

    def answer(handler: Any) -> None:
        handler.head(content_type="text/event-stream", transfer_encoding="chunked")
        handler.chunk(EVENTS[0])
        assert received.wait(10)  # never, if the client waits for the whole stream
        for event in EVENTS[1:]:
            handler.chunk(event)
        handler.end()

    async def look(response: Any) -> Any:
        first = await response.content.readany()
        received.set()
        return first, await response.content.read()

    url = server.on("/s", answer)
    with using():
        assert ask(url, look) == (EVENTS[0], b"".join(EVENTS[1:]))
        assert ask(url, look) == (EVENTS[0], b"".join(EVENTS[1:]))
    assert len(server.calls) == 1


def test_a_stream_larger_than_the_buffers(server: Any, using: Any, store: Any) -> None:
    """Where aiohttp stops reading until the consumer catches up, nothing is lost, live and replayed."""
    blocks = [bytes([n]) * 100_000 for n in range(20)]

    def answer(handler: Any) -> None:
        handler.head(content_type="application/octet-stream", transfer_encoding="chunked")
        for block in blocks:
            handler.chunk(block)
        handler.end()

    async def slowly(response: Any) -> Any:
        found = b""
        async for piece in response.content.iter_chunked(30_000):
            found += piece
            await asyncio.sleep(0)
        return found

    url = server.on("/big", answer)
    with using():
        assert [ask(url, slowly) == b"".join(blocks) for _ in range(2)] == [True, True]
    assert len(server.calls) == 1


def test_pace_recorded_keeps_the_order_and_bytes(server: Any, using: Any) -> None:
    """With `pace = "recorded"` a stream replays the same pieces (with the waits in between)."""
    url = server.on("/s", stream_events)
    with using(pace="recorded"):
        ask(url)
        assert ask(url, pieces_by("iter_any")) == EVENTS
    assert len(server.calls) == 1


# Encodings


def packed(encoding: str, data: bytes) -> bytes:
    if encoding == "br":
        return pytest.importorskip("brotli").compress(data)  # type: ignore[no-any-return]
    if encoding == "zstd":
        return pytest.importorskip("zstandard").compress(data)  # type: ignore[no-any-return]
    return gzip.compress(data) if encoding == "gzip" else zlib.compress(data)


@pytest.mark.parametrize("decompress", [True, False])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_encoded_answers_are_stored_decoded(
    server: Any, using: Any, store: Any, encoding: str, decompress: bool
) -> None:
    """A compressed answer is readable in the store and replays as the same text, without its encoding, whether
    the session decodes or not."""
    plain = json.dumps({"text": "hello " * 20_000}).encode()
    raw = packed(encoding, plain)
    url = server.on("/z", lambda h: h.whole(raw, content_encoding=encoding))

    async def look(response: Any) -> Any:
        return await response.read(), response.headers.get("content-encoding")

    if encoding == "zstd" and encoding not in aiohttp.ClientRequest.DEFAULT_HEADERS["Accept-Encoding"]:
        pytest.skip("this aiohttp cannot decode it")
    with using():
        live = ask(url, look, of_session={"auto_decompress": decompress})
        assert ask(url, look) == (plain, None)
        assert ask(url, parsed) == json.loads(plain)
    assert live == (plain if decompress else raw, encoding)
    assert lines_of(store)[0]["response"]["text"] == plain.decode()
    assert len(server.calls) == 1


def test_an_encoded_stream_keeps_its_chunks(server: Any, using: Any) -> None:
    """A gzip event stream is replayed in the decoded pieces that arrived live."""

    def answer(handler: Any) -> None:
        handler.head(content_type="text/event-stream", content_encoding="gzip", transfer_encoding="chunked")
        packer = zlib.compressobj(wbits=31)
        for event in EVENTS:
            handler.chunk(packer.compress(event) + packer.flush(zlib.Z_SYNC_FLUSH))
        handler.chunk(packer.flush())
        handler.end()

    url = server.on("/z", answer)
    with using():
        assert ask(url, auto_decompress=False, look=lambda r: r.read()) != b"".join(EVENTS)
        assert ask(url, pieces_by("iter_any")) == EVENTS
    assert len(server.calls) == 1


# Answers that are not recorded, and misses


@pytest.mark.parametrize("status", [400, 401, 404, 409, 429, 500, 503])
def test_errors_are_not_frozen(server: Any, using: Any, store: Any, status: int) -> None:
    """An error reaches the user and is asked for again the next time."""
    url = server.on("/e", lambda h: h.whole(b'{"error":"x"}', status=status))
    with using():
        for _ in range(2):
            with pytest.raises(aiohttp.ClientResponseError) as caught:
                ask(url, raise_for_status=True)
            assert caught.value.status == status
    assert len(server.calls) == 2
    assert lines_of(store) == []


def test_a_recorded_error_is_raised_like_the_live_one(server: Any, using: Any) -> None:
    """With `record_status`, `raise_for_status` raises on a replay what it raised live."""
    url = server.on("/e", lambda h: h.whole(b'{"error":"x"}', status=429))

    def raised(**options: Any) -> Any:
        with pytest.raises(aiohttp.ClientResponseError) as caught:
            ask(url, **options)
        problem = caught.value
        return problem.status, problem.message, problem.request_info.url, problem.history

    async def by_hand(response: Any) -> None:
        await response.read()
        response.raise_for_status()

    with using(record_status=[429]):
        seen = [raised(look=by_hand), raised(look=by_hand), raised(of_session={"raise_for_status": True})]
    assert seen[0] == seen[1] == seen[2]
    assert len(server.calls) == 1


@pytest.mark.parametrize("body", [b'{"cut":', b"<html>garbage"])
def test_a_broken_json_answer_is_not_recorded(server: Any, using: Any, store: Any, body: bytes) -> None:
    """An answer of a model that promises JSON and is not is handed on and asked for again."""
    url = server.on("/v1/chat/completions", lambda h: h.whole(body))
    with using():
        assert [ask(url) for _ in range(2)] == [body.decode()] * 2
    assert len(server.calls) == 2
    assert lines_of(store) == []


def test_replay_mode_never_calls(server: Any, using: Any) -> None:
    """A miss raises at once, says what was asked and from which line, and nothing reaches the server."""
    with using("replay"), pytest.raises(cachy.Miss) as caught:
        ask(server.url + "/v1/chat/completions?key=SECRET-KEY", json={"model": "m", "messages": []})
    assert server.calls == []
    assert caught.value.method == "POST"
    assert "/v1/chat/completions" in str(caught.value)
    assert "SECRET-KEY" not in str(caught.value)
    assert "aiohttp_asking.py" in str(caught.value)


def test_on_miss_respond_answers_424(server: Any, using: Any) -> None:
    """With `on-miss = "respond"` the program sees an API error."""

    async def look(response: Any) -> Any:
        return (
            response.status,
            response.headers["x-should-retry"],
            (await response.json())["error"]["message"],
        )

    with using("replay", on_miss="respond"):
        status, retry, message = ask(server.url + "/v1", look, json={})
    assert (status, retry) == (424, "false")
    assert "nothing like it is recorded" in message
    assert server.calls == []


def test_record_mode_replaces(server: Any, using: Any) -> None:
    """`record` always calls; afterwards the new answer is replayed."""
    url = server.url + "/v1"
    for mode, call in (("auto", 1), ("record", 2), ("replay", 2)):
        with using(mode):
            assert ask(url, parsed, "GET") == {"call": call}


def test_unknown_hosts_are_not_touched(server: Any, using: Any, store: Any) -> None:
    """A call to a host that nobody named goes by."""
    with using(hosts=[]):
        assert [ask(server.url, parsed) for _ in range(2)] == [{"call": 1}, {"call": 2}]
    assert lines_of(store) == []


def test_no_session_no_trace(server: Any, store: Any) -> None:
    """With aiohttp patched and cachy off, calls are what they are without it."""
    with cachy.bypass():
        assert [ask(server.url, text) for _ in range(2)] == ['{"call":1}', '{"call":2}']
