"""A shared store with a local one in front: read locally first, written to both.

The caller never blocks on the network. What is not here is fetched by a thread; the engine waits for that as it waits
for somebody else's call (see `cachy.flights`), in sync and async code alike, and then finds it here. What is recorded
is here at once and sent in the background. A shared store that is slow, down or refuses costs its time limit once:
then there is one warning, and the run goes on with the local store alone.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from hashlib import blake2b
from itertools import islice
from threading import RLock
from weakref import WeakSet

from ..clocks import monotonic as now
from ..flights import Flight
from ..notices import say_once
from ..recording import recorded_at, response_of
from ..report.terminal import place
from ..trust import user_folder
from ..values import Limits
from . import Store, StoreError, check, leases, open_store
from .link import Link, Remote
from .shared_leases import SharedLeases

_AGAIN = 5.0  # seconds after which a recording is asked for again
_PROVIDERS = ""  # stands for a key that no recording has
_REMEMBERED = 10_000  # recordings that were asked for
_UNSENT = 64 * 1024 * 1024  # bytes of recordings that may wait to be sent
_SEARCHED = 100  # recordings of the shared store that explain a miss


class LayeredStore:
    """A local and a shared store. Safe to use from many threads and processes at once, and after a fork."""

    def __init__(self, local: Store, link: Link, read_only: bool = False) -> None:
        """`read_only`: nothing is written to the shared store."""
        self.url = link.url
        self.local = local
        self._link = link
        self._read_only = read_only
        self._leases = SharedLeases(link, self._take_over)
        self._lock = RLock()
        self._begin()
        link.on_failure.append(self._give_up)
        _stores.add(self)

    def _begin(self) -> None:
        """The state of a process that has no threads yet."""
        self._lock = RLock()
        self._fetches: dict[str, Flight] = {}
        self._asked: dict[str, float] = {}
        """When each recording was last asked for there."""
        self._kept: dict[str, bytes] = {}
        """Fetched recordings that could not be written to the local store."""
        self._unsent: dict[str, bytes] = {}
        """The newest line of each recording that is on its way."""
        self._told: set[str] = set()
        """Those of them of which it was told that they are not there."""
        self._unsent_bytes = self._lost = 0
        self._their_providers: frozenset[str] | None = None
        self._finalizes = False

    def forked(self) -> None:
        """No thread of its parent lives in a forked child."""
        self._link.begin()
        self._leases.begin()
        self._begin()

    # The store

    def get(self, key: str) -> bytes | None:
        """The line recorded under `key` here, or None: see `fetch`. Raises StoreError."""
        return self.local.get(key) or self._kept.get(key)

    def put(self, key: str, line: bytes) -> None:
        """Write it here, and have it sent. Raises StoreError when it could not be written here."""
        check(key, line)
        try:
            self.local.put(key, line)
        finally:
            # What a reader left half-way is nothing to share: another machine may have all of it.
            if not self._read_only and (len(key) == 8 or not response_of(line).partial):
                self._send(key, line)

    def delete(self, key: str) -> bool:
        """Forget `key` here. Raises StoreError."""
        return self.local.delete(key)

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """What is here, oldest first. Raises StoreError."""
        return iter(self.local)

    def __reversed__(self) -> Iterator[tuple[str, bytes]]:
        """What is here, newest first; behind it the newest of a shared store that knows them. Raises StoreError."""
        yield from reversed(self.local)
        remote = self._link.open
        if remote is not None and remote.in_order:
            with suppress(StoreError):
                yield from islice(reversed(remote), _SEARCHED)

    def all_keys(self) -> Iterator[str]:
        """The keys that are here. Raises StoreError."""
        return self.local.all_keys()

    def __len__(self) -> int:
        """How many keys are here. Raises StoreError."""
        return len(self.local)

    @property
    def legacy(self) -> bool:
        """Whether there is any recording of pycachy here. Raises StoreError."""
        return self.local.legacy

    @property
    def providers(self) -> frozenset[str]:
        """Names of the providers of the recordings here and there. Asks there once. Raises StoreError."""
        if self._their_providers is None:
            self._their_providers = frozenset()
            flight = self._fetches[_PROVIDERS] = Flight()

            def ask(remote: Remote) -> None:
                self._their_providers = remote.providers
                self._fetches.pop(_PROVIDERS, None)
                flight.land()

            if self._link.ask(ask):
                flight.wait(self._link.timeout)  # it lands when the link fails, too
        return self.local.providers | self._their_providers

    @property
    def problems(self) -> str | None:
        """What is wrong with the local store."""
        return self.local.problems

    def close(self) -> None:
        """Send what is unsent, within the time limit, and let go of files and connections."""
        self.flush()
        self._link.close()
        self.local.close()

    # What the engine asks before it calls

    def fetch(self, key: str) -> Flight | None:
        """What to wait for before looking here again; None: it is not there either. Never raises."""
        with self._lock:
            if self._link.down or now() - self._asked.get(key, -_AGAIN) < _AGAIN:
                return None
            flight = self._fetches.get(key)
            if flight is None:
                flight = self._fetches[key] = Flight()
                if not self._link.ask(lambda remote: self._fetch(remote, key, flight)):
                    del self._fetches[key]
                    return None
            return flight

    def lease(self, key: str, flight: Flight) -> Flight | None:
        """As `cachy.stores.leases.take`, across all machines that write to the shared store. Never raises."""
        if self._link.down or self._read_only:
            return leases.take(os.path.realpath(self.local.url), key, flight)
        return self._leases.take(key, flight)

    def _take_over(self, remote: Remote, key: str) -> bool:
        """Look there; whether it has a better recording of `key` than was here. Now that is here too."""
        line = remote.get(key)
        if line is None:
            return False
        try:
            if not _is_better(line, self.get(key)):
                return False
            self.local.put(key, line)
        except (StoreError, ValueError) as problem:
            say_once(str(problem))
            if self._kept.get(key) == line:
                return False
            self._kept[key] = line
        return True

    def _fetch(self, remote: Remote, key: str, flight: Flight) -> None:
        self._take_over(remote, key)  # a failure is told first, and then lands the flight: see `_give_up`
        with self._lock:
            if len(self._asked) > _REMEMBERED:
                self._asked.clear()
            self._asked[key] = now()
            self._fetches.pop(key, None)
        flight.land()

    def _give_up(self) -> None:
        with self._lock:
            waiting = list(self._fetches.values())
            self._fetches.clear()
        for flight in waiting:
            flight.land()

    # Sending

    def _send(self, key: str, line: bytes) -> None:
        with self._lock:
            if self._link.down or self._unsent_bytes + len(line) > _UNSENT:
                self._lost += 1
                return
            older = self._unsent.get(key)
            self._unsent[key] = line
            self._unsent_bytes += len(line) - len(older or b"")
            if older is not None:
                return  # who sends that sends this after it: two threads could not keep their order
            self._leases.sending(key)
            util = sys.modules.get("multiprocessing.util")
            if util is not None and not self._finalizes:
                self._finalizes = True  # its children end without atexit
                util.Finalize(None, self.flush, exitpriority=1)
        self._have_sent(key)

    def _have_sent(self, key: str) -> None:
        if not self._link.send(lambda remote: self._sent(remote, key)):
            self._sent(None, key)

    def _sent(self, remote: Remote | None, key: str) -> None:
        line, arrived = self._unsent[key], False
        try:
            if remote is not None:
                remote.put(key, line)
                arrived = True
        finally:
            with self._lock:
                newer = arrived and self._unsent[key] is not line
                if not newer:
                    self._unsent_bytes -= len(self._unsent.pop(key))
                    self._lost += not arrived and key not in self._told
                    self._told.discard(key)
                    self._leases.sent(key)
        if newer:
            self._have_sent(key)

    def flush(self) -> None:
        """Wait until everything is sent, for the time limit at most; tell what is not. Never raises."""
        self._link.settle()
        with self._lock:
            lost = self._lost + len(self._unsent.keys() - self._told)
            self._lost, self._told = 0, set(self._unsent)
        if lost:
            what = "1 new recording is" if lost == 1 else f"{lost} new recordings are"
            say_once(
                f"{what} not in {self.url}; `cachy copy {self.local.url} URL` brings what is missing there"
            )


def _is_better(line: bytes, known: bytes | None) -> bool:
    """Whether a shared recording is to take the place of one that is here: an older one, or half of one."""
    try:
        return known is None or response_of(known).partial or recorded_at(line) > recorded_at(known)
    except ValueError:  # what is here is damaged
        return True


_stores: WeakSet[LayeredStore] = WeakSet()


def _flush_all() -> None:
    for store in list(_stores):
        store.flush()


# Registered before the exit line, and so run after it has recorded what was still open.
atexit.register(_flush_all)


def _after_fork() -> None:
    for store in list(_stores):
        store.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def open_layered(url: str, limits: Limits, timeout: float, read_only: bool) -> LayeredStore:
    """The shared store at `url` behind an SQLite store in the user's cache folder, which is kept below `limits`.

    Nothing is connected yet. Raises StoreError for a kind of store that does not exist.
    """
    from .remote import check_scheme, open_remote

    check_scheme(url)
    path = local_path(url)
    if path is None:
        raise StoreError(f"{place(url)} needs a home folder, for what is kept locally")
    local = open_store(path, limits)
    return LayeredStore(
        local, Link(place(url), lambda: open_remote(url, timeout), timeout, local.url), read_only
    )


def local_path(url: str) -> str | None:
    """Where this machine keeps what it has fetched from the shared store at `url`; None without a home folder.

    Whoever logs in, with whatever password, it is the same; another `?prefix=` or endpoint, or another account of
    Azure, is another store.
    """
    from .clouds import whose

    folder = user_folder("cache")
    if folder is None:
        return None
    name = "?".join(filter(None, (place(url), url.partition("?")[2], whose(url, os.environ))))
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return os.path.join(folder, "shared", f"{digest}.db")
