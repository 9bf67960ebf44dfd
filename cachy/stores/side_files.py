"""Where the indexes of large files lie, see `cachy.stores.index`. Apart from it, so that a process which has none need
not import SQLite.
"""

from __future__ import annotations

import os
import stat
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
    """The indexes of the store at an absolute path that the user has made, the newest first."""
    where, ours = folder(), start(store)
    if where is None or not is_safe(where):
        return []
    made: list[tuple[int, str]] = []
    with suppress(OSError), os.scandir(where) as entries:
        for entry in entries:
            if entry.name.startswith(ours) and entry.name.endswith(".sqlite"):
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) and trust.is_mine(status):
                    made.append((-status.st_mtime_ns, entry.path))
    return [path for _, path in sorted(made)]


def is_safe(where: str) -> bool:
    """Whether nobody but the user can put anything into a folder, which SQLite would take for its own. Where people
    share a cache folder, anybody may have made that one."""
    try:
        return trust.is_mine(os.stat(where))
    except OSError:
        return False


def tidy(store: str, where: str) -> None:
    """Delete what this store needs no longer, and what no store has needed for long."""
    ours, now = start(store), utc()
    with suppress(OSError), os.scandir(where) as entries:
        for entry in entries:
            # Another process may be making one for this store just now.
            kept = _REPLACED if entry.name.startswith(ours) else _UNUSED
            if entry.stat().st_mtime < now - kept:
                os.unlink(entry)
