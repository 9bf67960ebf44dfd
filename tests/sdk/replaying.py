"""One way to write a call for the sync and the async client of an SDK, what of its answer a program can see, and what
holds for every SDK: subclass `Contract`."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from sdk.provider import Provider

import cachy

KEY = "sk-test-1f8Kd0ZqWm3Vb7Xc9Lp2Rt5Yh4Nj6"
"""The API key of all clients."""

Call = Callable[[Any], Any]
"""Takes a client, sync or async, and returns its answer. A generator function makes several calls: it yields
each answer as the client returned it and gets it back, awaited when need be."""

Way = Callable[[Call, str], Any]
"""Makes a client for a base URL, lets a call use it, and returns what was seen."""


def pairs(sync: Way, asynchronous: Way, *others: Way) -> dict[str, tuple[Way, Way]]:
    """Which client makes a call, and which one asks for it again.

    `others` are further async clients, on another HTTP client: each is to share its recordings with both.
    """
    found = {
        "sync": (sync, sync),
        "async": (asynchronous, asynchronous),
        "sync-then-async": (sync, asynchronous),
    }
    for other in others:
        name = other.__name__
        found |= {
            name: (other, other),
            f"{name}-then-sync": (other, sync),
            f"async-then-{name}": (asynchronous, other),
        }
    return found


def ways(*clients: Way) -> pytest.MarkDecorator:
    """Parameters `live` and `again` (see `pairs`)."""
    found = pairs(*clients)
    return pytest.mark.parametrize(("live", "again"), found.values(), ids=found)


def seen(answer: Any) -> Any:
    """All that a program can see of an answer, comparable by `==`."""
    if hasattr(answer, "has_next_page"):  # a page of a list, which also iterates over the pages that follow
        return [seen(item) for item in answer]
    if hasattr(answer, "model_dump"):
        # Google's answers carry all response headers, of which a recording keeps those that a client needs.
        facts = answer.model_dump(exclude={"sdk_http_response"}, warnings=False)
        return type(answer).__name__, facts, getattr(answer, "_request_id", None)
    if hasattr(answer, "iter_bytes"):
        return b"".join(answer.iter_bytes())
    if isinstance(answer, str | bytes | dict):
        return answer
    return [seen(item) for item in answer]


async def awaited(answer: Any) -> Any:
    """What an async client hands out at last: streams as lists."""
    if inspect.isawaitable(answer) and not hasattr(answer, "__aiter__"):
        answer = await answer
    if hasattr(answer, "__aiter__"):
        return [item async for item in answer]
    return answer


def talk(call: Call, client: Any) -> list[Any]:
    """What is seen of each answer, with a sync client."""
    if not inspect.isgeneratorfunction(call):
        return [seen(call(client))]
    conversation, found, answer = call(client), [], None
    try:
        while True:
            answer = conversation.send(answer)
            found.append(seen(answer))
    except StopIteration:
        return found


async def talk_async(call: Call, client: Any) -> list[Any]:
    """What is seen of each answer, with an async client."""
    if not inspect.isgeneratorfunction(call):
        return [seen(await awaited(call(client)))]
    conversation, found, answer = call(client), [], None
    try:
        while True:
            answer = await awaited(conversation.send(answer))
            found.append(seen(answer))
    except StopIteration:
        return found


def by_itself(call: Call, client: Any) -> Any:
    """What a call returns, which has looked at its answers itself; with an async client, what it returns when awaited."""
    return call(client)


def with_client(make: Callable[[str], Any], use: Callable[[Call, Any], Any] = talk) -> Way:
    """The way of the sync client that `make` makes for a base URL."""

    def sync(call: Call, url: str) -> Any:
        with make(url) as client:
            return use(call, client)

    return sync


def with_async_client(make: Callable[[str], Any], use: Callable[[Call, Any], Any] = talk_async) -> Way:
    """The way of the async client that `make` makes for a base URL, in an event loop of its own."""

    def asynchronous(call: Call, url: str) -> Any:
        async def main() -> Any:
            async with make(url) as client:
                return await use(call, client)

        return asyncio.run(main())

    return asynchronous


def with_aiohttp(make: Callable[..., Any], http_client: Callable[[], Any]) -> Way:
    """The way of the async client that `make` makes over `http_client`, which rides on aiohttp."""

    def over_aiohttp(call: Call, url: str) -> Any:
        # Made in the event loop, which aiohttp's session belongs to.
        return with_async_client(lambda url: make(url, http_client=http_client()))(call, url)

    return over_aiohttp


PARAMETERS: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION: Any = {"name": "weather", "description": "The weather of a city.", "parameters": PARAMETERS}
TOOLS: Any = [{"type": "function", "function": FUNCTION}]
"""A tool as most chat APIs take it."""


class Place(BaseModel):
    """What structured output is to be."""

    city: str
    inhabitants: int


class Bench:
    """A provider and a store of the test's own."""

    def __init__(self, provider: Provider, store: Path) -> None:
        self.provider = provider
        self.store = store

    @contextmanager
    def cachy(self, mode: Any, **settings: Any) -> Iterator[None]:
        """cachy for the whole process, as `CACHY=1` has it, over the loopback provider."""
        cachy.enable(mode, store=self.store, hosts=["127.0.0.1:*"], summary=False, **settings)
        try:
            yield
        finally:
            cachy.disable()

    def twice(self, call: Call, live: Way, again: Way | None = None, requests: int | None = None) -> Any:
        """Record a call, then replay it with the provider gone: all that is seen must be the same.

        `requests`: how many arrive at the provider; by default one for each answer that is seen.
        """
        with self.cachy("auto"):
            answer = live(call, self.provider.url)
        assert len(self.provider.calls) == (len(answer) if requests is None else requests)
        self.provider.stop()
        with self.cachy("replay"):
            assert (again or live)(call, self.provider.url) == answer
        assert KEY.encode() not in self.store.read_bytes()
        return answer

    def refused(self, call: Call, way: Way) -> cachy.Miss:
        """The Miss of a call in replay mode that has no recording; nothing is sent, nothing retried."""
        missed = cachy.stats().missed
        with self.cachy("replay"), pytest.raises(cachy.Miss) as caught:
            way(call, self.provider.url)
        assert self.provider.calls == []
        assert cachy.stats().missed == missed + 1
        assert "nothing was sent" in str(caught.value)
        assert "/sdk/" in caught.value.caller.replace(
            "\\", "/"
        )  # through all layers, the line of the program
        assert KEY not in str(caught.value) + repr(vars(caught.value))
        return caught.value

    def answered(self, call: Call, way: Way, error: type[Exception]) -> None:
        """With `on_miss="respond"` the SDK raises its own `error` with our words, after one call."""
        missed = cachy.stats().missed
        with self.cachy("replay", on_miss="respond"), pytest.raises(error, match="nothing was sent"):
            way(call, self.provider.url)
        assert self.provider.calls == []
        assert cachy.stats().missed == missed + 1


class Contract:
    """What holds for every SDK, with all of its clients."""

    clients: list[Way]
    """A sync one, an async one, and what else there is (see `pairs`)."""
    calls: dict[str, Call]
    missed: tuple[str, ...] = ("chat", "stream")
    """The calls to try without a recording."""
    error: type[Exception]
    """What the SDK raises for an error answer."""
    provider = "openai"

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """The parameters of the tests below."""
        if "live" in metafunc.fixturenames:
            found = pairs(*self.clients)
            metafunc.parametrize(("live", "again"), found.values(), ids=found)
            metafunc.parametrize("call", self.calls.values(), ids=self.calls)
        else:
            metafunc.parametrize("way", self.clients, ids=lambda way: way.__name__)
            metafunc.parametrize("name", self.missed)

    def test_a_replayed_answer_is_the_live_one(self, call: Call, live: Way, again: Way, bench: Bench) -> None:
        """Each kind of call gives a new client the same objects, chunks and bytes with the provider gone."""
        bench.twice(call, live, again)

    def test_a_miss_ends_the_call_at_once(self, name: str, way: Way, bench: Bench) -> None:
        """A call without a recording raises Miss through the SDK, which neither wraps nor retries it."""
        assert bench.refused(self.calls[name], way).provider == self.provider

    def test_a_miss_as_an_answer(self, name: str, way: Way, bench: Bench) -> None:
        """With on_miss="respond" the SDK raises its own error, once, with the words of the miss."""
        bench.answered(self.calls[name], way, self.error)
