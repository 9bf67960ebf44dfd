"""The default store: one JSON object a line in one file that is only ever appended to.

A line of ours starts with `{"key":"<32 hex>",`; the last line of a key wins, and a line that ends in
`"deleted":true}` forgets it. Lines of pycachy (keys of 8 hex digits, see `cachy.legacy`) may stand in the same file;
of those the first wins, as it did there. Everything else is skipped: blank lines, conflict markers, torn lines.

The file is read once, in blocks, into an index from key to place; bodies stay on disk. Before each look-up one
`stat` tells whether another process appended (then only the new end is read) or replaced the file (a checkout, a
merge: then all of it), and every line that is handed out is checked against its key.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from errno import EDQUOT, EFBIG, ENOSPC

from ..legacy import LINE
from . import StoreError
from .locking import lock, unlock

_HEAD = b'{"key":"'
_OURS = re.compile(rb'\{\s*"key"\s*:\s*"([0-9a-f]{32})"\s*,')
_HEX = b"0123456789abcdef"
_CLOSE = ord("}")
_BOM = b"\xef\xbb\xbf"
_CONFLICT = (b"<<<<<<<", b"|||||||", b"=======", b">>>>>>>")
_BLOCK = 1 << 20  # bytes read at a time
_MARK = 256  # bytes before the end of the index that must still be there when the file grew
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


def _tombstone(key: bytes) -> bytes:
    return _HEAD + key + b'","v":1,"deleted":true}'


_SHORTEST = len(_tombstone(b"0" * 32)) + 1  # a line of ours this long is a recording


class JsonlStore:
    """Recordings in a JSONL file. Safe to use from many threads and many processes at once, and after a fork.

    Nothing is created before the first `put`. Where the methods read or write, they raise `StoreError` when the file
    cannot be, or when what lies there is not a file of recordings; such a file is never written to.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """`path` of the file; a relative one means what it means now. Raises StoreError."""
        self.url = os.fspath(path)
        try:
            self._path = os.path.abspath(self.url)
        except OSError:
            raise StoreError(f"{self.url} cannot be found from a directory that is gone; give a full path") from None
        self._fd: int | None = None
        self._fd_inode = 0
        self._forget()

    def _forget(self) -> None:
        self._index: dict[bytes, tuple[int, int]] = {}  # key: (offset, length)
        self._pycachy = 0  # how many of these keys are pycachy's
        self._scanned = 0  # bytes that the index covers, whole lines only
        self._mark = b""  # the last of these bytes
        self._gap = b""  # what must be written between the end of the file and a new line
        self._bad = 0  # lines that are no recordings
        self._first_bad = -1  # and where the first of them starts
        self._ours = False  # whether some line looks like a recording, even a broken one
        self._foreign = False
        self._facts: tuple[int, int, int] | None = None  # inode, size and time of the file that was scanned

    def get(self, key: str) -> bytes | None:
        """The line recorded under `key` (32 hex digits, or pycachy's 8), or None. Raises StoreError."""
        wanted = key.encode()
        with _LOCK:
            self._refresh()
            for last in (False, True):
                place = self._index.get(wanted)
                if place is None:
                    return None
                line = self._line(*place)
                if line is not None and wanted in line[:64]:
                    break
                # Rewritten within one tick of the file system's clock, or somebody closed our descriptor.
                line = None
                if not last:
                    self._forget()
                    self._close()
                    self._refresh()
            self._release()
            return line

    def put(self, key: str, line: bytes) -> None:
        """Append `line` (one JSON object that starts with its `key`). Raises StoreError, ValueError for no such line."""
        start = _HEAD + key.encode() + b'",'
        if len(key) != 32 or not line.startswith(start) or not line.endswith(b"}") or b"\n" in line:
            raise ValueError(f"not the line of a recording: {line[:50]!r}")
        with _LOCK:
            self._append(line)

    def delete(self, key: str) -> bool:
        """Append a line that says `key` is forgotten, if there is one; whether there was. Raises StoreError."""
        with _LOCK:
            self._refresh()
            if key.encode() not in self._index:
                return False
            self._append(_tombstone(key.encode()))
            return True

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Every live (key, line), in the order of the file. Raises StoreError."""
        with _LOCK:
            self._refresh()
            keys = sorted(self._index, key=self._index.__getitem__)
        for key in keys:
            line = self.get(key.decode())
            if line is not None:
                yield key.decode(), line

    def __len__(self) -> int:
        """How many keys there are. Raises StoreError."""
        with _LOCK:
            self._refresh()
            return len(self._index)

    @property
    def legacy(self) -> bool:
        """Whether it holds any recording of pycachy. Raises StoreError."""
        with _LOCK:
            self._refresh()
            return self._pycachy > 0

    @property
    def problems(self) -> str | None:
        """What is wrong with the file, in one line: how many lines are skipped and which is the first. Raises StoreError."""
        with _LOCK:
            self._refresh()
            if not self._bad:
                return None
            with open(self._path, "rb") as file:
                number = 1
                while (left := self._first_bad - file.tell()) > 0:
                    number += file.read(min(left, _BLOCK)).count(b"\n")
                conflict = file.read(len(_CONFLICT[0])) in _CONFLICT
        lines = "1 line is" if self._bad == 1 else f"{self._bad} lines are"
        what = "left there by a git merge: delete such lines" if conflict else "not a whole recording: delete it"
        return f"{self.url}: {lines} skipped; the first, line {number}, is {what}"

    def close(self) -> None:
        """Let go of the file; the store may be used again afterwards."""
        with _LOCK:
            self._close()

    def __del__(self) -> None:
        with suppress(Exception):
            self._close()

    # Reading

    def _refresh(self) -> None:
        """Bring the index up to what the file is now."""
        try:
            now = os.stat(self._path)
            if self._facts != (now.st_ino, now.st_size, now.st_mtime_ns):
                self._catch_up(now)
        except (FileNotFoundError, NotADirectoryError):
            self._forget()
            self._close()
        except OSError as problem:
            self._forget()
            raise StoreError(self._cannot("read", problem)) from problem
        if self._foreign:
            raise StoreError(f"{self.url} is not a file of recordings and is left alone; set CACHY_STORE to another path")

    def _catch_up(self, now: os.stat_result) -> None:
        if not stat.S_ISREG(now.st_mode):
            self._forget()
            kind = "a directory" if stat.S_ISDIR(now.st_mode) else "not a regular file"
            raise StoreError(f"{self.url} is {kind}; set CACHY_STORE to the path of a file, such as cachy.jsonl")
        if not self._is_open(now.st_ino):
            now = self._open()
        assert self._fd is not None
        before, mark = self._facts, self._mark
        grew = before is not None and before[0] == now.st_ino and before[1] < now.st_size >= self._scanned
        if not grew or _pread(self._fd, len(mark), self._scanned - len(mark)) != mark:
            self._forget()
        self._facts = None  # in case the scan does not reach its end
        self._scan(self._fd)
        self._facts = (now.st_ino, now.st_size, now.st_mtime_ns)
        self._release()

    def _scan(self, fd: int) -> None:
        """Index what follows `_scanned`."""
        size = _BLOCK
        while True:
            data = _pread(fd, size, self._scanned)
            used = self._index_lines(data, self._scanned)
            self._scanned += used
            if used:
                self._mark = data[max(0, used - _MARK) : used]
            if len(data) < size:
                break
            if not (self._index or self._ours or (not used and _looks_like_ours(data))):
                self._foreign = True  # a whole block without a recording: no need to read the rest
                return
            size = size if used else 2 * size
        tail = data[used:]
        self._index_tail(tail, self._scanned)
        self._foreign = not (self._index or self._ours) and bool(self._bad or tail.strip())

    def _index_lines(self, data: bytes, base: int) -> int:
        """Index the whole lines in `data`, which starts at `base`; how many bytes they are."""
        index = self._index
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            key = data[start + 8 : start + 40]
            if (
                data[end - 1] == _CLOSE
                and end - start >= _SHORTEST
                and data.startswith(_HEAD, start)
                and data.startswith(b'",', start + 40)
                and not key.translate(None, _HEX)
            ):
                index[key] = (base + start, end - start)
            else:
                self._index_other(data[start:end], base + start)
            start = end + 1
        return start

    def _index_other(self, line: bytes, at: int) -> None:
        """Index a line that is not one of ours as we write them."""
        if at == 0 and line.startswith(_BOM):
            line, at = line[3:], 3
        line = line.rstrip()  # among others the \r of a checkout with core.autocrlf
        if not line:
            return
        found = _OURS.match(line) or LINE.match(line)
        if found:
            self._ours = True
            key = found[found.lastindex or 1]
            old = len(key) == 8
            if line == _tombstone(key):
                self._pycachy -= old and key in self._index
                self._index.pop(key, None)
                return
            if old and line.endswith((b"}", b'"', b"]")):
                self._pycachy += key not in self._index
                self._index.setdefault(key, (at, len(line)))
                return
            if line.startswith(_HEAD) and line.endswith(b"}"):
                self._index[key] = (at, len(line))
                return
        self._bad += 1
        if self._first_bad < 0:
            self._first_bad = at

    def _index_tail(self, tail: bytes, at: int) -> None:
        """What follows the last newline: a torn line, or a whole one that only lacks its newline."""
        self._gap = b"\n" if tail else b""
        if not tail.strip():
            return
        if _is_whole(tail):
            self._index_other(tail, at)
        else:
            # A torn line may happen to end in a brace; with this it cannot be taken for a whole one.
            self._gap = b"~\n"
            self._ours = self._ours or _looks_like_ours(tail)

    def _line(self, offset: int, length: int) -> bytes | None:
        """The line at a place of the index, or None when there is no such line any more."""
        try:
            if self._fd is None:
                self._open()
            assert self._fd is not None
            data = _pread(self._fd, length + 1, offset)
        except OSError:
            return None
        # One byte more than the line, to see that it still ends here.
        return data[:length] if len(data) >= length and data[length:].strip() == b"" else None

    def _open(self) -> os.stat_result:
        self._close()
        self._fd = os.open(self._path, os.O_RDONLY | _FLAGS)
        facts = os.fstat(self._fd)
        self._fd_inode = facts.st_ino
        return facts

    def _is_open(self, inode: int) -> bool:
        """Whether our descriptor is that of the file `inode`: programs that become daemons close what they find."""
        try:
            return self._fd is not None and os.fstat(self._fd).st_ino == inode
        except OSError:
            return False

    def _close(self) -> None:
        if self._is_open(self._fd_inode) and self._fd is not None:
            os.close(self._fd)
        self._fd = None

    def _release(self) -> None:
        if not _HOLD:
            self._close()

    # Writing

    def _append(self, line: bytes) -> None:
        self._refresh()  # reads what there is to read before the lock is taken, and refuses a foreign file
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
        raise StoreError(f"{self.url} is being replaced all the time; set CACHY_STORE to another path")

    def _open_to_append(self) -> int:
        # A new descriptor for each line: it is the file that lies there now, and no fork shares its lock.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | _FLAGS
        try:
            return os.open(self._path, flags, 0o666)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            return os.open(self._path, flags, 0o666)

    def _append_to(self, fd: int, line: bytes) -> bool:
        """Write `line` under the lock; False when the file was replaced before the lock was got."""
        if not lock(fd):
            raise StoreError(f"{self.url} is locked by another process that seems to hang; end it, then try again")
        try:
            self._refresh()
            if self._facts is None or self._facts[0] != os.fstat(fd).st_ino:
                return False
            _write(fd, self._gap + line + b"\n")
            return True
        finally:
            unlock(fd)

    def _cannot(self, what: str, problem: OSError) -> str:
        full = problem.errno in (ENOSPC, EDQUOT, EFBIG)
        todo = "make room" if full else f"make it {'readable' if what == 'read' else 'writable'}"
        return f"{self.url} cannot be {what} ({problem.strerror or problem}); {todo}, or set CACHY_STORE to another path"


def _write(fd: int, data: bytes) -> None:
    """All of `data` or nothing, in one call unless the system cuts it short. Raises OSError."""
    start, written = os.fstat(fd).st_size, 0
    try:
        while written < len(data):
            written += os.write(fd, memoryview(data)[written:])
    except BaseException:
        with suppress(OSError):
            # Unless somebody wrote behind us, where there are no locks.
            if os.fstat(fd).st_size == start + written:
                os.ftruncate(fd, start)
        raise


def _looks_like_ours(start: bytes) -> bool:
    """Whether this may be the start of a recording, however short it was cut."""
    return start[: len(_HEAD)] == _HEAD[: len(start)] or bool(_OURS.match(start) or LINE.match(start))


def _is_whole(line: bytes) -> bool:
    import json

    start = LINE.match(line)
    try:
        json.loads(line[start.end() :] if start and start[2] else line)
        return True
    except (ValueError, RecursionError):
        return False
