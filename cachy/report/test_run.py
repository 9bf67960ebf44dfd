"""What a run of tests did with its recordings: summed up from the verdicts of all its processes."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .. import tally, trust
from ..stores import open_store
from . import terminal, uses

FAIL_ON = ("live", "miss", "escaped", "unused")
"""What `--cachy-fail-on` knows."""

Facts = dict[str, Any]


@dataclass
class TestRun:
    """The verdicts of a run, and what was left unused when it was a full one."""

    root: str
    """The folder that the ids of the tests are relative to."""
    outcomes: dict[str, str] = field(default_factory=dict)
    """How each test ended: `passed`, `failed` or `skipped`."""
    verdicts: list[Facts] = field(default_factory=list)
    unused: dict[str, list[str]] | None = None
    """Keys that no test used, by store; None after a run that was not full."""

    __test__ = False  # for pytest: the name is not meant for it

    def read(self, folder: str) -> None:
        """Take in what the processes of the run reported. Raises OSError."""
        self.verdicts += tally.read_files(folder)

    @property
    def stats(self) -> tally.Stats:
        """The counts of all verdicts."""
        return count(self.verdicts)

    def used(self) -> dict[str, dict[str, set[str]]]:
        """The keys that were asked for, by store and test."""
        found: dict[str, dict[str, set[str]]] = {}
        for facts in self.verdicts:
            if "key" in facts and "store" in facts and "://" not in facts["store"]:
                tests = found.setdefault(facts["store"], {})
                tests.setdefault(facts.get("test", ""), set()).add(facts["key"])
        return found

    def remember(self, well: Collection[str], full: bool) -> None:
        """Note which tests used what; those that ran `well` use nothing else any more. See `uses.note`."""
        gone = (lambda test: test not in self.outcomes and not self.is_idle(test)) if full else None
        for store, used in self.used().items():
            uses.note(store, self.root, used, well, gone)

    def is_idle(self, test: str) -> bool:
        """Whether this run, though a full one, does not tell what a test uses: it was skipped or has failed, or nothing
        was collected from its file (which skips itself, or lies elsewhere than the tests that usually run)."""
        if not test:
            return False
        if test in self.outcomes:
            return self.outcomes[test] != "passed"
        file = test.partition("::")[0]
        return file not in self._files and os.path.exists(os.path.join(self.root, file))

    @cached_property
    def _files(self) -> set[str]:
        return {test.partition("::")[0] for test in self.outcomes}

    def look_for_unused(self) -> None:
        """Find what no test of this full run used; what idle tests may use is left out. Not looked at are stores that
        the run did not touch, shared ones, and the user's own. Raises StoreError."""
        self.unused = {}
        own = trust.user_folder("cache")
        for store, tests in self.used().items():
            if own and trust.inside(store, own):
                continue  # what runs outside of any project records there
            used = set().union(*tests.values()) | uses.needed(store, self.root, self.is_idle)
            from .entry import Entry  # it knows all providers; most runs need it not

            keys = [
                key
                for key, line in open_store(store)
                # pycachy's recordings are found by other keys than those that are told.
                if key not in used and len(key) == 32 and not self.is_idle(Entry(key, line).test)
            ]
            if keys:
                self.unused[store] = keys

    def prune(self) -> int:
        """Delete what is unused; how many that was. Raises StoreError."""
        gone = 0
        for store, keys in (self.unused or {}).items():
            opened = open_store(store)
            try:
                gone += sum(opened.delete(key) for key in keys)
            finally:
                opened.close()
        return gone

    def offences(self, kinds: Collection[str]) -> Iterator[str]:
        """One line for each of `kinds` (see `FAIL_ON`) that happened."""
        for kind in kinds:
            if kind == "unused":
                number = sum(map(len, (self.unused or {}).values()))
                if number:
                    yield f"{_number(number, 'recording')} not used by any test"
                continue
            found = [facts for facts in self.verdicts if _is(kind, facts)]
            if found:
                tests = list(dict.fromkeys(facts.get("test", "") or "no test" for facts in found))
                more = f" and {len(tests) - 3} more" if len(tests) > 3 else ""
                what = {"live": "made live", "miss": "missed", "escaped": "escaped"}[kind]
                yield f"{_number(len(found), 'call')} {what}, in {', '.join(tests[:3])}{more}"

    def line(self) -> str:
        """`118 replayed, 2 recorded, 1 missed, 4 unused · saved 5 m 12 s, $1.94 est. · cachy.jsonl`; "" when nothing
        happened. Without genai-prices tokens stand in the place of money."""
        stats = self.stats
        if not stats.handled:
            return ""
        parts = terminal.counted(stats)
        if self.unused:
            parts.append(f"{sum(map(len, self.unused.values()))} unused")
        told = [", ".join(parts)]
        saved = [terminal.duration(stats.saved_ms)] if stats.saved_ms else []
        if stats.hits and (spared := _spared(self.verdicts)):
            saved.append(spared)
        if saved:
            told.append(f"saved {', '.join(saved)}")
        stores = list(dict.fromkeys(facts["store"] for facts in self.verdicts if "store" in facts))
        if len(stores) > 1:
            told.append(f"{len(stores)} stores")
        else:
            told += map(terminal.place, stores)
        return " · ".join(told)


def _spared(verdicts: Collection[Facts]) -> str:
    """What the replayed calls would have cost, as `$1.94 est.` or `128,400 tokens`; "" when that is not known."""
    import warnings

    from . import prices

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what genai-prices imports; the tests have run
        found = prices.saved(verdicts)
    return str(found) or (f"{found.tokens:,} tokens" if found.tokens else "")


def count(verdicts: Collection[Facts]) -> tally.Stats:
    """The counts of these verdicts."""
    counter = tally.Counter()
    for facts in verdicts:
        counter.add(facts["outcome"], facts["ms"], facts.get("reason", ""))
    return counter.stats()


def _is(kind: str, facts: Facts) -> bool:
    if kind == "live":
        return bool(facts.get("live"))
    return bool(facts["outcome"] == {"miss": "missed"}.get(kind, kind))


def _number(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
