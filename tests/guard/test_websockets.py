"""WebSockets are never recorded: reported as such, and in replay mode refused."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest

import cachy

from .conftest import HOST, Provider

Enable = Callable[..., None]
UPGRADE = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}


async def by_websockets(port: int) -> None:
    import websockets

    async with websockets.connect(f"ws://{HOST}:{port}/v1/realtime"):
        pass


async def by_aiohttp(port: int) -> None:
    import aiohttp

    resolver = aiohttp.ThreadedResolver()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=resolver)) as session:
        await session.ws_connect(f"ws://{HOST}:{port}/v1/realtime")


LIBRARIES = pytest.mark.parametrize(
    "way",
    [
        pytest.param(
            way, marks=pytest.mark.skipif(not importlib.util.find_spec(name), reason=f"no {name} here")
        )
        for name, way in (("websockets", by_websockets), ("aiohttp", by_aiohttp))
    ],
)


@LIBRARIES
def test_a_websocket_is_bypassed_with_its_reason(
    way: Callable[[int], Coroutine[Any, Any, None]],
    provider: Provider,
    enable: Enable,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It is not an escape, as no adapter could have recorded it; the reason names a WebSocket."""
    enable()
    with pytest.raises(Exception, match="200"):  # the provider does not speak it
        asyncio.run(way(provider.port))
    (reason,) = cachy.stats().reasons
    assert reason.startswith("a WebSocket")
    assert cachy.stats().escaped == 0


@LIBRARIES
def test_replay_refuses_a_websocket(
    way: Callable[[int], Coroutine[Any, Any, None]], provider: Provider, enable: Enable
) -> None:
    """Nothing reaches the provider."""
    enable("replay")
    with pytest.raises(cachy.Miss):
        asyncio.run(way(provider.port))
    assert provider.greeted == 0


def test_an_upgrade_through_an_adapter_is_bypassed_too(provider: Provider, enable: Enable) -> None:
    """What opens a WebSocket with an HTTP client (httpx-ws) is known by its header."""
    enable()
    httpx.get(f"http://{HOST}:{provider.port}/v1/realtime", headers=UPGRADE)
    assert cachy.stats().reasons == {"a WebSocket": 1}
    assert cachy.stats().escaped == 0


def test_replay_refuses_an_upgrade(provider: Provider, enable: Enable) -> None:
    """The Miss says that it is a WebSocket that cannot be replayed; `on_miss="respond"` answers with an error."""
    enable("replay")
    url = f"http://{HOST}:{provider.port}/v1/realtime"
    with pytest.raises(cachy.Miss, match="a WebSocket cannot be replayed"):
        httpx.get(url, headers=UPGRADE)
    enable("replay", on_miss="respond")
    assert httpx.get(url, headers=UPGRADE).status_code == 424
    assert provider.greeted == 0
