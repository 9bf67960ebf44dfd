"""One lock on an open file, between processes and between descriptors: `flock`, or `msvcrt.locking` on Windows; and
what else Windows does in its own way with a file that is shared.

It is advisory: it keeps cachy's writers (and pycachy's, which lock the same way) apart, and nobody else. Where the
system or the file system has no locks, everybody gets it; on a local file system a line is still safe there, because
one call writes it on a descriptor that appends.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from time import sleep

PATIENCE = 10.0
"""Seconds to wait for a lock. It is held for the time of one write, so this only ends on a process that hangs."""

if sys.platform == "win32":
    import msvcrt

    # Windows keeps others from reading what is locked, so it lies where no data will: at the end of what `locking`
    # can say.
    _AT = 0x7FFF_FFFE
    _BUSY: tuple[type[OSError], ...] = (PermissionError, BlockingIOError)

    def _lock(fd: int, how: int, at: int = _AT) -> None:
        os.lseek(fd, at, os.SEEK_SET)
        msvcrt.locking(fd, how, 1)

    _lock_byte = _lock
    _TAKE, _FREE = msvcrt.LK_NBLCK, msvcrt.LK_UNLCK

    # Not in one step, as elsewhere: no other thread of this process may use the descriptor meanwhile.
    def pread(fd: int, size: int, offset: int) -> bytes:
        os.lseek(fd, offset, os.SEEK_SET)
        return os.read(fd, size)

    def pwrite(fd: int, data: bytes, offset: int) -> int:
        os.lseek(fd, offset, os.SEEK_SET)
        return os.write(fd, data)

else:
    try:
        import fcntl
    except ImportError:  # WebAssembly: nothing to lock with, and no second process
        _TAKE = _FREE = 0
    else:
        _TAKE, _FREE = fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_UN

    def _lock(fd: int, how: int) -> None:
        if how:
            fcntl.flock(fd, how)

    def _lock_byte(fd: int, how: int, at: int) -> None:
        if how:
            fcntl.lockf(fd, how, 1, at)

    _BUSY = (BlockingIOError, PermissionError)
    pread, pwrite = os.pread, os.pwrite


def attempts() -> Iterator[None]:
    """One round for each attempt at something that is busy: the first at once, more with a pause before, for `PATIENCE`
    seconds."""
    left, pause = PATIENCE, 0.0005
    yield
    while left > 0:
        sleep(pause)
        left -= pause
        pause = min(2 * pause, 0.02)
        yield


def lock(fd: int) -> bool:
    """Take the lock on the open file `fd`, waiting for `PATIENCE` seconds; whether it was got."""
    return any(try_lock(fd) for _ in attempts())


def try_lock(fd: int) -> bool:
    """Take the lock on the open file `fd` if nobody has it; whether it was got."""
    try:
        _lock(fd, _TAKE)
    except _BUSY:
        return False
    except OSError:
        pass  # no locks here (some network file systems)
    return True


def unlock(fd: int) -> None:
    """Let go of the lock on `fd`. Closing it is not enough: a child forked meanwhile holds the same open file."""
    with suppress(OSError):
        _lock(fd, _FREE)


def take_byte(fd: int, at: int) -> bool:
    """Take the lock on one byte of the open file `fd`, which may lie behind its end, if nobody else has it; whether it
    was got. Raises OSError where there are no locks.

    It belongs to the process, which loses it when it ends in whatever way, and when it closes any descriptor of the file.
    """
    try:
        _lock_byte(fd, _TAKE, at)
        return True
    except _BUSY:
        return False


def free_byte(fd: int, at: int) -> None:
    """Let go of what `take_byte` has taken."""
    with suppress(OSError):
        _lock_byte(fd, _FREE, at)
