"""A store in an SQLite database: for large private caches that nobody reads or merges.

It can be kept below a size, a number of recordings and an age; what was used least recently goes first. Many
processes may use it at once (WAL). Where the file system has no shared memory (network drives), SQLite falls back to
a rollback journal by itself.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import RLock
from typing import Any, TypeVar

from ..clocks import utc as _now
from ..recording import provider_of
from ..values import NO_LIMITS, Limits
from . import StoreError, absolute, check
from .descriptors import Witness, leave

_ID = 0x63616368  # "cach": by this the file of ours is known
_VERSION = 1
_PATIENCE = 10.0  # seconds to wait for another process that writes
_BATCH = 256  # recordings read or evicted at a time
_USED = 60  # seconds below which it does not matter when a recording was last used
_TABLES = f"""
PRAGMA application_id = {_ID};
PRAGMA user_version = {_VERSION};
CREATE TABLE recordings (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, provider TEXT NOT NULL, at INTEGER NOT NULL,
    used INTEGER NOT NULL, size INTEGER NOT NULL, line BLOB NOT NULL
);
CREATE INDEX by_provider ON recordings (provider);
CREATE INDEX by_use ON recordings (used);
CREATE INDEX by_age ON recordings (at);
CREATE TABLE total (number INTEGER NOT NULL, size INTEGER NOT NULL);
INSERT INTO total VALUES (0, 0);
CREATE TRIGGER came AFTER INSERT ON recordings BEGIN
    UPDATE total SET number = number + 1, size = size + new.size; END;
CREATE TRIGGER went AFTER DELETE ON recordings BEGIN
    UPDATE total SET number = number - 1, size = size - old.size; END;
"""
_Result = TypeVar("_Result")

# One lock for all stores, which a fork waits for, so that no child inherits a connection in the middle of a statement.
_LOCK = RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release)


class SqliteStore:
    """Recordings in an SQLite database. Safe to use from many threads and processes at once, and after a fork."""

    def __init__(self, path: str | os.PathLike[str], limits: Limits = NO_LIMITS) -> None:
        """`path` of the file; a relative one keeps the meaning it has now. Raises StoreError."""
        self.url = os.fspath(path)
        self._path = absolute(self.url)
        self._limits = limits
        self._connection: sqlite3.Connection | None = None
        self._witness: Witness | None = None
        self._opened: tuple[float, ...] = (0,)
        self._frozen = False  # opened as a file that never changes
        self._touched: dict[str, int] = {}
        self._aged = 0.0

    def get(self, key: str) -> bytes | None:
        """The line recorded under `key`, or None. Raises StoreError."""

        def read(connection: sqlite3.Connection) -> bytes | None:
            sql = "SELECT line, used, key FROM recordings WHERE key = ?"
            row = connection.execute(sql, (key,)).fetchone()
            if row is None:
                return None
            if self._limits and (now := int(_now())) - row[1] > _USED:
                self._touched[row[2]] = now
                if len(self._touched) > _BATCH:
                    self._note_use_if_possible(connection)
            return bytes(row[0])

        return self._with(read, None)

    def put(self, key: str, line: bytes) -> None:
        """Write `line` under `key`; evict what is above the limits. Raises StoreError, else ValueError."""
        check(key, line)
        provider, now = provider_of(line), int(_now())

        def write(connection: sqlite3.Connection) -> None:
            with _transaction(connection):
                connection.execute("DELETE FROM recordings WHERE key = ?", (key,))
                connection.execute(
                    "INSERT INTO recordings (key, provider, at, used, size, line) VALUES (?, ?, ?, ?, ?, ?)",
                    (key, provider, now, now, len(line), line),
                )
                if self._limits:
                    self._note_use(connection)
                    self._evict(connection, now)

        self._with(write, None, create=True)

    def delete(self, key: str) -> bool:
        """Remove `key`; whether it was there. Raises StoreError."""

        def remove(connection: sqlite3.Connection) -> bool:
            with _transaction(connection):
                return connection.execute("DELETE FROM recordings WHERE key = ?", (key,)).rowcount > 0

        return self._with(remove, False)

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Every (key, line), oldest first. Raises StoreError."""
        return self._walk("id > ? ORDER BY id", 0)

    def __reversed__(self) -> Iterator[tuple[str, bytes]]:
        """Every (key, line), newest first. Raises StoreError."""
        return self._walk("id < ? ORDER BY id DESC", 2**63 - 1)

    def all_keys(self) -> Iterator[str]:
        """Every key, newest first. Raises StoreError."""
        return (key for _, key in self._rows("id < ? ORDER BY id DESC", 2**63 - 1))

    def _walk(self, where: str, last: int) -> Iterator[tuple[str, bytes]]:
        newest = self._with(lambda connection: _one(connection, "SELECT max(id) FROM recordings"), None) or 0
        for number, key in self._rows(where, last):
            line = self.get(key) if number <= newest else None
            if line is not None:
                yield key, line

    def _rows(self, where: str, last: int) -> Iterator[tuple[int, str]]:
        # Only keys in batches, and no statement left open between them: that would keep the log from being written back.
        sql = f"SELECT id, key FROM recordings WHERE {where} LIMIT {_BATCH}"
        rows: list[tuple[int, str]]
        while rows := self._with(lambda connection: connection.execute(sql, (last,)).fetchall(), []):  # noqa: B023
            yield from rows
            before, last = last, rows[-1][0]
            onward = last > before if ">" in where else last < before
            if not onward:  # those of a damaged file can go round in circles
                raise self._cannot(sqlite3.DatabaseError("malformed"), False)

    def __len__(self) -> int:
        """How many keys there are. Raises StoreError."""
        return self._with(lambda connection: int(_one(connection, "SELECT number FROM total")), 0)

    @property
    def legacy(self) -> bool:
        """Whether it holds any recording of pycachy. Raises StoreError."""
        sql = "SELECT EXISTS (SELECT 1 FROM recordings WHERE provider = '')"
        return self._with(lambda connection: bool(_one(connection, sql)), False)

    @property
    def providers(self) -> frozenset[str]:
        """Names of the providers of its recordings. Raises StoreError."""
        # From one to the next in the index: DISTINCT would read all of it.
        sql = """WITH RECURSIVE names (name) AS (
                SELECT min(provider) FROM recordings WHERE provider > ''
                UNION ALL SELECT (SELECT min(provider) FROM recordings WHERE provider > name) FROM names
                WHERE name IS NOT NULL
            ) SELECT name FROM names WHERE name IS NOT NULL"""
        rows: list[Any] = self._with(lambda connection: connection.execute(sql).fetchall(), [])
        return frozenset(name for (name,) in rows)

    @property
    def problems(self) -> str | None:
        """None: what is wrong with a database is an error when it is used."""
        return None

    def compact(self) -> None:
        """Give the space of what was deleted back to the file system. Raises StoreError."""

        def vacuum(connection: sqlite3.Connection) -> None:
            with _transaction(connection):
                self._note_use(connection)
                self._evict(connection, int(_now()))
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

        self._with(vacuum, None)

    def close(self) -> None:
        """Let go of the file; the store may be used again afterwards."""
        with _LOCK:
            if self._connection is not None and self._touched and self._is_ours():
                self._note_use_if_possible(self._connection)
            self._drop()

    def __del__(self) -> None:
        try:
            self.close()
        except Exception:  # noqa: BLE001 - at the end of the interpreter this module's names are None
            pass

    def _note_use(self, connection: sqlite3.Connection) -> None:
        touched, self._touched = self._touched, {}
        connection.executemany(
            "UPDATE recordings SET used = max(used, ?) WHERE key = ?",
            [(used, key) for key, used in touched.items()],
        )

    def _note_use_if_possible(self, connection: sqlite3.Connection) -> None:
        # How recently they were used is no reason to fail, nor to wait.
        with suppress(sqlite3.Error):
            connection.execute("PRAGMA busy_timeout = 0")
            try:
                with _transaction(connection):
                    self._note_use(connection)
            finally:
                connection.execute(f"PRAGMA busy_timeout = {int(_PATIENCE * 1000)}")

    def _evict(self, connection: sqlite3.Connection, now: int) -> None:
        limits, before = self._limits, connection.total_changes
        if limits.age is not None and now - self._aged > _USED:
            self._aged = now
            connection.execute("DELETE FROM recordings WHERE at < ?", (now - limits.age,))
        newest = _one(connection, "SELECT max(id) FROM recordings")
        while True:
            number, size = connection.execute("SELECT number, size FROM total").fetchone()
            above = limits.count is not None and number > limits.count
            if number <= 1 or not (above or (limits.size is not None and size > limits.size)):
                break
            # One in a hundred at a time, so that not each new recording has to evict one.
            gone = connection.execute(
                "DELETE FROM recordings WHERE id IN"
                " (SELECT id FROM recordings WHERE id <> ? ORDER BY used, id LIMIT ?)",
                (newest, max(1, min(_BATCH, number // 100))),
            ).rowcount
            if not gone:  # the total of a damaged file
                break
        if connection.total_changes > before:
            connection.execute("PRAGMA incremental_vacuum").fetchall()

    # The connection

    def _with(
        self, use: Callable[[sqlite3.Connection], _Result], empty: _Result, create: bool = False
    ) -> _Result:
        """What `use` makes of the database; `empty` when there is none. Raises StoreError."""
        with _LOCK:
            try:
                connection = self._connected(create)
                return empty if connection is None else use(connection)
            except (sqlite3.Error, OSError) as problem:
                self._drop()
                raise self._cannot(problem, create) from problem

    def _connected(self, create: bool) -> sqlite3.Connection | None:
        try:
            facts = self._facts()
        except (FileNotFoundError, NotADirectoryError):
            if not create:
                self._drop()
                return None
            facts = (0,)
        if facts == self._opened and self._is_ours():
            return self._connection
        self._drop()  # another process's, or of a file that lies there no longer
        if create:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
        if not self._open(create):
            return None
        if not self._frozen:
            self._opened = self._facts()
        return self._connection

    def _facts(self) -> tuple[float, ...]:
        """By which the file that is open is known to be the one that lies there; and to be unchanged, if that matters."""
        there = os.stat(self._path)
        facts = (os.getpid(), there.st_dev, there.st_ino)
        log = self._frozen and os.path.exists(self._path + "-wal")
        return (*facts, there.st_size, there.st_mtime_ns, log) if self._frozen else facts

    def _is_ours(self) -> bool:
        """Whether there is a connection of this process, which nobody has closed the files of."""
        ours = self._connection is not None and self._opened[0] == os.getpid()
        return ours and self._witness is not None and self._witness.intact

    def _open(self, create: bool) -> bool:
        """Whether there is a database now; an empty file is none yet."""
        self._opened, self._witness = (os.getpid(),), Witness()
        connection = self._connection = self._connect(create)
        if self._frozen:
            self._opened = self._facts()  # before anything is read
        # What is committed survives the death of the process; after a power cut the last moments may be missing.
        connection.execute("PRAGMA synchronous = NORMAL")
        if _one(connection, "PRAGMA application_id") == _ID:
            if _one(connection, "PRAGMA user_version") > _VERSION:
                self._drop()
                raise StoreError(f"{self.url} was written by a newer cachy; install that version")
            return True
        if _one(connection, "SELECT count(*) FROM sqlite_master"):
            self._drop()
            raise StoreError(f"{self.url} is not a file of recordings; set CACHY_STORE to another path")
        if not create:
            self._drop()
            return False
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        with suppress(sqlite3.OperationalError):  # two are making it at once; the other one does this
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
        with _transaction(connection):
            if _one(connection, "PRAGMA application_id") != _ID:
                for statement in _TABLES.split(";\n"):  # not executescript, which commits
                    connection.execute(statement)
        return True

    def _connect(self, create: bool) -> sqlite3.Connection:
        from urllib.parse import quote

        # Beside the file SQLite needs two of its own, unless nobody can write there anyway.
        writable = create or os.access(os.path.dirname(self._path), os.W_OK)
        self._frozen = not writable and not os.path.exists(self._path + "-wal")
        how = "rwc" if create else "ro&immutable=1" if self._frozen else "rw"
        path = quote(os.fsencode(self._path.replace(os.sep, "/")))
        return sqlite3.connect(
            f"file:{'/' if os.name == 'nt' else ''}{path}?mode={how}",
            uri=True, timeout=_PATIENCE, isolation_level=None, check_same_thread=False,
        )  # fmt: skip

    def _drop(self) -> None:
        ours = self._is_ours()
        connection, self._connection = self._connection, None
        witness, self._witness = self._witness, None
        if connection is not None and not ours:
            leave(connection)
        elif connection is not None:
            with suppress(sqlite3.Error):
                connection.close()
        if witness is not None:
            witness.close()

    def _cannot(self, problem: Exception, writing: bool) -> StoreError:
        text = str(problem)
        if any(words in text for words in ("not a database", "malformed", "no such table")):
            what = "is not a file of recordings, or damaged"
            return StoreError(f"{self.url} {what}; set CACHY_STORE to another path")
        other = "check that it is there and yours, or set CACHY_STORE to another path"
        todo = "make room" if "full" in text else other
        return StoreError(f"{self.url} cannot be {'written' if writing else 'read'} ({text}); {todo}")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the block or nothing; other writers wait."""
    connection.execute("BEGIN IMMEDIATE")
    with connection:  # commits, or rolls back
        yield


def _one(connection: sqlite3.Connection, sql: str) -> Any:
    return connection.execute(sql).fetchone()[0]
