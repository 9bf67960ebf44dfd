"""Make a JSONL store as small as it can be: one line for each recording, nothing that was replaced, deleted or torn.

The new file is written aside and takes the place of the old one in one step, so that a crash at any moment leaves one
of the two. Programs may go on recording meanwhile. Most is copied without keeping them waiting; then, under the lock
that they write with, what they have added since. A writer that was waiting for that lock sees that the file is
another one and writes into it (see `JsonlStore._append_now`).
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from errno import EBUSY
from typing import BinaryIO

from ..clocks import utc
from . import StoreError
from .locking import lock, unlock

_FLAGS = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_IN_PLACE = sys.platform == "win32"  # where nobody can replace a file that somebody holds open
_START, _END = ".cachy-", ".tmp"  # of the name of the file aside
_STALE = 3600  # seconds after which such a file is one of a process that was killed


def compact(path: str, lines: Iterable[tuple[str, bytes]], in_place: bool = _IN_PLACE) -> tuple[int, int]:
    """Rewrite the file at `path`; its size in bytes before and after.

    Args:
        path: of the store's file.
        lines: every live (key, line) of the store, oldest first; not read before the size of the file is known.
        in_place: write into the old file under the lock, from a copy that stays until that is done. For Windows; done
            elsewhere, too, for a file that is a mount of its own (as in a container).

    Raises StoreError when the file is replaced meanwhile (nothing is changed then), and OSError.
    """
    path = os.path.realpath(path)  # a link stays one
    folder = os.path.dirname(path)
    fd = os.open(path, os.O_RDWR | _FLAGS)
    try:
        known, before = _size(fd, path)
        _tidy(folder)
        handle, aside = tempfile.mkstemp(_END, _START, folder)
        try:
            with os.fdopen(handle, "wb") as out:
                for _, line in lines:
                    out.write(line + b"\n")
                _finish(fd, path, known, before, out, aside, in_place)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(aside)
        return before, os.path.getsize(path)
    finally:
        os.close(fd)


def _size(fd: int, path: str) -> tuple[int, int]:
    """Inode and size of the file while nobody is writing a line."""
    _take(fd, path)
    try:
        facts = os.fstat(fd)
        return facts.st_ino, facts.st_size
    finally:
        unlock(fd)


def _take(fd: int, path: str) -> None:
    if not lock(fd):
        raise StoreError(f"{path} is locked by another process that seems to hang; end that process")


def _finish(fd: int, path: str, known: int, before: int, out: BinaryIO, aside: str, in_place: bool) -> None:
    _take(fd, path)
    try:
        if os.stat(path).st_ino != known or os.fstat(fd).st_size < before:
            raise StoreError(f"{path} was replaced meanwhile; nothing was changed, try again")
        _copy_rest(fd, before, out)
        out.flush()
        os.fsync(out.fileno())
        if in_place or not _replaced(fd, path, aside):
            _overwrite(fd, aside)
    finally:
        unlock(fd)


def _replaced(fd: int, path: str, aside: str) -> bool:
    """Put the file aside in the place of the old one; False where that is a mount."""
    shutil.copymode(path, aside)
    with suppress(OSError, AttributeError):  # Only root may give files away.
        facts = os.fstat(fd)
        os.chown(aside, facts.st_uid, facts.st_gid)
    try:
        os.replace(aside, path)
    except OSError as problem:
        if problem.errno != EBUSY:
            raise
        return False
    _sync_folder(os.path.dirname(path))
    return True


def _tidy(folder: str) -> None:
    """Delete what a killed process left: a copy of a store, which `git add .` would take."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            aside = entry.name.startswith(_START) and entry.name.endswith(_END)
            if aside and entry.stat(follow_symlinks=False).st_mtime < utc() - _STALE:
                os.unlink(entry.path)


def _copy_rest(fd: int, start: int, out: BinaryIO) -> None:
    """What was appended since, as it is: these are the lines that count."""
    os.lseek(fd, start, os.SEEK_SET)
    ends_line: re.Pattern[bytes] | None = re.compile(
        rb"\A~?\n"
    )  # what a writer puts between a torn line and its own
    while block := os.read(fd, 1 << 20):
        out.write(ends_line.sub(b"", block) if ends_line else block)
        ends_line = None


def _overwrite(fd: int, aside: str) -> None:
    with open(aside, "rb") as copy:
        os.lseek(fd, 0, os.SEEK_SET)
        while block := copy.read(1 << 20):
            view = memoryview(block)
            while view:
                view = view[os.write(fd, view) :]
        os.ftruncate(fd, os.lseek(fd, 0, os.SEEK_CUR))
        os.fsync(fd)


def _sync_folder(folder: str) -> None:
    with suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
