"""Single flight: identical requests that are under way at once in one process cause one call. (For other processes
and machines the leader holds a lease, see `cachy.stores.leases`.)

The first one leads and calls; the others follow: they wait until its answer is recorded and are given that. When
the leader's call fails, is left half-way, or is not recorded for any other reason, one follower leads next.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextvars import ContextVar
from threading import Event, RLock
from typing import Protocol

from .streaming import now

PATIENCE = 10.0
"""Seconds after which a leader that has its answer and does not read it is not waited for any longer."""
LONGEST = 600.0
"""Seconds after which a leader that has no answer yet is not waited for any longer: what the SDKs wait themselves."""


class Lease(Protocol):
    """The right to make a call that other processes wait for. Its methods never raise."""

    def moved(self) -> None:
        """The answer has begun, or a piece of it has arrived."""

    def release(self) -> None:
        """The call has ended in whatever way. May be called again."""


class Flight:
    """One live call that others wait for, or anything else that will have happened."""

    __slots__ = ("_began", "_landed", "_moved", "_wakers", "lease")

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self._landed = Event()
        self._wakers: list[Callable[[], None]] = []
        self._began = now()
        self._moved: float | None = None

    @property
    def landed(self) -> bool:
        """Whether it has happened."""
        return self._landed.is_set()

    @property
    def stalled(self) -> bool:
        """Whether the answer has begun and nobody goes on reading it (its reader may be waiting for us), or does not
        come (its event loop may have been stopped)."""
        if self._moved is None:
            return now() - self._began > LONGEST
        return now() - self._moved > PATIENCE

    def moved(self) -> None:
        """The answer has begun, or a piece of it has arrived."""
        self._moved = now()
        if self.lease is not None:
            self.lease.moved()

    def wait(self, seconds: float) -> None:
        """Block the thread until the flight has landed, `seconds` at most."""
        self._landed.wait(seconds)

    def land(self) -> None:
        """It has happened; wake who waits for it. Never raises; may be called again."""
        if self.lease is not None:
            self.lease.release()
        with _lock:
            self._landed.set()
            wakers, self._wakers = self._wakers, []
        for wake in wakers:
            try:
                wake()
            except RuntimeError:
                pass  # its event loop is closed

    def on_landing(self, wake: Callable[[], None]) -> None:
        """Call `wake` once it has landed, from whatever thread that happens in; at once if it has."""
        with _lock:
            if not self.landed:
                self._wakers.append(wake)
                return
        wake()


class Flights:
    """The calls under way by their keys."""

    __slots__ = ("_by_key", "_process")

    def __init__(self) -> None:
        self._by_key: dict[str, Flight] = {}
        self._process = os.getpid()

    def board(self, key: str) -> tuple[Flight | None, bool]:
        """(flight, whether we lead it). None: call, and nobody is to wait for us."""
        with _lock:
            if self._process != os.getpid():  # forked: the leaders of before fly on in the parent
                self._by_key.clear()
                self._process = os.getpid()
            flight = self._by_key.get(key)
            if flight is None:
                flight = self._by_key[key] = Flight()
                _led.set((*(led for led in _led.get() if not led.landed), flight))
                return flight, True
            if flight.stalled or flight in _led.get():
                return None, False
            return flight, False

    def land(self, key: str, flight: Flight) -> None:
        """The leader's call has ended in whatever way; wake the followers. Never raises; may be called again."""
        with _lock:
            if self._by_key.get(key) is flight:
                del self._by_key[key]
        flight.land()


# Re-entrant: a call that is let go of lands its flight from the garbage collector, which runs anywhere.
_lock = RLock()


def _after_fork() -> None:
    global _lock
    _lock = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

# The flights that this task or thread leads, or that was under way where it was started from. Who leads a stream and
# asks the same again before its end, itself or in a task that it waits for, must not wait for itself.
_led: ContextVar[tuple[Flight, ...]] = ContextVar("cachy_led", default=())
