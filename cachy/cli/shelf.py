"""What the verbs read: which store, which recording a key's beginning means, and which ones a filter lets through."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from itertools import islice
from math import ceil, log

from .. import settings
from ..report import uses
from ..report.entry import Entry
from ..report.terminal import place
from ..stores import Store, open_store
from ..values import ttl
from .parsing import Parser
from .talk import Problem, progress, say

_SHORTEST = 8  # digits of a key that are shown
_LISTED = 10  # recordings that an ambiguous key may mean, that are named


def parser(verb: str, what: str, examples: str = "") -> Parser:
    """The parser of a verb that works on a store."""
    made = Parser(verb, what, examples)
    made.add_argument(
        "--store", metavar="STORE", help="path or URL of the recordings (default: the project's)"
    )
    return made


def opened(options: argparse.Namespace) -> Store:
    """The store that is meant. Raises Problem when there is none, StoreError when it cannot be read."""
    store = existing(loaded(options.store).store, " (another one: --store)")
    _in_use.append(store)
    return store


def existing(url: str, hint: str = "") -> Store:
    """The store at `url`. Raises Problem when there is none, StoreError when it cannot be read."""
    if "://" not in url and not os.path.exists(url.removeprefix("jsonl:")):
        raise Problem(f"there are no recordings: {place(url)} does not exist{hint}")
    return open_store(url)


_in_use: list[Store] = []


def close() -> None:
    """Let go of the stores that a verb has opened; called when it has ended, whichever way."""
    while _in_use:
        _in_use.pop().close()


def in_front(url: str) -> Store | None:
    """What this machine keeps of the shared store at `url`, and replays; None when there is no such thing."""
    if "://" not in url:
        return None
    from ..stores.layered import local_path

    path = local_path(url)
    return open_store(path) if path and os.path.exists(path) else None


def loaded(store: str | None = None) -> settings.Settings:
    """The settings that hold here, whether cachy is switched on or not."""
    environ = {name: value for name, value in os.environ.items() if name != "CACHY"}
    return settings.load({"store": store} if store else {}, environ=environ, consent=True, scoped=True)


def entries(store: Store, newest_first: bool = True) -> Iterator[Entry]:
    """Every recording, read as it is asked for."""
    for key, line in reversed(store) if newest_first else store:
        yield Entry(key, line)


def tell_skipped(store: Store) -> None:
    """Say what of a store is no recording, and so was not among its entries. To be called when they have been read."""
    if problems := store.problems:
        say(f"cachy: {problems}")


def digits(store: Store) -> int:
    """How many digits of a key tell it from all others, most likely: twice what would count them, as in git."""
    return max(_SHORTEST, ceil(2 * log(max(2, len(store)), 16)) + 1)


def find(store: Store, prefix: str) -> Entry:
    """The recording whose key begins with `prefix`. Raises Problem when there is none, or more than one."""
    wanted = prefix.lower()
    if not wanted or set(wanted) - set("0123456789abcdef"):
        raise Problem(f"{prefix!r} is not the beginning of a key (`cachy ls` shows them)")
    if len(wanted) == 32 and (line := store.get(wanted)) is not None:
        return Entry(wanted, line)
    keys = progress(store.all_keys(), len(store), "Looking for the key")
    alike = islice((key for key in keys if key.startswith(wanted)), _LISTED + 1)
    lines = ((key, store.get(key)) for key in list(alike))
    found = [Entry(key, line) for key, line in lines if line is not None]
    if len(found) == 1:
        return found[0]
    if not found:
        raise Problem(f"no key in {place(store.url)} begins with {prefix}")
    listed = "".join(f"\n  {entry.key}  {_told(entry)}" for entry in found[:_LISTED])
    more = "\n  and more" if len(found) > _LISTED else ""
    raise Problem(f"{prefix} may be any of these; say more of it:{listed}{more}")


def _told(entry: Entry) -> str:
    try:
        return f"{entry.at}  {entry.model or entry.provider}  {entry.title[:60]}"
    except ValueError:
        return "(damaged)"


def tests_using(store: Store) -> dict[str, list[str]]:
    """The tests that used each recording, by its key, as the pytest plugin has noted them on this machine."""
    return uses.tests_using(store.url)


def tests_of(entry: Entry, using: dict[str, list[str]]) -> list[str]:
    """The tests that used a recording; on a machine that has not run them, the one that recorded it. Raises ValueError
    when the recording is damaged."""
    return using.get(entry.key) or ([entry.test] if entry.test else [])


def unused(store: Store) -> Callable[[Entry], bool]:
    """Whether a recording was there when all tests ran last, and no test has used it then or since. Raises Problem when
    that is not known."""
    known = uses.since_full_run(store.url)
    if known is None:
        raise Problem("what is used is not known yet: run all tests once with pytest, and cachy switched on")
    when, used = known
    return lambda entry: entry.key not in used and not entry.is_legacy and entry.at <= when


def add_filters(parser: argparse.ArgumentParser) -> None:
    """The options that choose recordings; all that are given must hold."""
    group = parser.add_argument_group("which recordings")
    group.add_argument("--provider", metavar="NAME", help="of this provider; with * for any letters")
    group.add_argument("--model", metavar="NAME", help="of this model: --model 'gpt-5*'")
    group.add_argument("--text", metavar="WORDS", help="with these words in question or answer")
    group.add_argument("--test", metavar="NAME", help="used by a test with this in its name")
    group.add_argument("--older", metavar="AGE", help="recorded before that: 30d, 12h")
    group.add_argument("--newer", metavar="AGE", help="recorded since then")
    group.add_argument("--status", metavar="CODE", help="answered with this HTTP status: 200, 4xx")
    group.add_argument("--partial", action="store_true", help="whose reader left before the end")


def add_consent(parser: argparse.ArgumentParser, what: str) -> None:
    """The options of a verb that shows what it is going to `what` (delete, write), and asks (see `talk.agreed`)."""
    parser.add_argument("--dry-run", action="store_true", help="show what would be done, do nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--json", action="store_true", help=f"as JSON, which asks nothing and needs --yes to {what}"
    )


class Filter:
    """What the options of `add_filters` let through."""

    def __init__(self, options: argparse.Namespace, store: Store) -> None:
        """Raises Problem when an option is wrong."""
        self._options = options
        self._older, self._newer = (_seconds(name, getattr(options, name)) for name in ("older", "newer"))
        self._tests = tests_using(store) if options.test else {}
        self._status = (options.status or "").lower()
        if self._status and (len(self._status) != 3 or set(self._status) - set("0123456789x")):
            raise Problem(f"--status {options.status}: a code such as 200, or 4xx")

    @property
    def chooses(self) -> bool:
        """Whether any option was given at all."""
        given = self._options
        named = (given.provider, given.model, given.text, given.test, given.older, given.newer, given.status)
        return any(named) or given.partial

    def __call__(self, entry: Entry) -> bool:
        """Whether a recording passes. Raises ValueError for a damaged one."""
        wanted = self._options
        age = entry.age() if self._older is not None or self._newer is not None else None
        # The cheap questions first: each of the later ones reads more of the line.
        return (
            (not wanted.provider or _like(entry.provider, wanted.provider))
            and (self._older is None or (age is not None and age > self._older))
            and (self._newer is None or (age is not None and age <= self._newer))
            and (not wanted.test or any(wanted.test in test for test in tests_of(entry, self._tests)))
            and (not wanted.model or _like(entry.model, wanted.model))
            and (not wanted.partial or entry.response.partial)
            and (not self._status or _is_status(entry.response.status, self._status))
            and (not wanted.text or wanted.text.casefold() in entry.words.casefold())
        )


def _like(value: str, pattern: str) -> bool:
    return fnmatchcase(value.lower(), pattern.lower())


def _is_status(status: int, wanted: str) -> bool:
    return all(digit in ("x", shown) for digit, shown in zip(wanted, str(status), strict=False))


def _seconds(name: str, value: str | None) -> float | None:
    if not value:
        return None
    try:
        (rule,) = ttl(value)
    except ValueError:
        raise Problem(f"--{name} {value}: a time such as 30d, 12h, 15m or 90s") from None
    return rule.seconds
