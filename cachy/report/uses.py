"""Which tests used which recordings, so that people can see whose a recording is, and what nobody needs any more.

Two places tell, because neither can alone:

- The recording itself names the test that recorded it (`test`, see `cachy.recording`). It is committed with it, so
  every machine knows; and it is written when the recording is and never again, as recordings must not change because
  somebody ran the tests. So it does not know who else replays it, and keeps the name of a test that is renamed.
- A file beside the user's caches, one for each store, knows the recordings that each test used when it ran last:
  exact and complete on this machine after one full run, and of no interest to anybody else. Nothing of it can
  conflict in a merge.

In that file a test that ran well replaces what it used before; one that failed or was skipped may have stopped
half-way, so it only adds to it; one that did not run (`-k`, `--lf`, another file) keeps what it had; and only a full
run, which has seen every test there is, forgets tests. Each parameter set is a test with an id of its own. `cachy prune
--unused` reads the same file later. With pytest-xdist only the controller writes, after all workers have ended; two runs at once take turns by a lock. Tests
are told apart by the root folder of their project: one store may serve several.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from .. import trust
from ..clocks import stamp
from ..stores.locking import lock, unlock

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT = 1

Used = Mapping[str, Collection[str]]
"""Keys of recordings by the id of the test that used them; "" stands for what ran outside of any test."""


def note(
    store: str, root: str, used: Used, well: Collection[str], gone: Callable[[str], bool] | None = None
) -> None:
    """Remember what a run used. Never raises: this is a convenience.

    Args:
        store: path of the recordings.
        root: folder that the ids of the tests are relative to.
        used: what each test used in this run.
        well: the tests that ran to their end: what they used before no longer counts.
        gone: after a full run, whether there is no such test any more: it is forgotten.
    """
    try:
        path = _path(store)
        if path is None:
            return
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with _locked(path):
            everything = _read(path)
            before, full = _tests(everything, root), _full(everything, root)
            after = {test: set(keys) for test, keys in before.items() if gone is None or not gone(test)}
            for test in well:
                after.pop(test, None)
            for test, keys in used.items():
                after.setdefault(test, set()).update(keys)
            if gone is not None:
                full = stamp()
            elif after == before:
                return
            tests = {test: sorted(keys) for test, keys in sorted(after.items()) if keys}
            roots = {**everything, root: {"full": full, "tests": tests}}
            _write(path, {"v": FORMAT, "store": store, "roots": roots})
    except (OSError, ValueError):  # no home, a full disk
        pass


def tests_using(store: str) -> dict[str, list[str]]:
    """The tests that used each recording when they ran last on this machine, by its key. Never raises."""
    found: dict[str, set[str]] = {}
    roots = _read(_path(store))
    for root in roots:
        for test, keys in _tests(roots, root).items():
            for key in keys if test else ():
                found.setdefault(key, set()).add(test)
    return {key: sorted(tests) for key, tests in found.items()}


def needed(store: str, root: str, idle: Callable[[str], bool]) -> set[str]:
    """The recordings that a full run in `root` says nothing about: those of other projects' tests, and of its own
    tests that were `idle`. Never raises."""
    roots = _read(_path(store))
    return {
        key
        for place in roots
        for test, keys in _tests(roots, place).items()
        if place != root or idle(test)
        for key in keys
    }


def since_full_run(store: str) -> tuple[str, frozenset[str]] | None:
    """When all tests ran last, in ISO 8601 as `Recording.at`, and what tests have used then and since; None when that
    is not known of all projects that use this store. What was recorded later, and not by a test, is not known to be
    unused. Never raises."""
    roots = _read(_path(store))
    times = [_full(roots, root) for root in roots]
    if not times or not all(times):
        return None
    used = (keys for root in roots for keys in _tests(roots, root).values())
    return min(times), frozenset().union(*used)


def _path(store: str) -> str | None:
    folder = trust.user_folder("cache")
    name = blake2b(os.fsencode(os.path.realpath(store)), digest_size=16).hexdigest()
    return folder and os.path.join(folder, "uses", f"{name}.json")


def _read(path: str | None) -> dict[str, Any]:
    """What was remembered, by root; nothing when it cannot be read."""
    try:
        with open(path or os.devnull, "rb") as file:
            facts = json.load(file)
        roots = facts["roots"] if facts["v"] == FORMAT else {}
        return roots if isinstance(roots, dict) else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def _tests(roots: Mapping[str, Any], root: str) -> dict[str, set[str]]:
    facts = roots.get(root)
    tests = facts.get("tests") if isinstance(facts, dict) else None
    if not isinstance(tests, dict):
        return {}
    return {test: {str(key) for key in keys} for test, keys in tests.items() if isinstance(keys, list)}


def _full(roots: Mapping[str, Any], root: str) -> str:
    """When all tests of `root` ran last, or ""."""
    facts = roots.get(root)
    return str(facts.get("full") or "") if isinstance(facts, dict) else ""


def _write(path: str, facts: dict[str, Any]) -> None:
    aside = f"{path}.{os.getpid()}"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(json.dumps(facts, separators=(",", ":")).encode())
    os.replace(aside, path)


@contextmanager
def _locked(path: str) -> Iterator[None]:
    fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        held = lock(fd)
        yield
        if held:
            unlock(fd)
    finally:
        os.close(fd)
