"""Where the indexes of large files lie, see `cachy.stores.index`. Apart from it, so that a process which has none need
not import SQLite.
"""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import blake2b

from .. import trust
from ..clocks import utc

_REPLACED = 60  # seconds after which an index that does not fit is deleted
_UNUSED = 90 * 86400  # seconds after which the index of a file that nobody asks for is deleted


def folder() -> str | None:
    """Where the indexes lie, or None when the user has no home."""
    cache = trust.user_folder("cache")
    return cache and os.path.join(cache, "index")


def start(store: str) -> str:
    """With what the names of the indexes of one store begin."""
    return blake2b(os.fsencode(store), digest_size=16).hexdigest() + "-"


def of(store: str) -> list[str]:
    """The indexes of the store at an absolute path, the newest first."""
    where, ours = folder(), start(store)
    try:
        entries = [
            entry
            for entry in os.scandir(where or os.devnull)
            if entry.name.startswith(ours) and entry.name.endswith(".sqlite")
        ]
        return [entry.path for entry in sorted(entries, key=lambda entry: -entry.stat().st_mtime_ns)]
    except OSError:
        return []


def tidy(store: str, where: str) -> None:
    """Delete what this store needs no longer, and what no store has needed for long."""
    ours, now = start(store), utc()
    with suppress(OSError), os.scandir(where) as entries:
        for entry in entries:
            # Another process may be making one for this store just now.
            kept = _REPLACED if entry.name.startswith(ours) else _UNUSED
            if entry.stat().st_mtime < now - kept:
                os.unlink(entry)
