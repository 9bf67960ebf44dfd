"""Is the store readable, whole, without secrets, and in git?"""

from __future__ import annotations

import os
from collections.abc import Iterator

from ...explain import misses
from ...report.messages import size
from ...report.terminal import place
from ...stores import SQLITE, Store, StoreError, open_store
from ..check import Checks, facts, of_store
from ..git import asked, ignoring
from ..shelf import loaded
from . import Check


def checks(given: str | None) -> Iterator[Check]:
    """The store that holds here."""
    found = loaded(given)
    where = place(found.store)
    is_path = "://" not in found.store
    if is_path and not os.path.exists(found.store):
        yield Check("recordings", "note", f"none yet: {where} does not exist")
        folder = os.path.dirname(found.store)
        while not os.path.isdir(folder) and folder != os.path.dirname(folder):
            folder = os.path.dirname(folder)
        if not os.access(folder, os.W_OK):
            yield Check(
                "writable", "wrong", f"{folder} may not be written to", "set CACHY_STORE to another path"
            )
        return
    try:
        store = open_store(found.store)
        yield Check("recordings", "ok", f"{len(store):,} in {where}{_disk(found.store) if is_path else ''}")
        names = frozenset(name.lower() for name in found.redact)
        yield from _health(store, names)
        store.close()
    except (StoreError, OSError) as problem:
        yield Check("readable", "wrong", str(problem))
        return
    if is_path:
        if not os.access(found.store, os.W_OK):
            yield Check("writable", "wrong", f"{where} may not be written to: nothing new is recorded")
        if found.project:  # else it lies in the user's cache folder, and nobody means to commit it
            yield from _git(found.store)
    if missed := misses.last(found.store):
        text = str(missed[0].get("message", "")).splitlines()[:1]
        yield Check("last miss", "note", f"{missed[0].get('at', '')} {''.join(text)}", "cachy diff @last")


def _disk(path: str) -> str:
    return f", {size(os.path.getsize(path))}" if os.path.isfile(path) else ""


def _health(store: Store, names: frozenset[str]) -> Iterator[Check]:
    found = facts(of_store(Checks(secret_names=names), store))
    counts = found["findings"]
    if not counts:
        yield Check("health", "ok", "every recording is whole, under its key, and without secrets")
    texts = {
        "damaged": "damaged",
        "key": "under another key than that of its request",
        "secret": "with a secret",
    }
    for kind, count in counts.items():
        yield Check("health", "wrong", f"{count} line{'s' * (count != 1)} {texts[kind]}", "cachy verify")


def _git(path: str) -> Iterator[Check]:
    folder, name = os.path.split(path.rstrip("/" + os.sep))
    if asked(folder, "rev-parse", "--is-inside-work-tree") != "true":
        yield Check("git", "note", "not in a git repository: CI and others cannot replay these recordings")
        return
    tracked = asked(folder, "ls-files", "--", name)
    if name.lower().endswith(SQLITE):  # as `cachy init` says
        if tracked:
            todo = f"git rm --cached {name}, and add {name}* to .gitignore"
            yield Check("git", "note", "it is tracked, and git cannot merge a database", todo)
        return
    if tracked:
        yield Check("git", "ok", "it is tracked")
    elif rule := ignoring(folder, name):
        text = "git ignores it: CI and others cannot replay these recordings"
        yield Check("git", "note", text, f"take {rule} away, or git add --force {name}")
    else:
        yield Check("git", "note", "it is not tracked yet", f"git add {name}")
    if (asked(folder, "check-attr", "merge", "--", name) or "").endswith(": union"):
        yield Check("merges", "ok", "two branches that record merge without a conflict")
    elif os.path.isfile(path):
        yield Check("merges", "note", "two branches that record will conflict", "cachy init")
