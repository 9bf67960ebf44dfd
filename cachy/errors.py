"""The one error that cachy raises on purpose.

BaseException
└── Miss              a call in replay mode that has no recording
    └── MissInPool    the same in a worker of multiprocessing.Pool, where it is an Exception, too
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any, Literal, NamedTuple


class Change(NamedTuple):
    """A difference between what was asked and the nearest recording."""

    path: str
    """Of the field, as the setting `ignore` takes it: `messages[1].content`, `query.page`, `header.x-run`."""
    kind: Literal["changed", "added", "removed"]
    recorded: Any
    """The recorded value; None when there is none (`added`)."""
    asked: Any
    """The value asked for now; None when there is none (`removed`)."""


class Miss(BaseException):
    """A call was made in replay mode and has no recording; nothing was sent.

    It is a `BaseException` because SDKs wrap and retry ordinary exceptions of their transport ("Connection
    error.", after seconds of waiting); this way it ends the call at once with its own words.

    It can be pickled, and carries no secret. Attributes:

    - what was asked: `method`, `url`, `provider`, `request` (the canonical request), its `key` (32 hex digits),
      and `caller`, the `file:line` of the program ("" when it is not known);
    - where a recording was looked for: `store`, a path or URL;
    - `nearest`: the key of the most similar recording, or None; `differences` from it, one line each, and the
      same as `changes`;
    - `guess`: the line of settings that would cure a difference that looks volatile, or "";
    - `command`: what makes the call again and records it, or "" when that is not known.
    """

    __module__ = "cachy"  # where people import it from; tracebacks say so too

    def __init__(
        self,
        message: str,
        *,
        method: str = "",
        url: str = "",
        provider: str = "",
        key: str = "",
        store: str = "",
        request: dict[str, Any] | None = None,
        nearest: str | None = None,
        differences: tuple[str, ...] = (),
        changes: tuple[Change, ...] = (),
        guess: str = "",
        caller: str = "",
        command: str = "",
    ) -> None:
        super().__init__(message)
        self.method = method
        self.url = url
        self.provider = provider
        self.key = key
        self.store = store
        self.request = request or {}
        self.nearest = nearest
        self.differences = differences
        self.changes = changes
        self.guess = guess
        self.caller = caller
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions cross process borders (multiprocessing, xdist); the default would lose the keyword facts.
        return (_rebuild, (type(self), str(self), self.__dict__))


class MissInPool(Miss, Exception):
    """A `Miss` in a worker of `multiprocessing.Pool` or `ThreadPool`.

    Those catch nothing but `Exception`: anything else ends the worker without a word, and `pool.map` waits for
    ever for its answer. This one comes out of `pool.map` as a `Miss`. The price is that an SDK in the worker may
    wrap and retry it first, as it does with every error of its transport; our words are in its cause.
    """


def fit_for_here(miss: Miss) -> Miss:
    """`miss` as it can be raised where we are: see `MissInPool`."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        # Its copies too: `multiprocess` (dill, pathos, datasets) and `billiard` (celery).
        module = frame.f_globals.get("__name__", "")
        if frame.f_code.co_name == "worker" and module in _POOLS:
            return _rebuild(MissInPool, str(miss), miss.__dict__)
        frame = frame.f_back
    return miss


_POOLS = ("multiprocessing.pool", "multiprocess.pool", "billiard.pool")


def _rebuild(kind: type[Miss], message: str, facts: dict[str, Any]) -> Miss:
    miss = kind(message)
    miss.__dict__.update(facts)
    return miss
