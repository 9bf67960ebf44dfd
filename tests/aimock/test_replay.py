"""Real SDKs against a third party's server: what was recorded there is replayed when it is gone."""

from __future__ import annotations

from typing import Any

import pytest
from sdk_previous.scripts.both import each, plain

from .conftest import LONG, WORDS, Server, Using
from .sdks import SDKS, Sdk

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("flavour", ["sync", "async"]),
]
every_sdk = pytest.mark.parametrize("name", SDKS)


@every_sdk
@pytest.mark.filterwarnings("ignore:FUNCTION_CALL is not a valid FinishReason")  # aimock's own, not Gemini's
def test_the_same_objects_without_the_server(tested: Sdk, server: Server, using: Using, flavour: str) -> None:
    """Whole, streamed, with tools, structured, embedded: each object is the same again, and nothing is sent."""

    async def everything(client: Any) -> dict[str, Any]:
        return {
            "whole": plain(await tested.whole(client, "hello")),
            "stream": [plain(item) for item in await each(await tested.stream(client, "hello"))],
            **await tested.more(client),
        }

    with using():
        live = tested.ask(flavour, server.url, everything)
    assert server.requests == len(live)
    server.stop()
    with using("replay"):
        assert tested.ask(flavour, server.url, everything) == live


@every_sdk
def test_a_stream_of_2000_chunks(tested: Sdk, server: Server, using: Using, flavour: str) -> None:
    """A long stream is replayed chunk for chunk."""

    async def long(client: Any) -> list[Any]:
        return [plain(item) for item in await each(await tested.stream(client, "Tell me at length"))]

    with using():
        live = tested.ask(flavour, server.url, long)
    server.stop()
    assert len(live) >= len(WORDS) / LONG == 2000
    with using("replay"):
        assert tested.ask(flavour, server.url, long) == live


@pytest.mark.parametrize("name", ["openai"])
def test_bytes_arrive_in_the_same_pieces(tested: Sdk, server: Server, using: Using, flavour: str) -> None:
    """The raw answer comes in the pieces in which it once arrived, not in other ones."""

    async def raw(client: Any) -> list[bytes]:
        asked = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "at length"}]}
        answer = client.chat.completions.with_streaming_response.create(**asked, stream=True)
        if flavour == "sync":
            with answer as response:
                return list(response.iter_bytes())
        async with answer as response:
            return await each(response.iter_bytes())

    with using():
        live = tested.ask(flavour, server.url, raw)
    server.stop()
    assert b"".join(live).count(b"data: ") >= 2000
    with using("replay"):
        assert tested.ask(flavour, server.url, raw) == live
