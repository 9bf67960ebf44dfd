"""The Python API: what a program can say for itself.

Settings given here stand between the environment and the project's file: an operator's `CACHY_MODE=record`
beats `enable(mode="auto")`, which beats `[tool.cachy]`. In a `with using(...)` block its arguments come first.
`CACHY=0` beats everything.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from . import guard as _guard
from . import session, tally, transports
from .blocks import Block

Mode = Literal["auto", "replay", "record", "verify", "off"]
Hosts = Iterable[str] | Mapping[str, str | Mapping[str, str]]


def enable(
    mode: Mode | None = None,
    *,
    store: str | os.PathLike[str] | None = None,
    max_size: str | int | None = None,
    max_count: int | None = None,
    max_age: str | float | None = None,
    remote_timeout: str | float | None = None,
    remote_read_only: bool | None = None,
    hosts: Hosts | None = None,
    repeats: Literal["same", "sequence", "cycle"] | None = None,
    ttl: str | Mapping[str, str] | None = None,
    replay_listings: bool | None = None,
    ignore: Iterable[str] | None = None,
    redact: Iterable[str] | None = None,
    keep_headers: Iterable[str] | None = None,
    record_status: Iterable[int] | None = None,
    on_miss: Literal["raise", "respond"] | None = None,
    pace: Literal["instant", "recorded"] | float | None = None,
    summary: bool | None = None,
    guard: bool | None = None,
) -> bool:
    """Record and replay the calls of this process from now on, also through clients that exist already.

    Args:
        mode: `auto` (replay, else call and record), `replay` (never call; a call without a recording raises
            `Miss`), `record` (always call, replace the recording), `verify` (always call, compare with the
            recording, write nothing) or `off`.
        store: path or URL of the recordings; relative to the working directory.
        max_size, max_count, max_age: what an SQLite store is kept below, in bytes (or `"2 GB"`), recordings, and
            seconds (or `"90d"`); what was used least recently goes first.
        remote_timeout: how long a shared store may take to answer, in seconds (or `"2s"`).
        remote_read_only: whether a shared store is read only.
        hosts: more hosts beside the providers that cachy knows: `["api.example.com", "localhost:*"]` or
            `{"localhost:8000": "openai", "gw.corp": {"provider": "openai", "as": "api.openai.com"}}`.
        repeats: `same` (the same request has the same answer), `sequence` (the n-th identical request of a run has
            the n-th recorded answer; beyond the last it is a miss), or `cycle` (there `replay` starts over).
        ttl: how long recordings are good for, `"30d"`, or by path, host or provider: `{"*": "30d", "openai": "7d"}`.
            An older one is called again in `auto`; `replay` uses it with a warning.
        replay_listings: whether `auto` replays listings (files, batches, ...) too, which other calls change.
        ignore: what does not count, by path and pattern: `["messages[*].content:date", "$..run_id", "query.t"]`.
        redact: more names of headers, query parameters and body fields that hold secrets.
        keep_headers: more response headers to record.
        record_status: HTTP status codes to record beyond 2xx.
        on_miss: what `replay` does without a recording: `raise` Miss, or `respond` with an HTTP 424 error.
        pace: `instant`, `recorded` (replayed answers take the time the live ones took), or a factor on that.
        summary: whether to print the line at exit.
        guard: whether to watch for connections to these hosts that pass cachy by; `replay` refuses them.

    Calling it again starts over with the new settings. A wrong value is reported on stderr and its default used.

    Returns:
        Whether cachy is active now: False with `CACHY=0` in the environment or `mode="off"`.
    """
    return session.enable(_given(locals()))


def disable() -> None:
    """Stop recording and replaying in this process and put the HTTP clients back as they were."""
    session.disable()
    transports.unpatch()
    _guard.unpatch()


def using(
    mode: Mode | None = None,
    *,
    store: str | os.PathLike[str] | None = None,
    max_size: str | int | None = None,
    max_count: int | None = None,
    max_age: str | float | None = None,
    remote_timeout: str | float | None = None,
    remote_read_only: bool | None = None,
    hosts: Hosts | None = None,
    repeats: Literal["same", "sequence", "cycle"] | None = None,
    ttl: str | Mapping[str, str] | None = None,
    replay_listings: bool | None = None,
    ignore: Iterable[str] | None = None,
    redact: Iterable[str] | None = None,
    keep_headers: Iterable[str] | None = None,
    record_status: Iterable[int] | None = None,
    on_miss: Literal["raise", "respond"] | None = None,
    pace: Literal["instant", "recorded"] | float | None = None,
    summary: bool | None = None,
    guard: bool | None = None,
) -> Block:
    """`with cachy.using("replay", store="tests/calls.jsonl"):` other settings for the calls made in the block; or
    `@cachy.using("replay")` above a function, also an `async def`.

    Arguments as in `enable`; what is left out is as the block around this one has it, or `enable` for the process.
    Only the current task or thread (and the tasks started from it) is affected.
    """
    return session.using(_given(locals()))


def bypass() -> Block:
    """`with cachy.bypass():` the calls made in the block go out live and are not recorded.

    Only the current task or thread (and the tasks started from it) is affected.
    """
    return session.bypass()


def stats() -> tally.Stats:
    """What became of the calls of this process so far."""
    return tally.stats()


def _given(arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        name: os.fspath(value) if isinstance(value, os.PathLike) else value
        for name, value in arguments.items()
        if value is not None
    }
