"""One call on one machine: the process that makes it holds a lease, and others that ask the same wait for it.

A lease is a lock of the operating system on one byte of a file in the user's cache folder, which stays empty but for
the times below. So there is nothing to clear away, and the death of a process, however sudden, ends its leases. Hits
never come here.

The first bytes of the file are slots of eight: when the answer of a call last moved, in milliseconds of the machine's
monotonic clock, times two, plus one when it has begun; zero where nothing is under way. By this others see that a call stalls (its process may be
waiting for them) and go on without it.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from hashlib import blake2b
from threading import RLock, Thread

from ..clocks import monotonic as _clock
from ..flights import LONGEST, PATIENCE, Flight
from ..trust import is_mine, user_folder
from . import which_file
from .locking import free_byte, pread, pwrite, take_byte

_SLOTS = 2**18
_SLOT = 8
_PLACES = 2**30  # after the slots; what Windows can lock ends at 2**31
_BEAT = 1.0  # seconds between two signs of life
_PAUSE = 0.02  # seconds between two looks at a lease of another process
_FLAGS = os.O_RDWR | os.O_CREAT
for _name in ("O_BINARY", "O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK"):
    _FLAGS |= getattr(os, _name, 0)

# Re-entrant: the garbage collector, which runs anywhere, may end a call that nobody reads.
_lock = RLock()


class _File:
    """The file of all leases. Opened once and never closed, as that would end all leases of the process."""

    def __init__(self) -> None:
        self.fd = -1
        self._facts: tuple[int, int] | None = None
        self.held: set[int] = set()
        self.inherited: frozenset[int] = frozenset()
        """What its parent held when this process was forked: it may wait for us, so we do not wait for it."""
        self.awaited: dict[int, Flight] = {}

    def ready(self) -> bool:
        """Whether it can be used; opened if need be."""
        try:
            if links := self._links():
                return True
            if links == 0:  # somebody cleared the cache: who comes next looks into another file
                if self.held:
                    return True
                os.close(self.fd)
            self._facts = None
            self.held.clear()
            folder = user_folder("cache")
            if folder is None:
                return False
            os.makedirs(folder, exist_ok=True)
            self.fd = os.open(os.path.join(folder, "leases"), _FLAGS, 0o600)
            now = os.fstat(self.fd)
            if not _is_ours(now):
                os.close(self.fd)
                return False
            self._facts = which_file(now)
            return True
        except OSError:
            return False

    def _links(self) -> int | None:
        """How many names the file has; None when it is not open: a daemon closes what it finds open, and then the number
        is perhaps another file's."""
        try:
            now = os.fstat(self.fd)
        except OSError:
            return None
        return now.st_nlink if which_file(now) == self._facts else None

    def note(self, place: int, moment: int) -> None:
        """Write the slot of this place, whose lock is held."""
        pwrite(self.fd, moment.to_bytes(_SLOT, "little"), place % _SLOTS * _SLOT)

    def take(self, place: int) -> bool:
        return take_byte(self.fd, _SLOTS * _SLOT + place)

    def free(self, place: int) -> None:
        try:
            self.note(place, 0)
        finally:
            free_byte(self.fd, _SLOTS * _SLOT + place)

    def stalled(self, place: int) -> bool:
        """Whether nothing has moved there for too long."""
        noted = int.from_bytes(pread(self.fd, _SLOT, place % _SLOTS * _SLOT), "little")
        if not noted:
            # Stopped before it could say so, or another call with this slot has ended: time counts from now on.
            with suppress(OSError):
                self.note(place, _moment())
            return False
        age = _clock() - (noted >> 1) / 1000
        return not -1 < age < (PATIENCE if noted & 1 else LONGEST)


def _is_ours(status: os.stat_result) -> bool:
    """Whether it is a plain file of the user's. Another user, who may write into the folder where people share one,
    could hold our calls up, or have us write into a file of ours."""
    return is_mine(status) and stat.S_ISREG(status.st_mode) and status.st_nlink <= 1


_file = _File()


class LocalLease:
    """The right to make one call."""

    __slots__ = ("_beaten", "_of", "_place")

    def __init__(self, place: int) -> None:
        self._place = place
        self._of = _file
        self._beaten = 0.0

    def moved(self) -> None:
        """The answer has begun, or a piece of it has arrived. Never raises."""
        now = _clock()
        if now - self._beaten >= _BEAT and self._of is _file:
            self._beaten = now
            try:
                with _lock:
                    if self._place in _file.held and _file.ready():
                        _file.note(self._place, _moment() | 1)
            except OSError:
                pass  # others will wait for shorter

    def release(self) -> None:
        """Let others go on. Never raises; may be called again."""
        with _lock:
            if self._of is _file and self._place in _file.held:  # not in a forked child: it is the parent's
                _file.held.discard(self._place)
                with suppress(OSError):
                    if _file.ready():
                        _file.free(self._place)


def take(store: str, key: str, flight: Flight) -> Flight | None:
    """Make `flight` hold the lease for the call of `key` in `store`; None when it does, or when there are no leases here.

    Else what to wait for before asking again: the call of another process. Never raises.
    """
    place = _place(store, key)
    with _lock:
        try:
            if not _file.ready() or place in _file.held:
                return None  # held: another session of this process
            if _file.take(place):
                _file.held.add(place)
                flight.lease = LocalLease(place)
                _file.note(place, _moment())
                return None
            if place in _file.inherited or _file.stalled(place):
                return None
            return _awaited(place)
        except OSError:  # no locks on this file system, or a full disk
            return None


def _place(store: str, key: str) -> int:
    digest = blake2b(f"{store}\0{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") % _PLACES


def _moment() -> int:
    return int(_clock() * 1000) << 1


def _awaited(place: int) -> Flight:
    flight = _file.awaited.get(place)
    if flight is None:
        flight = _file.awaited[place] = Flight()
        if len(_file.awaited) == 1:
            Thread(target=_watch, args=(_file,), name="cachy-leases", daemon=True).start()
    return flight


def _watch(file: _File) -> None:
    """Look at the awaited leases until there are none any more."""
    while True:
        time.sleep(_PAUSE)
        with _lock:
            over = [place for place in file.awaited if _is_over(file, place)]
            landed = [file.awaited.pop(place) for place in over]
            done = not file.awaited
        for flight in landed:
            flight.land()
        if done:
            return


def _is_over(file: _File, place: int) -> bool:
    try:
        if not file.ready() or place in file.held:
            return True
        if file.take(place):
            file.free(place)
            return True
        return file.stalled(place)
    except OSError:
        return True


def _after_fork() -> None:
    """The leases and the waiting of its parent are none of a forked child's."""
    global _lock, _file
    _lock = RLock()
    left, _file = _file, _File()
    _file.fd, _file._facts = left.fd, left._facts
    _file.inherited = left.inherited | left.held


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
