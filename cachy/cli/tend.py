"""The verbs that take recordings away: `rm`, `prune`, `compact`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from ..report import terminal
from ..report.entry import Entry
from ..report.messages import size
from ..stores import Store
from ..stores.compacting import compact as compacted
from ..stores.jsonl import JsonlStore
from ..stores.sqlite import SqliteStore
from . import shelf
from .browse import row
from .talk import Problem, agreed, counted, emit, line, progress, say

_SHOWN = 10  # recordings that a plan names


def rm(argv: list[str]) -> int:
    """`cachy rm KEY...`: delete recordings by their keys."""
    parser = shelf.parser(
        "rm", "Delete recordings, for good: their lines leave the file.", "  cachy rm 8d1614 5e20aa"
    )
    parser.add_argument("keys", metavar="KEY", nargs="+", help="the beginning of a key")
    shelf.add_consent(parser, "delete")
    options = parser.parse_args(argv)
    store = shelf.opened(options)
    found = {entry.key: entry for entry in (shelf.find(store, key) for key in options.keys)}
    return _delete(store, list(found.values()), options)


def prune(argv: list[str]) -> int:
    """`cachy prune`: delete what a filter chooses, or what the last whole test run did not use."""
    parser = shelf.parser(
        "prune",
        "Delete many recordings: those that all given options choose. Shows what would go, and asks.",
        "  cachy prune --unused\n  cachy prune --older 90d --provider openai --dry-run",
    )
    parser.add_argument("--unused", action="store_true", help="that the last run of all tests did not use")
    shelf.add_filters(parser)
    shelf.add_consent(parser, "delete")
    options = parser.parse_args(argv)
    store = shelf.opened(options)
    passes = shelf.Filter(options, store)
    if not (passes.chooses or options.unused):
        raise Problem(
            "which recordings? --unused, --older 90d, --provider NAME, ... (see `cachy prune --help`)"
        )
    unused = shelf.unused(store) if options.unused else None
    found: list[Entry] = []
    for entry in progress(shelf.entries(store), len(store), "Looking"):
        try:
            if (unused is None or unused(entry)) and passes(entry):
                found.append(Entry(entry.key, b"") if len(found) >= _SHOWN else entry)
        except ValueError:
            continue  # `verify` names it; a filter cannot tell
    return _delete(store, found, options)


def compact(argv: list[str]) -> int:
    """`cachy compact`: drop what is no longer needed from the file."""
    parser = shelf.parser(
        "compact",
        "Rewrite the file of recordings with one line for each: without what was replaced, deleted or torn. It is"
        " atomic, and programs may go on recording meanwhile.",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(argv)
    store = shelf.opened(options)
    sizes = compacted_store(store)
    where = terminal.place(store.url)
    if options.json:
        emit({"store": where, "bytes_before": sizes and sizes[0], "bytes_after": sizes and sizes[1]})
    elif sizes is None:
        say(f"{where} keeps itself compact")
    else:
        say(f"{where}: {size(sizes[0])} before, {size(sizes[1])} now")
    return 0


def _delete(store: Store, found: Sequence[Entry], options: argparse.Namespace) -> int:
    where, count = terminal.place(store.url), len(found)
    if options.json:
        if not (options.yes or options.dry_run):
            raise Problem("say --yes to delete, or --dry-run")
    elif not count:
        say(f"nothing to delete in {where}")
        return 0
    else:
        for entry in found[:_SHOWN]:
            try:
                row(entry, shelf.digits(store))
            except ValueError:
                line(f"{entry.key}  (damaged)")
        more = f" ({count - _SHOWN} of them not shown)" if count > _SHOWN else ""
        say(f"{count} of {counted(len(store))}{more}")
        if options.dry_run:
            return 0
        if not agreed(f"delete {'it' if count == 1 else 'them'} from {where}?", options.yes):
            return 0
    deleted = 0
    if not options.dry_run:
        front = shelf.in_front(shelf.loaded(options.store).store)
        for entry in progress(found, count, "Deleting"):
            deleted += store.delete(entry.key)
            if front is not None:
                front.delete(entry.key)
        if front is not None:
            front.close()
        if deleted:
            compacted_store(store)
    if options.json:
        emit({"store": where, "deleted": deleted, "keys": [entry.key for entry in found]})
    else:
        say(f"{deleted} deleted")
    return 0


def compacted_store(store: Store) -> tuple[int, int] | None:
    """The bytes of a store on disk before and after it was compacted; None for one that needs no such thing."""
    path = os.path.abspath(store.url)
    if isinstance(store, JsonlStore):
        sizes = compacted(path, progress(iter(store), len(store), "Copying"))
        store.close()
        return sizes
    if isinstance(store, SqliteStore):
        before = os.path.getsize(path)
        store.compact()
        store.close()
        return before, os.path.getsize(path)
    return None
