"""The default store: one recording a line in one file that is only ever appended to.

How it is read says `cachy.stores.indexed`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from . import StoreError, cannot, check
from .indexed import BLOCK, FLAGS, LOCK, IndexedFile
from .lines import CONFLICT, cut, runs, tombstone
from .locking import attempts, try_lock, unlock

_RECENT = 64  # lines kept in memory, those that were asked for last
_LARGE = 64 * 1024  # bytes of a line above which it is not kept


class JsonlStore(IndexedFile):
    """Recordings in a JSONL file. Safe to use from many threads and many processes at once, and after a fork.

    Nothing is created before the first `put`. What reads or writes raises `StoreError` when the file cannot be read
    or written, or when what lies there is not a file of recordings; such a file is never written to.
    """

    def get(self, key: str) -> bytes | None:
        """The line recorded under `key` (32 hex digits, or pycachy's 8), or None. Raises StoreError."""
        with LOCK:
            line = self._recent.get(key)
            if line is not None and self._is_as_read():
                return line
            wanted = key.encode()
            place = self._refreshed(wanted)
            line = self._line(wanted, place)
            if line is None and place is not None:
                # Rewritten within one tick of the file system's clock, or somebody closed our descriptor.
                self._start_over()
                line = self._line(wanted, self._refreshed(wanted))
            if line is not None and len(line) < _LARGE:
                if len(self._recent) >= _RECENT:
                    self._recent.clear()
                self._recent[key] = line
            return line

    def put(self, key: str, line: bytes) -> None:
        """Append `line`, the line of a recording under `key`. Raises StoreError, else ValueError.

        One of pycachy is not appended when there is one of its key: the first would win.
        """
        check(key, line)
        self._append(line, key.encode(), if_there=False if len(key) == 8 else None)

    def delete(self, key: str) -> bool:
        """Append a line that forgets `key`, if it is there; whether it was. Raises StoreError."""
        return self._append(tombstone(key.encode()), key.encode(), if_there=True)

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Every live (key, line), oldest first. Raises StoreError."""
        return self._walk(newest_first=False)

    def __reversed__(self) -> Iterator[tuple[str, bytes]]:
        """Every live (key, line), newest first. Raises StoreError."""
        return self._walk(newest_first=True)

    def all_keys(self) -> Iterator[str]:
        """Every live key, newest first. Raises StoreError."""
        return (key.decode() for key, _ in self._places(newest_first=True))

    def _walk(self, newest_first: bool) -> Iterator[tuple[str, bytes]]:
        for start, stop, run in runs(self._places(newest_first)):
            with LOCK:
                data = self._read(start, stop + 1)
            for key, (offset, length) in run:
                # Not there any more when the file was replaced meanwhile, or the key deleted.
                line = cut(data, offset - start, length, key) or self.get(key.decode())
                if line is not None:
                    yield key.decode(), line

    def __len__(self) -> int:
        """How many keys there are. Raises StoreError."""
        with LOCK:
            self._refresh()
            return self._count()

    @property
    def legacy(self) -> bool:
        """Whether it holds any recording of pycachy. Raises StoreError."""
        with LOCK:
            self._refresh()
            return self._lines.pycachy > 0

    @property
    def providers(self) -> frozenset[str]:
        """Names of the providers of its recordings, pycachy's not among them. Raises StoreError."""
        with LOCK:
            self._refresh()
            return frozenset(self._lines.providers)

    @property
    def problems(self) -> str | None:
        """One line about what is skipped: how many lines, and which is the first. Raises StoreError."""
        with LOCK:
            self._refresh()
            if not self._lines.bad:
                return None
            first, at, number = self._lines.first_bad, 0, 1
            while data := self._read(at, min(at + BLOCK, first)):
                number += data.count(b"\n")
                at += len(data)
            marker = self._read(first, first + len(CONFLICT[0])) in CONFLICT
        lines = "1 line is" if self._lines.bad == 1 else f"{self._lines.bad} lines are"
        what = "left by a git merge; delete such lines" if marker else "not a whole recording; delete it"
        return f"{self.url}: {lines} skipped, the first is line {number}: {what}"

    def close(self) -> None:
        """Let go of the file; the store may be used again afterwards."""
        with LOCK:
            self._save_index()
            self._close()

    # Writing

    def _append(self, line: bytes, key: bytes, if_there: bool | None) -> bool:
        """Append `line`, whether `key` is there (None), only if it is, or only if it is not; whether that was done."""
        try:
            for _ in attempts():  # its pauses are outside of our lock: whoever only reads goes on
                with LOCK:
                    self._refresh()  # before the file is locked; and a foreign file is refused
                    if if_there is not None and (self._place(key) is not None) != if_there:
                        return False
                    if self._append_now(line):
                        return True
        except OSError as problem:
            raise cannot(self.url, "written", problem) from problem
        raise StoreError(f"{self.url} is locked by another process that seems to hang; end that process")

    def _append_now(self, line: bytes) -> bool:
        """Append `line`, unless another process has the lock on the file; whether that was done."""
        for _ in range(100):
            fd = self._open_to_append()
            try:
                if not try_lock(fd):
                    return False
                try:
                    self._refresh()
                    if self._facts is not None and self._facts[0] == os.fstat(fd).st_ino:
                        _write(fd, self._lines.gap + line + b"\n")
                        return True
                    # The file was replaced before it was locked.
                finally:
                    unlock(fd)
            finally:
                os.close(fd)
        raise StoreError(f"{self.url} is replaced all the time; set CACHY_STORE to another path")

    def _open_to_append(self) -> int:
        # A new descriptor for each line: the file that lies there now, and a lock that no other process shares.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | FLAGS
        try:
            return os.open(self._path, flags, 0o666)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            return os.open(self._path, flags, 0o666)


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
