"""What the tests of aiohttp share."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

aiohttp: Any = pytest.importorskip("aiohttp")

EVENTS = [b'data: {"n":1}\n\n', b'data: {"n":2}\n\n', b"data: [DONE]\n\n"]

Look = Callable[[Any], Awaitable[Any]]
"""What of a response a test wants to see."""


def lines_of(store: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in store.read_text().splitlines()] if store.exists() else []


def stream_events(handler: Any) -> None:
    handler.head(content_type="text/event-stream", transfer_encoding="chunked")
    for event in EVENTS:
        handler.chunk(event)
    handler.end()


async def text(response: Any) -> Any:
    return await response.text()


async def parsed(response: Any) -> Any:
    return await response.json()


def ask(url: str, look: Look = text, method: str = "POST", of_session: Any = None, **options: Any) -> Any:
    """One call in a session and an event loop of its own."""

    async def main() -> Any:
        async with (
            aiohttp.ClientSession(**(of_session or {})) as session,
            session.request(method, url, **options) as response,
        ):
            return await look(response)

    return asyncio.run(main())
