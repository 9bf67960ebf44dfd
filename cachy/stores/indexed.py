"""A JSONL file as it is read: which keys it has, where, and the line of each.

The file is read once, in blocks, into an index from key to place (see `cachy.stores.lines`); bodies stay on disk. Where
it is large that index lies in a side file (see `cachy.stores.index`), so that the next process need not read it again.
Before each look-up one `stat` tells whether another process appended (then only the new end is read) or replaced the
file (a checkout, a merge: then all of it), and every line that is handed out is checked against its key.
"""

from __future__ import annotations

import atexit
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakSet

from . import StoreError, absolute, cannot, which_file
from .lines import Lines, Lost, Placed, cut
from .locking import pread

if TYPE_CHECKING:
    from .index import Index

BLOCK = 1 << 18  # bytes read at a time; larger ones are slower, as each is new memory
_SCANNED = 4 << 20  # bytes that a process reads rather than opening or writing an index: a few milliseconds
_IN_MEMORY = 64 << 20  # bytes whose places are kept in memory, at most, until they are written down
FLAGS = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
# On Windows nobody can replace a file that somebody holds open, and `git checkout` must be able to.
_HOLD = os.name != "nt"

# One lock for all stores: it is held for microseconds, and a fork waits for it, so that no child inherits an index
# half made or a descriptor with the file lock on it.
LOCK = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=LOCK.release)

Facts = tuple[int, int, int, int, int]


def _facts(status: os.stat_result) -> Facts:
    """By which a file is known to be unchanged: inode, links, size, time of the last write and of any change."""
    return status.st_ino, status.st_nlink, status.st_size, status.st_mtime_ns, status.st_ctime_ns


class IndexedFile:
    """The reading half of `cachy.stores.jsonl.JsonlStore`. Whoever calls one of these methods holds `LOCK`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """`path` of the file; a relative one keeps the meaning it has now. Raises StoreError."""
        self.url = os.fspath(path)
        self._path = absolute(self.url)
        self._fd: int | None = None
        self._file = (0, 0)  # which one is open: device and inode
        self._is_linked = False
        self._index: Index | None = None
        self._may_index = True
        self._forget()

    def _forget(self) -> None:
        if self._index is not None:
            self._index.close()
            self._index = None
        self._lines = Lines()
        self._facts: Facts | None = None  # of the file as it was read
        self._recent: dict[str, bytes] = {}  # lines of the file as it was read then, whoever puts them here

    def _refresh(self) -> None:
        """Bring the index up to what the file is now."""
        self._look()
        if self._lines.foreign:
            raise StoreError(f"{self.url} is not a file of recordings; set CACHY_STORE to another path")

    def _refreshed(self, key: bytes) -> tuple[int, int] | None:
        """The place of `key` in the file as it is now; for one that is known, the open file alone may tell."""
        place = self._place(key)
        if place is None or not self._is_as_read():
            self._refresh()
            place = self._place(key)
        return place

    def _place(self, key: bytes) -> tuple[int, int] | None:
        lines = self._lines
        place = lines.places.get(key)
        if place is not None or self._index is None or key in lines.gone:
            return place
        try:
            return self._index.get(key)
        except Lost:
            self._do_without()
            return self._lines.places.get(key)

    def _do_without(self) -> None:
        """The side file cannot be asked any more: go on without one."""
        self._may_index = False
        self._start_over()
        self._refresh()

    def _start_over(self) -> None:
        """Forget all that was known of the file, in memory and in the side file."""
        if self._index is not None:
            self._index.discard()
        self._forget()
        self._close()

    def _is_as_read(self) -> bool:
        # Half the cost of asking for the path. A file that was deleted, or whose name another one took, has one
        # link less; where the path leads through a symbolic link, that may lead elsewhere now.
        try:
            now = os.stat(self._path) if self._is_linked else os.fstat(self._fd)  # type: ignore[arg-type]
            return _facts(now) == self._facts
        except (OSError, TypeError):  # TypeError: it is not open
            return False

    def _look(self) -> None:
        try:
            now = os.stat(self._path)
            if _facts(now) != self._facts:
                self._catch_up(now)
        except (FileNotFoundError, NotADirectoryError):
            self._forget()
            self._close()
        except OSError as problem:
            self._forget()
            raise cannot(self.url, "read", problem) from problem

    def _catch_up(self, now: os.stat_result) -> None:
        if not stat.S_ISREG(now.st_mode):
            self._forget()
            kind = "a directory" if stat.S_ISDIR(now.st_mode) else "not a regular file"
            raise StoreError(f"{self.url} is {kind}; set CACHY_STORE to the path of a file")
        if not self._is_open(now):
            now = self._open()
        assert self._fd is not None
        lines, before = self._lines, self._facts
        grew = before is not None and before[0] == now.st_ino and before[2] < now.st_size >= lines.end
        if not grew or pread(self._fd, len(lines.mark), lines.end - len(lines.mark)) != lines.mark:
            self._forget()
            self._resume(self._fd, now)
        self._facts = None  # in case reading does not come to its end
        self._recent.clear()
        self._scan(self._fd, now)
        self._facts = _facts(now)
        if self._lines.end - self._lines.start >= _SCANNED:
            _save_at_exit(self)
        self._release()

    def _scan(self, fd: int, now: os.stat_result) -> None:
        lines, size = self._lines, BLOCK
        while not lines.foreign:  # one block without a recording is enough to know
            data = pread(fd, size, lines.end)
            used = lines.feed(data, last=len(data) < size)
            if lines.end - lines.start >= _IN_MEMORY:
                self._write_down(fd, _facts(now))
            if len(data) < size:
                break
            size = BLOCK if used else 2 * size  # a line that is longer than the block

    # The side file: see `cachy.stores.index`, which is imported for a large file only

    def _resume(self, fd: int, now: os.stat_result) -> None:
        if self._may_index and now.st_size >= _SCANNED:
            from . import side_files

            if not side_files.of(self._path):
                return
            from .index import find

            if found := find(self._path, _facts(now), partial(pread, fd)):
                self._index, self._lines = found

    def _write_down(self, fd: int, now: Facts) -> None:
        """Move the places that were read from memory to the side file, if that is possible."""
        lines = self._lines
        if not self._may_index or lines.pycachy:
            return
        from .index import create

        if self._index is None:
            self._index = create(self._path)
        if self._index is None or not self._index.take(lines, now, partial(pread, fd)):
            self._may_index = False  # its owner is another process, or there is no room for it

    def _save_index(self) -> None:
        """At the end: spare the next process reading what this one had to read. Never raises."""
        lines = self._lines
        with suppress(OSError, StoreError):
            if self._may_index and lines.end - lines.start >= _SCANNED:
                self._look()
                if self._facts is not None:
                    self._write_down(self._descriptor(), self._facts)
                self._release()

    def _line(self, key: bytes, place: tuple[int, int] | None) -> bytes | None:
        """The line of `key`, or None when it is no longer at its `place`."""
        if place is None:
            return None
        offset, length = place
        # With the byte behind it, to see that it still ends there.
        return cut(self._read(offset, offset + length + 1), 0, length, key)

    def _read(self, start: int, stop: int) -> bytes:
        """These bytes of the file, or fewer when they are not there any more. Raises StoreError."""
        try:
            return pread(self._descriptor(), stop - start, start)
        except (FileNotFoundError, NotADirectoryError):
            return b""
        except OSError as problem:
            if self._fd is not None and not self._is_as_opened():
                return b""  # somebody closed our descriptor, and opened what cannot be read
            raise cannot(self.url, "read", problem) from problem
        finally:
            self._release()

    def _open(self) -> os.stat_result:
        self._close()
        self._fd = os.open(self._path, os.O_RDONLY | FLAGS)
        facts = os.fstat(self._fd)
        self._file = which_file(facts)
        self._is_linked = os.path.realpath(self._path) != self._path
        return facts

    def _descriptor(self) -> int:
        if self._fd is None:
            self._open()
        assert self._fd is not None
        return self._fd

    def _is_open(self, file: os.stat_result) -> bool:
        """Whether our descriptor is that of this file."""
        return self._file == which_file(file) and self._is_as_opened()

    def _is_as_opened(self) -> bool:
        """Whether our descriptor is still that of the file we opened: a daemon closes what it finds open."""
        try:
            return self._fd is not None and which_file(os.fstat(self._fd)) == self._file
        except OSError:
            return False

    def _close(self) -> None:
        if self._fd is not None and self._is_as_opened():
            os.close(self._fd)
        self._fd = None

    def _release(self) -> None:
        if not _HOLD:
            self._close()

    def _count(self) -> int:
        """How many keys there are."""
        index, lines = self._index, self._lines
        if index is None:
            return len(lines.places)
        try:
            again = sum(index.get(key) is not None for key in {*lines.places, *lines.gone})
            return index.count - again + len(lines.places)
        except Lost:
            self._do_without()
            return len(self._lines.places)

    def _places(self, newest_first: bool) -> Iterator[Placed]:
        """All keys and places in the order of the file, or from its end; takes the lock by itself."""
        with LOCK:
            self._refresh()
            index, read = self._index, list(self._lines.places.items())
            later = self._lines.gone | dict(read).keys()
        if newest_first:
            yield from reversed(read)
        if index:
            at: int | None = None
            try:
                for placed in index.walk(newest_first):
                    at = placed[1][0]
                    if placed[0] not in later:
                        yield placed
            except Lost:
                with LOCK:
                    self._do_without()
                    rest = list(self._lines.places.items())
                for placed in reversed(rest) if newest_first else rest:
                    beyond = at is None or (placed[1][0] < at if newest_first else placed[1][0] > at)
                    if beyond and placed[0] not in later:
                        yield placed
        if not newest_first:
            yield from read

    def __del__(self) -> None:
        try:
            if self._index is not None:
                self._index.close()
            self._close()
        except Exception:  # noqa: BLE001 - at the end of the interpreter this module's names are None, `suppress` too
            pass


_unsaved: WeakSet[IndexedFile] = WeakSet()


def _save_at_exit(file: IndexedFile) -> None:
    if not _unsaved:
        atexit.unregister(_save_all)
        atexit.register(_save_all)
    _unsaved.add(file)


def _save_all() -> None:
    with LOCK:
        for file in list(_unsaved):
            file._save_index()
