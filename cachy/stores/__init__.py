"""Stores: where recordings live. `open_store` turns a path or URL into one.

A store maps a key (lower-case hex) to the line of a recording (bytes, one JSON object, no newline at the end,
see `cachy.recording`). It does not look inside the line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


class StoreError(Exception):
    """A store could not be read or written; the message is one line and says what to do."""


class Store(Protocol):
    """What every store can do. Safe to use from many threads and many processes at once."""

    url: str
    """The path or URL that was opened, as a person would write it."""

    def get(self, key: str) -> bytes | None:
        """The newest line recorded under `key`, or None."""

    def put(self, key: str, line: bytes) -> None:
        """Add `line` under `key`; it takes the place of an older one. Raises StoreError."""

    def delete(self, key: str) -> bool:
        """Forget `key`; whether there was one. Raises StoreError."""

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Every live (key, line), oldest first."""

    def __reversed__(self) -> Iterator[tuple[str, bytes]]:
        """Every live (key, line), newest first; no more is read than is asked for."""

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


def open_store(url: str) -> Store:
    """Open the store at `url`: a path ending in `.jsonl` or `.txt`, or `jsonl:PATH`.

    Nothing is created before the first `put`. Raises StoreError for a kind of store that does not exist.
    """
    from .jsonl import JsonlStore

    path = url.removeprefix("jsonl:")
    if "://" in path:
        raise StoreError(
            f"no store for {path.split('://')[0]}:// in this version; use a path such as cachy.jsonl"
        )
    return JsonlStore(path)
