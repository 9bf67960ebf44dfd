"""The index of a large JSONL file, kept in an SQLite file in the user's cache directory.

It saves reading the file from its start, and keeping the places of all its keys in memory. It is never needed: when
it is missing, damaged, not writable, or says anything else than the file, the file is read, and an index made anew.
It may be deleted at any time. Nothing but keys and places is in it.
"""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from typing import Any

from . import side_files
from .descriptors import Witness, leave
from .indexed import LOCK, Facts
from .lines import Lines, Lost, Placed

Read = Callable[[int, int], bytes]
"""Reads so many bytes of the indexed file, from an offset."""

_VERSION = 1
_PAGE = 512  # rows taken at a time by whoever wants all
_SAMPLES = 16  # places of the file that have to look as they did
_SAMPLE = 64  # bytes looked at in each
_SCHEMA = """
CREATE TABLE place (offset INTEGER PRIMARY KEY, length INTEGER NOT NULL, key BLOB NOT NULL UNIQUE);
CREATE TABLE facts (id INTEGER PRIMARY KEY, json TEXT NOT NULL);
"""


def find(store: str, now: Facts, read: Read) -> tuple[Index, Lines] | None:
    """The index that fits the file at `store` as it is `now`, and where reading goes on; or None. Never raises."""
    for path in side_files.of(store):
        index: Index | None = None
        try:
            index = Index(path, store)
            if index.fits(now, read):
                return index, index.lines()
        except Exception:  # noqa: BLE001 - whatever somebody else left there, the file itself tells all
            pass
        if index is not None:
            index.close()
    return None


def create(store: str) -> Index | None:
    """A new and empty index, or None when that is impossible. Never raises."""
    where = side_files.folder()
    if where is None:
        return None
    try:
        os.makedirs(where, mode=0o700, exist_ok=True)
        if not side_files.is_safe(where):
            return None
        side_files.tidy(store, where)
        # Under a name that no other ever has: SQLite would take the journal that a killed process left beside a
        # former database of this name for the new one's (https://sqlite.org/howtocorrupt.html#_unlink_).
        handle, path = tempfile.mkstemp(prefix=side_files.start(store), suffix=".sqlite", dir=where)
        os.close(handle)
        return Index(path, store, new=True)
    except (OSError, sqlite3.Error, Lost):
        return None


class Index:
    """An open index. What asks it raises `Lost` when it cannot tell."""

    def __init__(self, path: str, store: str, new: bool = False) -> None:
        """`new`: the file is empty. Raises sqlite3.Error, and Lost when it is of another version or another store."""
        self._path = path
        self._store = store
        self._pid = 0
        self._connection = self._connected()
        try:
            if new:
                self._connection.executescript(_SCHEMA)
            self._facts = self._read_facts()
            if self._facts and (self._facts["version"], self._facts["store"]) != (_VERSION, store):
                raise Lost
        except BaseException:
            self.close()
            raise

    def fits(self, now: Facts, read: Read) -> bool:
        """Whether the file is the one that was indexed, or that one and more behind it."""
        known = self._facts
        if not known:
            return False
        if tuple(known["file"]) == now:
            return True
        inode, _, size, _, _ = known["file"]
        if inode != now[0] or size >= now[2]:
            return False
        return bool(known["sample"] == _sample(read, known["end"]))

    def lines(self) -> Lines:
        """Where reading goes on: what is known of the lines up to the `end` of the index, their places left out."""
        lines = Lines()
        if self._facts:
            lines.resume(self._facts["end"], bytes.fromhex(self._facts["mark"]), self._facts["lines"])
        return lines

    @property
    def count(self) -> int:
        """How many keys it has, those among them that another process has added since it was opened."""
        with self._asked() as connection:
            (count,) = connection.execute("SELECT count(*) FROM place").fetchone()
        return int(count)

    def get(self, key: bytes) -> tuple[int, int] | None:
        """The offset and the length of the line of `key` (32 hex digits)."""
        with self._asked() as connection:
            row = connection.execute(
                "SELECT offset, length FROM place WHERE key = ?", (_raw(key),)
            ).fetchone()
        return row and (row[0], row[1])

    def walk(self, newest_first: bool) -> Iterator[Placed]:
        """All keys and places in the order of the file, or from its end."""
        order, beyond = ("DESC", "<") if newest_first else ("ASC", ">")
        page = (
            f"SELECT offset, length, key FROM place WHERE offset {beyond} ? ORDER BY offset {order} LIMIT ?"
        )
        at = 2**62 if newest_first else -1
        while True:
            with self._asked() as connection:
                rows = connection.execute(page, (at, _PAGE)).fetchall()
            for at, length, key in rows:
                yield key.hex().encode(), (at, length)
            if len(rows) < _PAGE:
                return

    def take(self, lines: Lines, file: Facts, read: Read) -> bool:
        """Write down what `lines` holds more, and empty it; False when that is impossible, or another process was
        quicker. Never raises."""
        try:
            with self._asked() as connection:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    if self._read_facts() != self._facts:
                        connection.execute("ROLLBACK")
                        return False
                    connection.executemany(
                        "DELETE FROM place WHERE key = ?", ((_raw(key),) for key in lines.gone)
                    )
                    connection.executemany(
                        "INSERT OR REPLACE INTO place VALUES (?, ?, ?)",
                        (
                            (offset, length, _raw(key))
                            for key, (offset, length) in lines.places.items()
                            if offset < lines.end
                        ),
                    )
                    facts = {
                        "version": _VERSION,
                        "store": self._store,
                        "file": list(file),
                        "end": lines.end,
                        "mark": lines.mark.hex(),
                        "sample": _sample(read, lines.end),
                        "lines": lines.facts(),
                    }
                    connection.execute("INSERT OR REPLACE INTO facts VALUES (1, ?)", (json.dumps(facts),))
                    connection.execute("COMMIT")
                except BaseException:
                    connection.execute("ROLLBACK")
                    raise
        except (Lost, sqlite3.Error, OSError, UnicodeError):
            return False
        self._facts = facts
        lines.forget_places()
        return True

    def close(self) -> None:
        """Let go of the file."""
        if self._is_ours():
            with suppress(sqlite3.Error):
                self._connection.close()
            self._witness.close()
        else:
            self._leave()

    def discard(self) -> None:
        """Close it and delete its file: it says what is not so."""
        self.close()
        for path in (self._path, self._path + "-journal"):
            with suppress(OSError):
                os.unlink(path)

    def _connected(self) -> sqlite3.Connection:
        self._witness = Witness()
        # Guarded by our lock, see `_asked`. Nobody waits for an index: one that is busy is done without.
        made = sqlite3.connect(self._path, timeout=0.2, isolation_level=None, check_same_thread=False)
        self._pid = os.getpid()
        return made

    def _leave(self) -> None:
        if self._pid:
            self._pid = 0
            leave(self._connection)
            self._witness.close()

    def _is_ours(self) -> bool:
        """Whether the connection is this process's, and nobody has closed its files."""
        return self._pid == os.getpid() and self._witness.intact

    @contextmanager
    def _asked(self) -> Iterator[sqlite3.Connection]:
        try:
            with LOCK:
                if not self._is_ours():
                    self._leave()
                    self._connection = self._connected()
                yield self._connection
        except sqlite3.Error as problem:
            raise Lost from problem

    def _read_facts(self) -> dict[str, Any]:
        row = self._connection.execute("SELECT json FROM facts WHERE id = 1").fetchone()
        facts: dict[str, Any] = json.loads(row[0]) if row else {}
        return facts


def _raw(key: bytes) -> bytes:
    return bytes.fromhex(key.decode("ascii"))


def _sample(read: Read, end: int) -> str:
    """What the file up to `end` is known by again: the digest of some pieces of it."""
    state = blake2b(digest_size=16)
    for number in range(1, _SAMPLES + 1):
        state.update(read(_SAMPLE, max(0, end * number // _SAMPLES - _SAMPLE)))
    return state.hexdigest()
