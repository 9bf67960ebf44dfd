"""Answers that their consumer left half-read: kept, never taken for whole, and replayed as far as they go."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

import cachy

PIECES = [b'data: {"choices":[{"index":0,"delta":{"content":"%d"}}]}\n\n' % n for n in range(6)]
END = b"data: [DONE]\n\n"


@pytest.fixture
def url(server: Any) -> str:
    def answer(handler: Any) -> None:
        handler.head(content_type="text/event-stream", transfer_encoding="chunked")
        for piece in (*PIECES, END):
            handler.chunk(piece)
            if len(handler.scripted.calls) < 3:
                handler.scripted.hung_up.wait(0.01)  # one piece in each read of the client
        handler.end()

    return str(server.on("/v1/chat/completions", answer))


def read(lib: Any, url: str, most: int) -> list[bytes]:
    """The first pieces of the stream; then the consumer leaves."""
    with lib.stream("POST", url, json={"stream": True}) as response:
        found = []
        for piece in response.iter_raw():
            found.append(piece)
            if len(found) == most:
                break
        return found


def test_replay_serves_who_reads_no_further(lib: Any, server: Any, url: str, using: Any, store: Any) -> None:
    """A test of early termination replays offline; who reads on gets a miss that says why."""
    with using():
        live = read(lib, url, 2)
    assert json.loads(store.read_text())["response"]["partial"] is True
    with using("replay"):
        assert read(lib, url, 2) == live
        assert read(lib, url, 1) == live[:1]
        with pytest.raises(cachy.Miss, match="read no further"):
            read(lib, url, 3)
        with pytest.raises(cachy.Miss, match="read no further"):
            lib.post(url, json={"stream": True})
    assert len(server.calls) == 1


def test_replay_serves_async_consumers_too(lib: Any, server: Any, url: str, using: Any) -> None:
    """The same in async code."""

    async def main(most: int) -> list[bytes]:
        async with lib.AsyncClient() as client, client.stream("POST", url, json={"stream": True}) as response:
            found = []
            async for piece in response.aiter_raw():
                found.append(piece)
                if len(found) == most:
                    break
            return found

    with using():
        live = read(lib, url, 2)
    with using("replay"):
        assert asyncio.run(main(2)) == live
        with pytest.raises(cachy.Miss, match="read no further"):
            asyncio.run(main(3))


def test_auto_calls_again(lib: Any, server: Any, url: str, using: Any, store: Any) -> None:
    """In auto mode a partial recording is not served; the whole answer takes its place and stays there."""
    with using():
        read(lib, url, 2)
        whole = lib.post(url, json={"stream": True}).content
        assert whole == b"".join(PIECES) + END
        assert len(server.calls) == 2
        assert lib.post(url, json={"stream": True}).content == whole
        assert len(server.calls) == 2
    with using("record"):
        read(lib, url, 2)
    with using("replay"):
        assert lib.post(url, json={"stream": True}).content == whole


def test_who_read_more_is_kept(lib: Any, server: Any, url: str, using: Any) -> None:
    """Of two partial answers the longer one stays."""
    with using():
        read(lib, url, 3)
        read(lib, url, 1)
    with using("replay"):
        assert len(read(lib, url, 3)) == 3


def test_counts(lib: Any, server: Any, url: str, using: Any) -> None:
    """A partial answer is not recorded; reading past its end is a miss."""
    from cachy import tally

    tally.reset()
    with using():
        read(lib, url, 2)
    assert cachy.stats().reasons == {"the consumer left before the end": 1}
    with using("replay"), pytest.raises(cachy.Miss):
        read(lib, url, 3)
    assert (cachy.stats().hits, cachy.stats().missed) == (1, 1)
    tally.reset()
