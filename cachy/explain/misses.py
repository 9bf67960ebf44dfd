"""The last misses of each store, kept beside the user's caches, so that they can be looked at later.

One JSON object a line, the newest last: the facts of `cachy.Miss`, its text as `message` and its time as `at`.
They are a convenience: whatever goes wrong with them is nobody's business, and nothing is raised.
"""

from __future__ import annotations

import json
import os
from hashlib import blake2b
from typing import Any

from .. import trust
from ..clocks import stamp
from ..errors import Miss

LARGEST = 1024 * 1024
"""Bytes of a file of misses; when it would be larger the older half is forgotten."""

_LONGEST = 128 * 1024  # bytes of a line; a request that makes a longer one is left out
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)


def note(miss: Miss) -> None:
    """Remember a miss. Never raises."""
    try:
        path = _path(miss.store)
        if path is not None:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            _append(path, _line(miss))
    except Exception:  # noqa: BLE001 - no home, a full disk, a read-only file system
        pass


def last(store: str, count: int = 1) -> list[dict[str, Any]]:
    """The facts of the last misses of a store (path or URL), the newest first. Never raises."""
    path = _path(store)
    try:
        with open(path or os.devnull, "rb") as file:
            lines = file.read(2 * LARGEST).splitlines()
    except OSError:
        return []
    found: list[dict[str, Any]] = []
    for line in reversed(lines):
        if len(found) == count:
            break
        try:
            facts = json.loads(line)
        except ValueError:  # two processes made room at once
            continue
        if isinstance(facts, dict):
            found.append(facts)
    return found


def _folder() -> str | None:
    folder = trust.user_folder("cache")
    return folder and os.path.join(folder, "misses")


def _path(store: str) -> str | None:
    folder = _folder()
    if folder is None:
        return None
    return os.path.join(folder, blake2b(os.fsencode(store), digest_size=16).hexdigest() + ".jsonl")


def _line(miss: Miss) -> bytes:
    facts = {"at": stamp(), "message": str(miss), **vars(miss)}
    facts["changes"] = [change._asdict() for change in miss.changes]
    line = json.dumps(facts, default=repr).encode()
    if len(line) > _LONGEST:
        line = json.dumps({**facts, "request": {}, "changes": []}, default=repr).encode()
    return line[:_LONGEST] + b"\n"


def _append(path: str, line: bytes) -> None:
    fd = os.open(path, _FLAGS, 0o600)  # what is asked of a model may be private
    try:
        size = os.fstat(fd).st_size
        if size + len(line) <= LARGEST:
            os.write(fd, line)
            return
    finally:
        os.close(fd)
    with open(path, "rb") as file:
        file.seek(size - LARGEST // 2)
        kept = file.read().partition(b"\n")[2]
    aside = f"{path}.{os.getpid()}"
    fd = os.open(aside, _FLAGS | os.O_TRUNC, 0o600)
    try:
        os.write(fd, kept + line)
    finally:
        os.close(fd)
    os.replace(aside, path)
