"""The default store: one recording a line in one file that is only ever appended to.

The file is read once, in blocks, into an index from key to place (see `cachy.stores.lines`); bodies stay on disk.
Before each look-up one `stat` tells whether another process appended (then only the new end is read) or replaced the
file (a checkout, a merge: then all of it), and every line that is handed out is checked against its key.
"""

from __future__ import annotations

import os
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from errno import EDQUOT, EFBIG, ENOSPC

from . import StoreError
from .lines import HEAD, Lines, cut, runs, tombstone
from .locking import lock, unlock

_CONFLICT = (b"<<<<<<<", b"|||||||", b"=======", b">>>>>>>")
_BLOCK = 1 << 20  # bytes read at a time
_RECENT = 64  # lines kept in memory, those that were asked for last
_LARGE = 64 * 1024  # bytes of a line above which it is not kept
_FLAGS = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
# On Windows nobody can replace a file that somebody holds open, and `git checkout` must be able to.
_HOLD = os.name != "nt"

# One lock for all stores: it is held for microseconds, and a fork waits for it, so that no child inherits an index
# half made or a descriptor with the file lock on it.
_LOCK = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release)

if sys.platform != "win32":
    _pread = os.pread
else:

    def _pread(fd: int, size: int, offset: int) -> bytes:
        os.lseek(fd, offset, os.SEEK_SET)  # the lock is held
        return os.read(fd, size)


_Facts = tuple[int, int, int, int, int]


def _facts(status: os.stat_result) -> _Facts:
    """By which a file is known to be unchanged: inode, links, size, time of the last write and of any change."""
    return status.st_ino, status.st_nlink, status.st_size, status.st_mtime_ns, status.st_ctime_ns


class JsonlStore:
    """Recordings in a JSONL file. Safe to use from many threads and many processes at once, and after a fork.

    Nothing is created before the first `put`. What reads or writes raises `StoreError` when the file cannot be read
    or written, or when what lies there is not a file of recordings; such a file is never written to.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """`path` of the file; a relative one keeps the meaning it has now. Raises StoreError."""
        self.url = os.fspath(path)
        try:
            self._path = os.path.abspath(self.url)
        except OSError:
            raise StoreError(
                f"{self.url} is relative to a directory that is gone; give a full path"
            ) from None
        self._fd: int | None = None
        self._fd_inode = 0
        self._forget()

    def get(self, key: str) -> bytes | None:
        """The line recorded under `key` (32 hex digits, or pycachy's 8), or None. Raises StoreError."""
        wanted = key.encode()
        with _LOCK:
            line = self._recent.get(wanted)
            if line is not None and self._is_as_read():
                return line
            self._refresh(wanted)
            line = self._line(wanted)
            if line is None and wanted in self._lines.places:
                # Rewritten within one tick of the file system's clock, or somebody closed our descriptor.
                self._forget()
                self._close()
                self._refresh()
                line = self._line(wanted)
            if line is not None and len(line) < _LARGE:
                if len(self._recent) >= _RECENT:
                    self._recent.clear()
                self._recent[wanted] = line
            return line

    def put(self, key: str, line: bytes) -> None:
        """Append `line`, a JSON object that starts with `key` (32 hex digits). Raises StoreError, else ValueError."""
        start = HEAD + key.encode() + b'",'
        if len(key) != 32 or not line.startswith(start) or not line.endswith(b"}") or b"\n" in line:
            raise ValueError(f"not the line of a recording: {line[:50]!r}")
        with _LOCK:
            self._append(line)

    def delete(self, key: str) -> bool:
        """Append a line that forgets `key`, if it is there; whether it was. Raises StoreError."""
        with _LOCK:
            self._refresh()
            if key.encode() not in self._lines.places:
                return False
            self._append(tombstone(key.encode()))
            return True

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Every live (key, line), oldest first. Raises StoreError."""
        return self._walk(newest_first=False)

    def __reversed__(self) -> Iterator[tuple[str, bytes]]:
        """Every live (key, line), newest first. Raises StoreError."""
        return self._walk(newest_first=True)

    def _walk(self, newest_first: bool) -> Iterator[tuple[str, bytes]]:
        with _LOCK:
            self._refresh()
            items = self._lines.places.items()  # in the order of the file
            places = list(reversed(items) if newest_first else items)
        for start, stop, run in runs(places):
            with _LOCK:
                data = self._read(start, stop + 1)
            for key, (offset, length) in run:
                # Not there any more when the file was replaced meanwhile, or the key deleted.
                line = cut(data, offset - start, length, key) or self.get(key.decode())
                if line is not None:
                    yield key.decode(), line

    def __len__(self) -> int:
        """How many keys there are. Raises StoreError."""
        with _LOCK:
            self._refresh()
            return len(self._lines.places)

    @property
    def legacy(self) -> bool:
        """Whether it holds any recording of pycachy. Raises StoreError."""
        with _LOCK:
            self._refresh()
            return self._lines.pycachy > 0

    @property
    def providers(self) -> frozenset[str]:
        """Names of the providers of its recordings, pycachy's not among them. Raises StoreError."""
        with _LOCK:
            self._refresh()
            return frozenset(self._lines.providers)

    @property
    def problems(self) -> str | None:
        """One line about what is skipped: how many lines, and which is the first. Raises StoreError."""
        with _LOCK:
            self._refresh()
            if not self._lines.bad:
                return None
            with open(self._path, "rb") as file:
                number = 1
                while left := self._lines.first_bad - file.tell():
                    number += file.read(min(left, _BLOCK)).count(b"\n")
                marker = file.read(len(_CONFLICT[0])) in _CONFLICT
        lines = "1 line is" if self._lines.bad == 1 else f"{self._lines.bad} lines are"
        what = "left by a git merge; delete such lines" if marker else "not a whole recording; delete it"
        return f"{self.url}: {lines} skipped, the first is line {number}: {what}"

    def close(self) -> None:
        """Let go of the file; the store may be used again afterwards."""
        with _LOCK:
            self._close()

    def __del__(self) -> None:
        try:
            self._close()
        except Exception:  # noqa: BLE001 - at the end of the interpreter this module's names are None, `suppress` too
            pass

    # Reading

    def _forget(self) -> None:
        self._lines = Lines()
        self._facts: _Facts | None = None  # of the file as it was read
        self._recent: dict[bytes, bytes] = {}  # lines of the file as it was read then

    def _refresh(self, key: bytes = b"") -> None:
        """Bring the index up to what the file is now; for a `key` that it has, the open file alone may tell."""
        if key not in self._lines.places or not self._is_as_read():
            self._look()
        if self._lines.foreign:
            raise StoreError(f"{self.url} is not a file of recordings; set CACHY_STORE to another path")

    def _is_as_read(self) -> bool:
        # Half the cost of asking for the path. A file that was deleted, or whose name another one took, has one
        # link less.
        try:
            return self._fd is not None and _facts(os.fstat(self._fd)) == self._facts
        except OSError:
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
            raise StoreError(self._cannot("read", problem)) from problem

    def _catch_up(self, now: os.stat_result) -> None:
        if not stat.S_ISREG(now.st_mode):
            self._forget()
            kind = "a directory" if stat.S_ISDIR(now.st_mode) else "not a regular file"
            raise StoreError(f"{self.url} is {kind}; set CACHY_STORE to the path of a file")
        if not self._is_open(now.st_ino):
            now = self._open()
        assert self._fd is not None
        lines, before = self._lines, self._facts
        grew = before is not None and before[0] == now.st_ino and before[2] < now.st_size >= lines.end
        if not grew or _pread(self._fd, len(lines.mark), lines.end - len(lines.mark)) != lines.mark:
            self._forget()
        self._facts = None  # in case reading does not come to its end
        self._recent.clear()
        self._scan(self._fd, self._lines)
        self._facts = _facts(now)
        self._release()

    def _scan(self, fd: int, lines: Lines) -> None:
        size = _BLOCK
        while not lines.foreign:  # one block without a recording is enough to know
            data = _pread(fd, size, lines.end)
            used = lines.feed(data, last=len(data) < size)
            if len(data) < size:
                break
            size = _BLOCK if used else 2 * size  # a line that is longer than the block

    def _line(self, key: bytes) -> bytes | None:
        """The line of `key`, or None when there is none, or no longer where the index says."""
        place = self._lines.places.get(key)
        if place is None:
            return None
        offset, length = place
        # With the byte behind it, to see that it still ends there.
        return cut(self._read(offset, offset + length + 1), 0, length, key)

    def _read(self, start: int, stop: int) -> bytes:
        """These bytes of the file, or fewer when that is no longer possible."""
        try:
            if self._fd is None:
                self._open()
            assert self._fd is not None
            return _pread(self._fd, stop - start, start)
        except OSError:
            return b""
        finally:
            self._release()

    def _open(self) -> os.stat_result:
        self._close()
        self._fd = os.open(self._path, os.O_RDONLY | _FLAGS)
        facts = os.fstat(self._fd)
        self._fd_inode = facts.st_ino
        return facts

    def _is_open(self, inode: int) -> bool:
        """Whether our descriptor is still that of the file `inode`: a daemon closes what it finds open."""
        try:
            return self._fd is not None and os.fstat(self._fd).st_ino == inode
        except OSError:
            return False

    def _close(self) -> None:
        if self._fd is not None and self._is_open(self._fd_inode):
            os.close(self._fd)
        self._fd = None

    def _release(self) -> None:
        if not _HOLD:
            self._close()

    # Writing

    def _append(self, line: bytes) -> None:
        self._refresh()  # what there is to read is read before the lock is taken; and a foreign file is refused
        try:
            for _ in range(100):
                fd = self._open_to_append()
                try:
                    if self._append_to(fd, line):
                        return
                finally:
                    os.close(fd)
        except OSError as problem:
            raise StoreError(self._cannot("written", problem)) from problem
        raise StoreError(f"{self.url} is replaced all the time; set CACHY_STORE to another path")

    def _open_to_append(self) -> int:
        # A new descriptor for each line: the file that lies there now, and a lock that no other process shares.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | _FLAGS
        try:
            return os.open(self._path, flags, 0o666)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            return os.open(self._path, flags, 0o666)

    def _append_to(self, fd: int, line: bytes) -> bool:
        """Write `line` under the lock; False when the file was replaced before the lock was got."""
        if not lock(fd):
            raise StoreError(f"{self.url} is locked by another process that seems to hang; end that process")
        try:
            self._refresh()
            if self._facts is None or self._facts[0] != os.fstat(fd).st_ino:
                return False
            _write(fd, self._lines.gap + line + b"\n")
            return True
        finally:
            unlock(fd)

    def _cannot(self, what: str, problem: OSError) -> str:
        full = problem.errno in (ENOSPC, EDQUOT, EFBIG)
        todo = "make room" if full else f"make it {'readable' if what == 'read' else 'writable'}"
        reason = problem.strerror or str(problem)
        return f"{self.url} cannot be {what} ({reason}); {todo}, or set CACHY_STORE to another path"


def _write(fd: int, data: bytes) -> None:
    """All of `data` or nothing, in one call unless the system cuts it short. Raises OSError."""
    start, written = os.fstat(fd).st_size, 0
    try:
        while written < len(data):
            written += os.write(fd, memoryview(data)[written:])
    except BaseException:
        with suppress(OSError):
            # Not when somebody wrote behind us, where there are no locks.
            if os.fstat(fd).st_size == start + written:
                os.ftruncate(fd, start)
        raise
