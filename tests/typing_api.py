"""Every public name of cachy as a program uses it. Nothing here runs: mypy checks it in strict mode."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import httpx
import httpx2  # type: ignore[import-not-found, unused-ignore]  # not for Python 3.10
from typing_extensions import assert_type

import cachy
from cachy import (
    AsyncTransport,
    Miss,
    Stats,
    Transport,
    __version__,
    bypass,
    disable,
    disable_cachy,
    doms,
    enable,
    enable_cachy,
    no_cachy,
    stats,
    using,
    variant,
)


def the_python_api(path: Path, folder: os.PathLike[str]) -> None:
    assert_type(enable(), bool)
    enable(
        "replay", store=path, hosts=["localhost:*"], redact=("a",), keep_headers={"x-a"}, record_status=[404]
    )
    enable(mode="record", store="cachy.jsonl", on_miss="respond", pace="recorded", summary=False)
    enable(hosts={"localhost:8000": "openai"}, pace=0.5)
    enable(hosts={"gw.corp": {"provider": "openai", "as": "api.openai.com"}}, store=folder)
    enable("verify", repeats="sequence", ttl="30d", replay_listings=True)
    enable(
        store="cachy.db",
        max_size="2 GB",
        max_count=100,
        max_age="90d",
        remote_timeout=0.5,
        remote_read_only=True,
    )
    enable(ignore=["$..run_id"], guard=False)
    enable(repeats="cycle", ttl={"*": "30d", "/v1/models": "1d"})
    assert_type(disable(), None)
    with variant("trial-2") as nothing:
        assert_type(nothing, None)
    with using(
        "auto", store=path, hosts=["a"], redact=["b"], keep_headers=["c"], record_status=[404]
    ) as nothing:
        assert_type(nothing, None)
    with using(mode="off", on_miss="raise", pace="instant", summary=True), bypass() as nothing:
        assert_type(nothing, None)

    @using("replay")
    def decorated(number: int) -> str:
        return str(number)

    @bypass()
    async def decorated_async(number: int) -> str:
        return str(number)

    @variant("b")
    async def of_variant() -> None: ...

    assert_type(decorated(1), str)
    decorated("one")  # type: ignore[arg-type]
    assert_type(asyncio.run(decorated_async(1)), str)
    asyncio.run(of_variant())
    assert_type(__version__, str)


def wrong_settings() -> None:
    enable("sometimes")  # type: ignore[arg-type]
    enable(pace="fast")  # type: ignore[arg-type]
    enable(repeats="often")  # type: ignore[arg-type]
    enable(on_miss="shrug")  # type: ignore[arg-type]
    enable(hosts=3)  # type: ignore[arg-type]
    enable("auto", "cachy.jsonl")  # type: ignore[call-arg]
    using(colour="red")  # type: ignore[call-arg]


def what_became_of_the_calls() -> None:
    found = stats()
    assert_type(found, Stats)
    assert_type(found.hits, int)
    assert_type(found.recorded, int)
    assert_type(found.missed, int)
    assert_type(found.bypassed, int)
    assert_type(found.escaped, int)
    assert_type(found.saved_ms, int)
    assert_type(found.handled, int)
    assert_type(found.reasons, dict[str, int])
    found.hits = 3  # type: ignore[misc]


def a_miss() -> None:
    try:
        print()
    except Miss as miss:
        assert_type(miss.method, str)
        assert_type(miss.url, str)
        assert_type(miss.provider, str)
        assert_type(miss.key, str)
        assert_type(miss.store, str)
        assert_type(miss.request, dict[str, Any])
        assert_type(miss.nearest, str | None)
        assert_type(miss.differences, tuple[str, ...])
        assert_type(miss.changes[0].path, str)
        assert_type(miss.guess, str)
        assert_type(miss.caller, str)
        assert_type(miss.command, str)
        anything: BaseException = miss
        ordinary: Exception = miss  # type: ignore[assignment]
        print(anything, ordinary)


def on_one_client_only() -> None:
    httpx.Client(transport=Transport(httpx.HTTPTransport()))
    httpx2.Client(transport=Transport(httpx2.HTTPTransport()))
    with Transport(httpx.HTTPTransport()) as entered:
        assert_type(entered, Transport)


async def on_one_async_client_only() -> None:
    httpx.AsyncClient(transport=AsyncTransport(httpx.AsyncHTTPTransport()))
    httpx2.AsyncClient(transport=AsyncTransport(httpx2.AsyncHTTPTransport()))
    async with AsyncTransport(httpx.AsyncHTTPTransport()) as entered:
        assert_type(entered, AsyncTransport)


def the_names_of_pycachy(path: Path) -> None:
    assert_type(enable_cachy(), None)
    enable_cachy(path, doms=(*doms, "my.host"), hdrs=["x-a"], debug=True)
    enable_cachy(cache_dir="folder", debug="miss")
    assert_type(disable_cachy(), None)
    assert_type(doms, tuple[str, ...])
    with cachy.cachy(cache_dir=path, doms=["a"], hdrs=("b",), debug=False) as nothing:
        assert_type(nothing, None)
    with no_cachy() as nothing:
        assert_type(nothing, None)
