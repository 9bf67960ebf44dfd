"""Clients that ride on aiohttp: recorded once, by the outermost adapter, with the key of everybody else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from transports.aiohttp_asking import EVENTS, aiohttp, ask, lines_of, stream_events

import cachy
from cachy import tally


@pytest.fixture
def rider(lib: Any) -> Any:
    """The class of async clients of httpx or httpx2 over aiohttp."""
    name = {"httpx": "httpx_aiohttp", "httpx2": "httpx_aiohttp.httpx2"}[lib.__name__]
    module = pytest.importorskip(name)
    return module.HttpxAiohttpClient if lib.__name__ == "httpx" else module.Httpx2AiohttpClient


def over(rider: Any, url: str, how: str) -> Any:
    async def main() -> Any:
        async with rider() as client:
            if how == "whole":
                return (await client.post(url, json={"a": 1})).content
            async with client.stream("POST", url, json={"a": 1}) as response:
                return b"".join([piece async for piece in response.aiter_raw()])

    return asyncio.run(main())


@pytest.mark.parametrize("how", ["whole", "streamed"])
def test_recorded_once_with_one_key(
    lib: Any, rider: Any, server: Any, using: Any, store: Any, how: str
) -> None:
    """What httpx over aiohttp recorded is replayed over it, over httpx alone and over aiohttp alone."""
    url = server.on("/s", stream_events)
    tally.reset()
    with using():
        assert [over(rider, url, how) for _ in range(2)] == [b"".join(EVENTS)] * 2
        assert (cachy.stats().recorded, cachy.stats().hits) == (1, 1)
        assert lib.post(url, json={"a": 1}).content == b"".join(EVENTS)
        assert ask(url, json={"a": 1}).encode() == b"".join(EVENTS)
    assert len(server.calls) == len(lines_of(store)) == 1
    tally.reset()


def test_replayed_from_what_aiohttp_recorded(rider: Any, server: Any, using: Any) -> None:
    """The other way round."""
    url = server.on("/s", stream_events)
    with using():
        ask(url, json={"a": 1})
        assert over(rider, url, "streamed") == b"".join(EVENTS)
    assert len(server.calls) == 1


def test_what_is_not_recorded_is_not_recorded_below(rider: Any, server: Any, using: Any, store: Any) -> None:
    """A call that the outer adapter lets by is none for the inner one; aiohttp by itself goes on being recorded."""
    url = server.on("/v1/traces/ingest", lambda h: h.whole(b"{}"))

    async def main() -> None:
        async with rider() as client, aiohttp.ClientSession() as session:
            await client.post(url, json={})
            async with session.post(server.url + "/v1") as response:
                await response.read()

    tally.reset()
    with using():
        asyncio.run(main())
    assert cachy.stats().reasons == {"telemetry": 1}
    assert len(lines_of(store)) == 1
    tally.reset()


def test_leaving_early(rider: Any, server: Any, using: Any, store: Any) -> None:
    """A stream over aiohttp that is left early ends at once and is a partial recording of the outer client."""

    def endless(handler: Any) -> None:
        handler.head(content_type="text/event-stream", transfer_encoding="chunked")
        for _ in range(100_000):
            handler.chunk(b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n')

    async def main() -> None:
        async with rider() as client, client.stream("POST", url) as response:
            async for _ in response.aiter_lines():
                break

    url = server.on("/v1/chat/completions", endless)
    with using():
        asyncio.run(main())
        assert server.hung_up.wait(10)
    assert [line["response"]["partial"] for line in lines_of(store)] == [True]
