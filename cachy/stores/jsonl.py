"""The JSONL store: one recording a line, appended; the last line of a key wins.

A line is found through an index in memory, key -> (offset, length), made in one pass over the file and caught up
when the file has grown. Recordings of pycachy may lie in the same file (or be all of it); of theirs the first
line of a key wins, as pycachy itself reads them.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from typing import NamedTuple

from ..recording import KEY_AT
from . import StoreError
from .locking import locked

_BLOCK = 4 * 1024 * 1024
_TAIL = 64  # bytes before the end of what is indexed, compared to notice a file that was replaced
_OURS = b'{"key":"'
_HEX = frozenset(b"0123456789abcdef")
_DELETED = b'"deleted":true}'
_LEGACY_JSON = re.compile(rb'\{\s*"key"\s*:\s*"([0-9a-f]{8})"')
_LEGACY_TEXT = re.compile(rb"([0-9a-f]{8})\|")
_CONFLICT = (b"<<<<<<<", b"=======", b">>>>>>>", b"|||||||")


class _Stamp(NamedTuple):
    """What tells one state of the file from another."""

    device: int
    inode: int
    size: int
    mtime_ns: int


class JsonlStore:
    """See `cachy.stores.Store`. Nothing is created before the first `put`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.url = os.fspath(path)
        self._renew()
        if hasattr(os, "register_at_fork"):
            # A child must not wait for a lock that a thread of its parent held.
            import weakref

            here = weakref.ref(self)
            os.register_at_fork(after_in_child=lambda: (store := here()) and store._after_fork())

    def _renew(self) -> None:
        self._lock = threading.Lock()
        self._file: int | None = None
        self._forget()

    def _forget(self) -> None:
        self._index: dict[bytes, tuple[int, int]] = {}
        self._legacy: dict[bytes, tuple[int, int]] = {}
        self._stamp: _Stamp | None = None
        self._end = 0  # offset up to which the file is indexed: always just behind a newline
        self._tail = b""
        self._broken = 0
        self._first_broken = 0
        self._lines = 0

    def _after_fork(self) -> None:
        self._lock = threading.Lock()

    # -- reading

    def get(self, key: str) -> bytes | None:
        """The newest line recorded under `key`, or None. Raises StoreError when the file cannot be read."""
        name = key.encode("ascii", "replace")
        with self._lock:
            self._catch_up()
            place = (self._index if len(name) > 8 else self._legacy).get(name)
            return None if place is None else self._read(*place)

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        with self._lock:
            self._catch_up()
            places = sorted([*self._index.items(), *self._legacy.items()], key=lambda item: item[1])
        for name, place in places:
            with self._lock:
                if self._file is None:
                    return
                line = self._read(*place)
            if name in line:  # else the file was replaced while somebody iterates
                yield name.decode("ascii"), line

    def __len__(self) -> int:
        with self._lock:
            self._catch_up()
            return len(self._index) + len(self._legacy)

    @property
    def legacy(self) -> bool:
        """Whether it holds any recording of pycachy."""
        return bool(self._legacy)

    @property
    def problems(self) -> str | None:
        """One line about lines that are no recordings, or None."""
        if not self._broken:
            return None
        many = f"{self._broken} lines are" if self._broken > 1 else "1 line is"
        return f"{self.url}: {many} not a recording and ignored (the first is line {self._first_broken})"

    def _read(self, offset: int, length: int) -> bytes:
        assert self._file is not None
        try:
            if hasattr(os, "pread"):
                return os.pread(self._file, length, offset)
            os.lseek(self._file, offset, os.SEEK_SET)
            return os.read(self._file, length)
        except OSError as problem:
            raise StoreError(f"{self.url} cannot be read ({problem.strerror})") from None

    def _catch_up(self) -> None:
        """Bring the index to the present state of the file."""
        try:
            status = os.stat(self.url)
        except OSError:
            if self._file is not None:
                self._close()
            return
        stamp = _Stamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if stamp == self._stamp:
            return
        if self._file is None or not self._continues(stamp):
            self._close()
            try:
                self._file = os.open(self.url, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
                if not _is_regular(self._file):
                    raise IsADirectoryError(21, "it is not a file")
            except OSError as problem:
                self._close()
                raise StoreError(f"{self.url} cannot be read ({problem.strerror})") from None
        self._scan(stamp.size)
        self._stamp = stamp

    def _continues(self, stamp: _Stamp) -> bool:
        """Whether the file is the one that was indexed, with nothing but new lines at its end."""
        old = self._stamp
        if old is None or (stamp.device, stamp.inode) != (old.device, old.inode) or stamp.size < self._end:
            return False
        # git writes a changed file into the same inode: what lies before the end must be what it was.
        return self._read(max(0, self._end - _TAIL), min(_TAIL, self._end)) == self._tail

    def _scan(self, size: int) -> None:
        """Index the whole lines between what is indexed and `size`."""
        rest = b""
        offset = self._end
        while offset + len(rest) < size:
            block = self._read(offset + len(rest), min(_BLOCK, size - offset - len(rest)))
            if not block:
                break
            data = rest + block
            start = 0
            while (end := data.find(b"\n", start)) >= 0:
                self._take(data[start:end], offset + start)
                start = end + 1
            offset += start
            rest = data[start:]
        if rest and _complete(rest):
            # Written by hand or by another program without a last newline.
            self._take(rest, offset)
            self._lines -= 1  # it is taken again, to the same effect, when its newline has come
        self._end = offset
        self._tail = self._read(max(0, offset - _TAIL), min(_TAIL, offset))

    def _take(self, line: bytes, offset: int) -> None:
        self._lines += 1
        key = line[KEY_AT]
        if line.startswith(_OURS) and len(key) == 32 and _HEX.issuperset(key) and line[40:42] == b'",':
            if line.endswith((b"}", b"}\r")):
                if line.rstrip(b"\r").endswith(_DELETED) and len(line) < 100:
                    self._index.pop(key, None)
                else:
                    # Taken out first, so that the order of the index is the order of the newest lines.
                    self._index.pop(key, None)
                    self._index[key] = (offset, len(line.rstrip(b"\r")))
                return
        elif legacy := _LEGACY_JSON.match(line) or _LEGACY_TEXT.match(line):
            if line.rstrip().endswith(b"}") or line[8:9] == b"|":
                self._legacy.setdefault(legacy.group(1), (offset, len(line.rstrip(b"\r"))))
                return
        elif not line.strip() or line.startswith(_CONFLICT):
            if not line.strip():
                return
        self._broken += 1
        self._first_broken = self._first_broken or self._lines

    # -- writing

    def put(self, key: str, line: bytes) -> None:
        """Append `line` under `key`. Raises StoreError: unwritable, full, or not a file of recordings."""
        if b"\n" in line:
            raise StoreError("a recording is one line")
        with self._lock:
            self._append(line + b"\n")

    def delete(self, key: str) -> bool:
        """Forget `key`; whether there was one. Raises StoreError."""
        name = key.encode("ascii", "replace")
        with self._lock:
            self._catch_up()
            if name not in self._index:
                return False
            self._append(b'{"key":"%s","v":1,"deleted":true}\n' % name)
            return True

    def _append(self, data: bytes) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        try:
            self._catch_up()
            self._refuse_foreign()
            os.makedirs(os.path.dirname(os.path.abspath(self.url)), exist_ok=True)
            # Opened anew for each line: the file may have been replaced (git checkout) since the last one.
            descriptor = os.open(self.url, flags, 0o666)
        except OSError as problem:
            raise StoreError(f"{self.url} cannot be written ({problem.strerror}); nothing is recorded") from None
        try:
            with locked(descriptor):
                size = os.fstat(descriptor).st_size
                # A writer that was killed in mid-line loses its own line only, not the next one too.
                whole = data if size == 0 or _last_byte(descriptor, size) == b"\n" else b"\n" + data
                try:
                    written = os.write(descriptor, whole)
                    if written < len(whole):
                        raise OSError(28, "the disk is full")
                except OSError as problem:
                    os.ftruncate(descriptor, size)  # a half line would only be a broken one
                    raise StoreError(
                        f"{self.url} cannot be written ({problem.strerror}); free some space, then run again"
                    ) from None
        except OSError as problem:
            raise StoreError(f"{self.url} cannot be written ({problem.strerror}); nothing is recorded") from None
        finally:
            os.close(descriptor)

    def _refuse_foreign(self) -> None:
        if self._broken and not self._index and not self._legacy and self._stamp and self._stamp.size:
            raise StoreError(f"{self.url} is not a file of recordings; move it away, or set another store")

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._forget()

    def close(self) -> None:
        """Let go of the file; the store may be used again."""
        with self._lock:
            self._close()

    def __del__(self) -> None:
        if getattr(self, "_file", None) is not None:
            self._close()


def _is_regular(descriptor: int) -> bool:
    import stat

    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _last_byte(descriptor: int, size: int) -> bytes:
    os.lseek(descriptor, size - 1, os.SEEK_SET)  # O_APPEND writes at the end all the same
    return os.read(descriptor, 1)


def _complete(line: bytes) -> bool:
    """Whether a last line without its newline is whole: a recording cut short is no JSON."""
    if _LEGACY_TEXT.match(line):
        line = line[9:]
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
