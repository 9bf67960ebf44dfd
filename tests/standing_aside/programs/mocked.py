"""Run by pytest with pytest-httpx: its mock answers what cachy has a recording of."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from common import URL, ask, enable

import cachy


@pytest.mark.parametrize("client", ["httpx", "async httpx"])
@pytest.mark.parametrize("again", [False, True])
def test_the_mock_wins(client: str, again: bool, request: pytest.FixtureRequest) -> None:
    enable()
    first = ask(client)
    before = cachy.stats()
    mock: Any = request.getfixturevalue("httpx_mock")
    if again:
        cachy.disable()
        enable()
    mock.add_response(url=URL, json={"n": -1})
    assert ask(client) == -1
    assert first != -1
    assert cachy.stats().recorded == before.recorded
    assert (
        cachy.stats().reasons["pytest-httpx is active"] == before.reasons.get("pytest-httpx is active", 0) + 1
    )


def test_afterwards_cachy_replays() -> None:
    enable()
    assert ask("httpx") == 1
    assert httpx.HTTPTransport.handle_request.__module__.startswith("httpx")
