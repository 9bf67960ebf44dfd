"""What a worker process of a test runs: a module that it can import by this name, whatever it was started from."""

from __future__ import annotations

from typing import Any

import cachy


def miss(words: str, facts: dict[str, Any]) -> None:
    raise cachy.Miss(words, **facts)


def call_without_a_recording(store: str) -> None:
    import httpx

    with cachy.using("replay", store=store, hosts=["127.0.0.1:*"], summary=False):
        httpx.get("http://127.0.0.1:9/")
