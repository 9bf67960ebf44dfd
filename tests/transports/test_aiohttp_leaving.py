"""Answers through aiohttp that are left early, break, or are asked for twice at once."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from transports.aiohttp_asking import EVENTS, aiohttp, ask, lines_of

import cachy
from cachy import tally

PIECES = [b'data: {"choices":[{"index":0,"delta":{"content":"%d"}}]}\n\n' % n for n in range(6)]
END = b"data: [DONE]\n\n"
PATH = "/v1/chat/completions"


class Held:
    """A stream of which the first pieces come at once and the rest when the test opens the gate."""

    def __init__(self, server: Any, first: int) -> None:
        self.gate = threading.Event()
        self.first = first
        self.asked = threading.Semaphore(0)
        self.url = server.on(PATH, self.answer)

    def answer(self, handler: Any) -> None:
        handler.head(content_type="text/event-stream", transfer_encoding="chunked")
        for piece in PIECES[: self.first]:
            handler.chunk(piece)
        self.asked.release()
        if not self.gate.wait(20):
            return
        for piece in (*PIECES[self.first :], END):
            handler.chunk(piece)
        handler.end()


def endless(handler: Any) -> None:
    handler.head(content_type="text/event-stream", transfer_encoding="chunked")
    for _ in range(100_000):
        handler.chunk(PIECES[0])


def first(count: int) -> Any:
    async def look(response: Any) -> Any:
        return [await response.content.readuntil(b"\n\n") for _ in range(count)]

    return look


async def leave(url: str) -> None:
    async with aiohttp.ClientSession() as session, session.post(url) as response:
        async for _ in response.content:
            break


async def close(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        response = await session.post(url)
        await response.content.readany()
        response.close()


async def be_cancelled(url: str) -> None:
    started = asyncio.Event()

    async def read() -> None:
        async with aiohttp.ClientSession() as session, session.post(url) as response:
            async for _ in response.content.iter_any():
                started.set()
                await asyncio.sleep(0)

    task = asyncio.ensure_future(read())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("consumer", [leave, close, be_cancelled])
def test_leaving_early_stops_the_provider_and_is_no_whole_answer(
    server: Any, using: Any, store: Any, consumer: Any
) -> None:
    """A consumer that stops closes the connection at once; what it left half-read is never a whole answer."""
    url = server.on(PATH, endless)
    with using():
        asyncio.run(consumer(url))
        assert server.hung_up.wait(10)
    assert [line["response"]["partial"] for line in lines_of(store)] == [True]


def test_replay_serves_who_reads_no_further(server: Any, using: Any) -> None:
    """A test of early termination replays offline; who reads on gets a miss that says why; auto calls again."""
    held = Held(server, first=2)
    with using():
        live = ask(held.url, first(2))
    assert live == PIECES[:2]
    with using("replay"):
        assert ask(held.url, first(2)) == live
        for look in (
            first(3),
            lambda response: response.read(),
            lambda response: response.content.wait_eof(),
        ):
            with pytest.raises(cachy.Miss, match="read no further"):
                ask(held.url, look)
    held.gate.set()
    with using():
        whole = ask(held.url, lambda response: response.read())
    assert whole == b"".join(PIECES) + END
    with using("replay"):
        assert ask(held.url, lambda response: response.read()) == whole
    assert len(server.calls) == 2


def test_leaving_after_the_end_marker_is_a_whole_answer(server: Any, using: Any, store: Any) -> None:
    """SDKs stop at `[DONE]` and close; the provider had said all, so it is recorded."""
    release = threading.Event()

    def answer(handler: Any) -> None:
        handler.head(content_type="text/event-stream", transfer_encoding="chunked")
        for piece in (*PIECES, END):
            handler.chunk(piece)
        release.wait(10)
        handler.end()

    async def until_done(response: Any) -> Any:
        return await response.content.readuntil(END)

    url = server.on(PATH, answer)
    with using(hosts={"127.0.0.1:*": "openai"}):
        live = ask(url, until_done)
        release.set()
        assert len(lines_of(store)) == 1
        assert "partial" not in lines_of(store)[0]["response"]
        assert ask(url, lambda response: response.read()) == b"".join(PIECES) + END
    assert live.endswith(END)
    assert len(server.calls) == 1


def test_a_connection_cut_in_mid_stream(server: Any, using: Any, store: Any) -> None:
    """The user sees the client's own error, and the fragment is not recorded."""

    def answer(handler: Any) -> None:
        handler.head(content_type="text/event-stream", transfer_encoding="chunked")
        handler.chunk(EVENTS[0])
        handler.wfile.write(b"ff\r\nhalf")
        handler.wfile.flush()
        handler.connection.shutdown(2)
        handler.close_connection = True

    tally.reset()
    with using(), pytest.raises(aiohttp.ClientPayloadError):
        ask(server.on("/s", answer), lambda response: response.read())
    assert lines_of(store) == []
    assert cachy.stats().reasons == {"the connection broke in mid-answer (ClientPayloadError)": 1}
    tally.reset()


def test_a_server_that_hangs_up_before_it_answers(server: Any, using: Any, store: Any) -> None:
    """A call that fails is not recorded, and the next one is made as if it had not been."""

    def answer(handler: Any) -> None:
        if len(handler.scripted.calls) == 1:
            handler.connection.shutdown(2)
            handler.close_connection = True
        else:
            handler.whole(b"{}")

    url = server.on("/v1", answer)
    with using():
        with pytest.raises(aiohttp.ClientError):
            ask(url)
        assert [ask(url), ask(url)] == ["{}", "{}"]
    assert len(server.calls) == 2
    assert len(lines_of(store)) == 1


def test_no_server(server: Any, using: Any, store: Any) -> None:
    """A connection that is refused raises what it raises without cachy, each time."""
    with using():
        for _ in range(2):
            with pytest.raises(aiohttp.ClientConnectorError):
                ask("http://127.0.0.1:1/v1")
    assert lines_of(store) == []


@pytest.fixture
def followers(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Is released each time that somebody begins to wait for a leader."""
    from cachy import flights

    waiting = threading.Semaphore(0)
    on_landing = flights.Flight.on_landing

    def counting(self: Any, wake: Any) -> None:
        waiting.release()
        on_landing(self, wake)

    monkeypatch.setattr(flights.Flight, "on_landing", counting)
    return waiting


async def acquired(semaphore: threading.Semaphore, times: int = 1) -> None:
    for _ in range(times):
        assert await asyncio.to_thread(semaphore.acquire, timeout=20)


def test_identical_requests_at_once_are_one_call(server: Any, using: Any, followers: Any) -> None:
    """Tasks that ask the same at once, as a stream, cause one call and all get the whole answer."""
    held = Held(server, first=1)

    async def one(session: Any) -> Any:
        async with session.post(held.url, json={"stream": True}) as response:
            return await response.read()

    async def main() -> Any:
        async with aiohttp.ClientSession() as session:
            asked = [asyncio.ensure_future(one(session)) for _ in range(5)]
            await acquired(followers, 4)
            held.gate.set()
            return await asyncio.gather(*asked)

    with using():
        assert asyncio.run(main()) == [b"".join(PIECES) + END] * 5
    assert len(server.calls) == 1


def test_a_cancelled_leader_is_followed(server: Any, using: Any, followers: Any) -> None:
    """The task that made the call is cancelled in the middle of it: another one makes it."""
    held = Held(server, first=1)

    async def one(session: Any) -> Any:
        async with session.post(held.url) as response:
            return await response.read()

    async def main() -> Any:
        async with aiohttp.ClientSession() as session:
            leader = asyncio.ensure_future(one(session))
            await acquired(held.asked)
            follower = asyncio.ensure_future(one(session))
            await acquired(followers)
            leader.cancel()
            await acquired(held.asked)
            held.gate.set()
            return await follower

    with using():
        assert asyncio.run(main()) == b"".join(PIECES) + END
    assert len(server.calls) == 2


def test_a_follower_has_its_own_time_limit(server: Any, using: Any) -> None:
    """Who gives up waiting gives up alone, with aiohttp's own error."""
    held = Held(server, first=1)

    async def one(session: Any, **options: Any) -> Any:
        async with session.post(held.url, **options) as response:
            return await response.read()

    async def main() -> Any:
        async with aiohttp.ClientSession() as session:
            leader = asyncio.ensure_future(one(session))
            await acquired(held.asked)
            with pytest.raises(asyncio.TimeoutError):
                await one(session, timeout=aiohttp.ClientTimeout(total=0.05))
            held.gate.set()
            return await leader

    with using():
        assert asyncio.run(main()) == b"".join(PIECES) + END
    assert len(server.calls) == 1
