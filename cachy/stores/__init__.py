"""Stores: where recordings live. `open_store` turns a path or URL into one.

A store maps a key (lower-case hex) to the line of a recording (bytes, one JSON object, no newline at the end,
see `cachy.recording`). What is in the line is not its business; how it is kept on disk is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from errno import EDQUOT, EFBIG, ENOSPC
from typing import Protocol

from ..legacy import LINE
from ..values import NO_LIMITS, Limits


class StoreError(Exception):
    """A store could not be read or written; the message is one line and says what to do."""


class Store(Protocol):
    """What every store can do. Safe to use from many threads and many processes at once."""

    url: str
    """The path or URL that was opened, as a person would write it."""

    def get(self, key: str) -> bytes | None:
        """The newest line recorded under `key`, or None."""

    def put(self, key: str, line: bytes) -> None:
        """Add `line` under `key`; it takes the place of an older one. Once this has returned, the death of the process
        loses nothing. Raises StoreError, and ValueError when that is not the line of a recording (see `check`)."""

    def delete(self, key: str) -> bool:
        """Forget `key`; whether there was one. Raises StoreError."""

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Every live (key, line), oldest first."""

    def __reversed__(self) -> Iterator[tuple[str, bytes]]:
        """Every live (key, line), newest first; no more is read than is asked for."""

    def all_keys(self) -> Iterator[str]:
        """Every live key, in no order. No line is read for it. (Not `keys`: `dict(store)` would take it for a mapping.)"""

    def __len__(self) -> int:
        """How many keys there are."""

    @property
    def legacy(self) -> bool:
        """Whether it holds any recording of pycachy (8 hex digits as the key)."""

    @property
    def providers(self) -> frozenset[str]:
        """Names of the providers that it holds recordings of, pycachy's not among them."""

    @property
    def problems(self) -> str | None:
        """What is wrong with it (lines that are no recordings) and what to do, in one line; or None."""

    def close(self) -> None:
        """Let go of files and connections; the store may be used again afterwards."""


class Unusable:
    """Stands in the place of a store that cannot be opened: every question raises the error that said why.

    So a call that needs it goes out live and is counted, or, in replay mode, is refused and never sent.
    """

    def __init__(self, url: str, problem: StoreError) -> None:
        self.url = url
        self._problem = problem

    def get(self, key: str) -> bytes | None:
        """Raises StoreError."""
        raise self._problem

    def put(self, key: str, line: bytes) -> None:
        """Raises StoreError."""
        raise self._problem

    def delete(self, key: str) -> bool:
        """Raises StoreError."""
        raise self._problem

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Raises StoreError."""
        raise self._problem

    def __reversed__(self) -> Iterator[tuple[str, bytes]]:
        """Raises StoreError."""
        raise self._problem

    def all_keys(self) -> Iterator[str]:
        """Raises StoreError."""
        raise self._problem

    def __len__(self) -> int:
        """Raises StoreError."""
        raise self._problem

    @property
    def legacy(self) -> bool:
        """Raises StoreError."""
        raise self._problem

    @property
    def providers(self) -> frozenset[str]:
        """Raises StoreError."""
        raise self._problem

    @property
    def problems(self) -> str | None:
        """What is wrong with it."""
        return str(self._problem)

    def close(self) -> None:
        """Nothing to let go of."""


def check(key: str, line: bytes) -> None:
    """Raises ValueError unless `line` is the line of a recording under `key`: ours (32 hex digits), or pycachy's (8)."""
    if len(key) == 32:
        good = line.startswith(b'{"key":"%b",' % key.encode()) and line.endswith(b"}")
    else:
        old = LINE.match(line)
        good = old is not None and key.encode() == (old[1] or old[2])
    if not good or b"\n" in line:
        raise ValueError(f"not the line of a recording: {line[:50]!r}")


def cannot(url: str, what: str, problem: OSError) -> StoreError:
    """The error for a store at `url` that cannot be `read` or `written`."""
    full = problem.errno in (ENOSPC, EDQUOT, EFBIG)
    todo = "make room" if full else f"make it {'readable' if what == 'read' else 'writable'}"
    reason = problem.strerror or str(problem)
    return StoreError(f"{url} cannot be {what} ({reason}); {todo}, or set CACHY_STORE to another path")


def which_file(status: os.stat_result) -> tuple[int, int]:
    """What tells a file from all others, whatever its name: device and inode."""
    return status.st_dev, status.st_ino


def absolute(url: str) -> str:
    """The path of a local store as it is meant now, whatever the program does later. Raises StoreError."""
    if "\0" in url:
        raise StoreError(f"{url!r} cannot be the path of a file; set CACHY_STORE to another path")
    try:
        return os.path.abspath(url)
    except OSError:
        raise StoreError(f"{url} is relative to a directory that is gone; give a full path") from None


TIMEOUT = 10.0
"""Seconds that a shared store may take to answer where a person waits for it."""
SQLITE = (".db", ".sqlite", ".sqlite3")
_FILE = (*SQLITE, ".jsonl", ".txt")


def is_folder(path: str) -> bool:
    """Whether a path names a folder store: it ends in a slash, or is a folder already and not named like a file."""
    return path.endswith(("/", os.sep)) or (not path.lower().endswith(_FILE) and os.path.isdir(path))


def open_store(url: str, limits: Limits = NO_LIMITS) -> Store:
    """Open the store at `url`: a path, or a URL.

    A path that ends in a slash, or is a folder, holds one file per recording; one that ends in `.db`, `.sqlite` or
    `.sqlite3` is an SQLite database; any other one (also written `jsonl:PATH`) is a JSONL file. A URL is a shared
    store, here without a local one in front of it (see `cachy.stores.layered`). Nothing is created before the first
    `put`. `limits` are for stores that evict: SQLite. Raises StoreError for a kind of store that
    does not exist.
    """
    if "://" in url:
        from .remote import open_remote

        return open_remote(url, TIMEOUT)
    path = url.removeprefix("jsonl:")
    if path == url and is_folder(path):
        from .folder import FolderStore

        return FolderStore(path)
    if path == url and path.lower().endswith(SQLITE):
        from .sqlite import SqliteStore

        return SqliteStore(path, limits)
    from .jsonl import JsonlStore

    return JsonlStore(path)
