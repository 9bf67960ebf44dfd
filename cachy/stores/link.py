"""The way to a shared store: threads ask it, so that no caller blocks, and the first failure is the last."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from math import inf
from threading import RLock, Thread
from typing import Protocol

from ..clocks import monotonic as now
from ..notices import in_brief, say_once
from . import Store, StoreError
from .background import Threads

_AFTERWARDS = 0.2  # seconds to wait for threads that have only to see that it failed
_TICK = 0.05  # seconds between two looks at what is under way


class Remote(Store, Protocol):
    """A shared store. Its methods block, for its time limit at most, and raise StoreError."""

    in_order: bool
    """Whether it knows which recordings are the newest."""

    def acquire(self, key: str, owner: str, seconds: float) -> bool:
        """Take the lease of `key` if nobody has it; whether it was got."""

    def renew(self, key: str, owner: str, seconds: float) -> bool:
        """Hold on to the lease; False when it is another one's by now."""

    def release(self, key: str, owner: str) -> None:
        """Give the lease back."""


class Link:
    """Asks and sends in threads. After a failure, or an answer that took too long, it does nothing any more."""

    def __init__(self, url: str, connect: Callable[[], Remote], timeout: float, instead: str) -> None:
        """`url`: of the store, without secrets. `connect` makes it, in a thread. `timeout`: seconds that it may take
        to answer. `instead`: what is used once it fails."""
        self.url = url
        self.timeout = timeout
        self.down = ""
        """Why it is not used any more, or empty."""
        self.watching: list[Callable[[], bool]] = []
        """Called every moment while anything is under way; each says whether there is anything."""
        self.on_failure: list[Callable[[], None]] = []
        self._connect = connect
        self._instead = instead
        self.begin()

    def begin(self) -> None:
        """Start anew, in a process that has no threads yet."""
        self._lock = RLock()
        # Of the threads alone: to connect, and to import what that takes, may last.
        self._connecting = RLock()
        self._asking = Threads(8, self._failed)
        self._sending = Threads(2, self._failed)
        self._watched = False
        self._remote: Remote | None = None

    def ask(self, job: Callable[[Remote], object], trips: int = 1) -> bool:
        """Have a thread do `job`, which may take the time of so many answers; whether one will."""

        def work() -> None:
            if not self.down:
                job(self.connected())

        return not self.down and self._asking.do(work, trips * self.timeout) and self._watch()

    def send(self, job: Callable[[Remote | None], object]) -> bool:
        """The same for a job that may be long; it is given None when the store has failed meanwhile."""

        def work() -> None:
            remote = None
            try:
                if not self.down:
                    remote = self.connected()
            finally:
                job(remote)

        begun = self._sending.do(work, inf)
        if begun:
            self._watch()  # without that it is sent all the same
        return begun

    def connected(self) -> Remote:
        """The store. Raises StoreError when it cannot even be tried."""
        with self._connecting:
            if self._remote is None:
                self._remote = self._connect()
            return self._remote

    @property
    def open(self) -> Remote | None:
        """The store, if it has been used already and has not failed."""
        return None if self.down else self._remote

    def settle(self) -> None:
        """Wait until everything is sent or given up, for the time limit at most; after a failure that takes no time."""
        self._sending.settle(now() + (min(self.timeout, _AFTERWARDS) if self.down else self.timeout))

    def close(self) -> None:
        """Let go of threads and connections; it may be used again."""
        self._asking.end()
        self._sending.end()
        remote, self._remote = self._remote, None
        if remote is not None:
            with suppress(Exception):
                remote.close()

    def _watch(self) -> bool:
        with self._lock:
            if not self._watched:
                try:
                    Thread(target=self._look, args=(self._lock,), name="cachy-shared", daemon=True).start()
                    self._watched = True
                except RuntimeError:  # the interpreter is about to end
                    return False
            return True

    def _look(self, lock: object) -> None:
        while lock is self._lock:  # else this is a forked child's
            time.sleep(_TICK)
            if self._asking.late:
                self.fail(f"no answer within {self.timeout:g} s")
            busy = [look() for look in self.watching]
            with self._lock:
                if not any(busy) and self._asking.idle and self._sending.idle:
                    self._watched = False
                    return

    def _failed(self, problem: BaseException) -> None:
        self.fail(str(problem) if isinstance(problem, StoreError) else in_brief(problem))

    def fail(self, reason: str) -> None:
        """Do without it from now on, with one warning."""
        with self._lock:
            first, self.down = not self.down, reason or "it failed"
        if first:
            text = reason if reason.startswith(self.url) else f"{self.url}: {reason}"
            say_once(f"{text}; this run goes on with {self._instead} alone")
        for told in self.on_failure:
            told()
