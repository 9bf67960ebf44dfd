"""Several answers to one question: the n-th time that a run asks it, and named variants.

Both become part of the canonical request, so that each such answer is a recording like any other. The first time
without a variant adds nothing: switching repeats on keeps what was recorded before.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import RLock

from .blocks import block
from .keys import Canonical

_variant: ContextVar[str] = ContextVar("cachy_variant", default="")
_everywhere = ""


@contextmanager
def variant_everywhere(name: str) -> Iterator[None]:
    """`variant` for all threads and tasks that are in no such block of their own."""
    global _everywhere
    outer, _everywhere = _everywhere, name
    try:
        yield
    finally:
        _everywhere = outer


@block
def variant(name: str) -> Iterator[None]:
    """`with cachy.variant("trial-2"):` the calls made in the block have recordings of their own under this name.

    Only the current task or thread (and the tasks started from it) is affected. An inner block counts alone.
    """
    if not name:
        raise ValueError("a variant has a name")
    outer = _variant.get()
    _variant.set(name)
    try:
        yield
    finally:
        _variant.set(outer)  # no token: a fixture may end in another context than it began in


def of_variant(wanted: Canonical) -> Canonical:
    """The canonical request as the current variant asks it."""
    name = _variant.get() or _everywhere
    return _with(wanted, variant=name) if name else wanted


class Turns:
    """Counts how often each question was asked in this run, in order of asking."""

    def __init__(self) -> None:
        # Re-entrant: the garbage collector, which runs anywhere, closes forgotten streams, and they give back theirs.
        self._lock = RLock()
        self._next: dict[str, int] = {}
        self._returned: dict[str, list[int]] = {}
        self._lengths: dict[str, int] = {}

    def start_over(self) -> None:
        """A new run begins: every question is asked for the first time."""
        with self._lock:
            self._next.clear()
            self._returned.clear()

    def take(self, key: str) -> int:
        """The turn of a question that is asked now: 1, 2, ..."""
        with self._lock:
            returned = self._returned.get(key)
            if returned:
                return heapq.heappop(returned)
            turn = self._next.get(key, 0) + 1
            self._next[key] = turn
            return turn

    def wrapped(self, key: str, turn: int, has: Callable[[int], bool]) -> int:
        """The turn whose answer counts when they start over after the last one; `has` tells of a turn whether it
        is recorded."""
        with self._lock:
            length = self._lengths.get(key)
        if length is None:
            if has(turn):
                return turn
            length = next(last for last in range(turn - 1, -1, -1) if last <= 1 or has(last))
            with self._lock:
                self._lengths[key] = length
        return (turn - 1) % max(1, length) + 1

    def give_back(self, key: str, turn: int) -> None:
        """This turn has got no answer that counts (an error, a poll): the next one to ask takes it, a retry mostly."""
        with self._lock:
            heapq.heappush(self._returned.setdefault(key, []), turn)


def of_turn(wanted: Canonical, turn: int) -> Canonical:
    """The canonical request as it is asked for the n-th time."""
    return _with(wanted, turn=turn) if turn > 1 else wanted


def _with(wanted: Canonical, **more: object) -> Canonical:
    return wanted.amended({**wanted.data(), **more})
