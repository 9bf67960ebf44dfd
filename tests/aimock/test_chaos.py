"""A server that fails: an SDK sees what it would see without cachy, and no failure is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sdk_previous.scripts.both import plain

from .conftest import Server, Using
from .sdks import SDKS, Sdk

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("flavour", ["sync", "async"]),
    pytest.mark.parametrize("name", SDKS),
]


MADE_UP = ("id", "created", "message", "response_id")


@pytest.fixture(scope="module")
def shared(llmock: list[str]) -> Iterator[Server]:
    """One server for all: what it does wrong is asked for by each request."""
    server = Server(llmock)
    yield server
    server.stop()


def seen(tested: Sdk, flavour: str, url: str, text: str, streamed: bool, **headers: str) -> list[Any]:
    """What a program sees: the items of the answer, then the error that ended it, if one did."""
    items: list[Any] = []

    async def question(client: Any) -> None:
        if not streamed:
            items.append(text_of(await tested.whole(client, text)))
            return
        stream = await tested.stream(client, text)
        if flavour == "async":
            async for item in stream:
                items.append(text_of(item))
        else:
            for item in stream:
                items.append(text_of(item))

    try:
        tested.ask(flavour, url, question, headers)
    except Exception as problem:  # noqa: BLE001 - whatever it is, it is what the program sees
        items.append((type(problem), str(problem)))
    return items


def text_of(item: Any) -> dict[str, Any]:
    """An item without what the server makes up for each answer."""
    return {name: value for name, value in plain(item).items() if name not in MADE_UP}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("fault", ["drop", "ratelimit", "malformed", "disconnect"])
def test_a_fault_is_handed_on(
    tested: Sdk, shared: Server, using: Using, store: Path, flavour: str, fault: str, streamed: bool
) -> None:
    """500, 429, garbage with status 200, a connection that is cut: the same error as ever, and nothing recorded."""
    chaos = {f"x-aimock-chaos-{fault}": "1"}
    without = seen(tested, flavour, shared.url, "hello", streamed, **chaos)
    before = shared.requests
    with using():
        assert seen(tested, flavour, shared.url, "hello", streamed, **chaos) == without
    assert shared.requests == before + 1
    assert not store.exists()


def test_a_stream_that_breaks_is_not_recorded(
    tested: Sdk, shared: Server, using: Using, store: Path, flavour: str
) -> None:
    """What came before the break is handed on, then the error, and the next run asks again."""
    *_, error = seen(tested, flavour, shared.url, "break off", streamed=True)
    with using():
        first, *_, last = seen(tested, flavour, shared.url, "break off", streamed=True)
    assert isinstance(first, dict)
    assert last == error
    assert not store.exists()


def test_only_the_answer_after_a_retry_is_recorded(
    tested: Sdk, server: Server, using: Using, flavour: str
) -> None:
    """The SDK retries a 503 as ever; what is replayed is the answer that came then."""

    async def question(client: Any) -> Any:
        return plain(await tested.whole(client, "the second time"))

    with using():
        live = tested.ask(flavour, server.url, question, retries=2)
    assert server.requests == 2
    server.stop()
    with using("replay"):
        assert tested.ask(flavour, server.url, question) == live
