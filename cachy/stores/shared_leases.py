"""One call across machines: who makes it holds a lease in the shared store, and others that ask the same wait for it.

It is renewed as long as the call goes on, and expires by itself when its machine dies or the call stalls.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from math import inf
from threading import RLock

from ..clocks import monotonic as now
from ..flights import LONGEST, PATIENCE, Flight
from . import StoreError
from .link import Link, Remote

_LEASE = 30.0  # seconds for which a lease is taken
_RENEWAL = 10.0  # seconds after which it is renewed
_PAUSES = (0.05, 1.0)  # seconds between two attempts to get a lease: at first, and at most
_TRIPS = 4  # answers of an object store that one attempt may need


class SharedLease:
    """The right to make a call that other machines wait for."""

    __slots__ = ("_began", "_leases", "_moved", "key", "renewed")

    def __init__(self, leases: SharedLeases, key: str) -> None:
        self._leases = leases
        self.key = key
        self._began = self.renewed = now()
        self._moved: float | None = None

    @property
    def stalled(self) -> bool:
        """Whether the call does not move: then the lease is not renewed, and others go on without us."""
        if self._moved is None:
            return now() - self._began > LONGEST
        return now() - self._moved > PATIENCE

    def moved(self) -> None:
        """The answer has begun, or a piece of it has arrived. Never raises."""
        self._moved = now()

    def release(self) -> None:
        """Let others go on, as soon as the recording is sent. Never raises; may be called again."""
        self._leases.give_back(self)


class _Contest:
    """The attempts of this process to get one lease."""

    __slots__ = ("due", "flight", "pause")

    def __init__(self) -> None:
        self.flight = Flight()
        self.due = inf
        """When to try again; not while a thread is trying."""
        self.pause = _PAUSES[0]


class SharedLeases:
    """The leases of this process in one shared store."""

    def __init__(self, link: Link, recorded: Callable[[Remote, str], bool]) -> None:
        """`recorded`: whether somebody has recorded a key meanwhile; called, in a thread, once its lease was got."""
        self._link = link
        self._recorded = recorded
        self._inherited: frozenset[str] = frozenset()
        """What its parent held when this process was forked: it may wait for us, so we do not wait for it."""
        self._held: dict[str, SharedLease] = {}
        self.begin()
        link.watching.append(self._look)
        link.on_failure.append(self._give_up)

    def begin(self) -> None:
        """Start anew, in a process that was forked."""
        self._inherited |= set(self._held)
        self._lock = RLock()
        self._owner = os.urandom(16).hex()
        self._contests: dict[str, _Contest] = {}
        self._granted: dict[str, SharedLease | None] = {}
        """Leases that were got and not yet picked up; None: go on without."""
        self._held = {}
        self._unsent: set[str] = set()
        """Keys of which a recording is on its way."""
        self._waiting: set[str] = set()
        """Leases to be given back once that is done."""

    def take(self, key: str, flight: Flight) -> Flight | None:
        """Make `flight` hold the lease for the call of `key`; None when it does, or when there is none to be had.

        Else what to wait for before asking again. Never raises.
        """
        with self._lock:
            if key in self._granted:
                lease = self._granted.pop(key)
                if lease is not None:
                    self._held[key] = flight.lease = lease
                return None
            if key in self._held or key in self._inherited:
                return None  # another session of this process has it, or its parent
            contest = self._contests.get(key)
            if contest is None:
                contest = self._contests[key] = _Contest()
                if not self._ask(key, contest):
                    del self._contests[key]
                    return None
            return contest.flight

    def sending(self, key: str) -> None:
        """A recording of `key` is on its way to the shared store."""
        with self._lock:
            self._unsent.add(key)

    def sent(self, key: str) -> None:
        """It has arrived, or never will."""
        with self._lock:
            self._unsent.discard(key)
            if key not in self._waiting:
                return
            self._waiting.discard(key)
        self._release(key)

    def give_back(self, lease: SharedLease) -> None:
        """The call has ended."""
        with self._lock:
            if self._held.get(lease.key) is not lease:
                return
            del self._held[lease.key]
            if lease.key in self._unsent:
                self._waiting.add(lease.key)  # who waits for the lease must find the recording
                return
        self._release(lease.key)

    def _release(self, key: str) -> None:
        def give(remote: Remote | None) -> None:
            if remote is not None:
                remote.release(key, self._owner)

        self._link.send(give)  # as recordings are: the end of a program waits for it

    def _ask(self, key: str, contest: _Contest) -> bool:
        return self._link.ask(lambda remote: self._contend(remote, key, contest), _TRIPS)

    def _contend(self, remote: Remote, key: str, contest: _Contest) -> None:
        """Try once to get the lease."""
        got: bool | None
        try:
            got = remote.acquire(key, self._owner, _LEASE)
        except StoreError:
            got = None  # two make the call then; that is no reason to do without the store
        # Whoever had it, now or since we looked, has most likely recorded.
        recorded = bool(got) and self._recorded(remote, key)
        with self._lock:
            if got is False:
                # Whoever has it may have it for minutes.
                contest.due = now() + contest.pause
                contest.pause = min(2 * contest.pause, _PAUSES[1])
                return
            self._contests.pop(key, None)
            if not recorded:
                self._granted[key] = SharedLease(self, key) if got else None
        if recorded:
            self._release(key)
        contest.flight.land()

    def _look(self) -> bool:
        """Contend again for what others hold, and hold on to what we do; whether there is anything."""
        with self._lock:
            due = [(key, contest) for key, contest in self._contests.items() if now() >= contest.due]
            old = [
                lease
                for lease in self._held.values()
                if now() - lease.renewed > _RENEWAL and not lease.stalled
            ]
            # Whoever wanted it has been cancelled.
            left = [key for key, lease in self._granted.items() if lease and now() - lease.renewed > _RENEWAL]
            for key in left:
                del self._granted[key]
            busy = bool(self._contests or self._held or self._granted)
        for key, contest in due:
            contest.due = inf
            self._ask(key, contest)
        for lease in old:
            lease.renewed = now()
            self._renew(lease.key)
        for key in left:
            self._release(key)
        return busy

    def _renew(self, key: str) -> None:
        self._link.ask(lambda remote: remote.renew(key, self._owner, _LEASE), _TRIPS)

    def _give_up(self) -> None:
        with self._lock:
            waiting = list(self._contests.values())
            self._contests.clear()
            self._granted.clear()
            self._held.clear()
        for contest in waiting:
            contest.flight.land()
