"""`cachy stats`: what lies in a store, and what it was worth."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ..report import terminal
from ..report.entry import Entry
from ..report.messages import size
from ..report.prices import Prices, Sum
from ..stores.jsonl import JsonlStore
from . import shelf
from .talk import bar, counted, cut, emit, line, progress, say, width

_SHOWN = 12  # rows of a table
_NARROW = 66  # characters; a narrower terminal has no room for all columns
_SHORTEST_BAR = 6  # characters


@dataclass
class Total:
    """What a group of recordings comes to."""

    recordings: int = 0
    bytes: int = 0
    live_ms: int = 0
    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    money: Sum = field(default_factory=Sum)
    first: str = ""
    last: str = ""

    def add(self, entry: Entry, price: Decimal | None, priced: bool) -> None:
        """Count a recording with its price; `priced`: whether there are any prices. Raises ValueError for a damaged
        one, before anything is counted."""
        used, ms, at = entry.usage, entry.response.ms, entry.at
        self.recordings += 1
        self.bytes += len(entry.line)
        self.live_ms += ms
        if at:
            self.first = min(self.first or at, at)
            self.last = max(self.last, at)
        if used:
            self.input += used.input
            self.output += used.output
            self.cached += used.cached
            self.reasoning += used.reasoning
            if priced:
                self.money.add(price)

    def facts(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "recordings": self.recordings,
            "bytes": self.bytes,
            "first": self.first or None,
            "last": self.last or None,
            "live_ms": self.live_ms,
            "tokens": {name: getattr(self, name) for name in ("input", "output", "cached", "reasoning")},
            "usd_estimate": round(float(self.money.dollars), 6) if self.money.priced else None,
            "priced": self.money.priced,
            "unpriced": self.money.unpriced,
        }


def stats(argv: list[str]) -> int:
    """`cachy stats`: totals, and the same by provider, model and test."""
    parser = shelf.parser(
        "stats",
        "What is recorded: how many recordings, how large, how long the live calls took, tokens, money; in all and by"
        " provider, model and test. Money is an estimate by genai-prices (pip install 'cachy-run[cost]').",
        "  cachy stats\n  cachy stats --newer 7d --json",
    )
    shelf.add_filters(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(argv)
    store = shelf.opened(options)
    passes, prices = shelf.Filter(options, store), Prices()
    tests = shelf.tests_using(store)
    whole, damaged = Total(), 0
    groups: dict[str, dict[str, Total]] = {"provider": {}, "model": {}, "test": {}}
    for entry in progress(shelf.entries(store, newest_first=False), len(store), "Counting"):
        try:
            if not passes(entry):
                continue
            named = {
                "provider": [entry.provider],
                "model": [entry.model],
                "test": shelf.tests_of(entry, tests),
            }
            price = prices.of(entry)
            whole.add(entry, price, prices.known)
        except ValueError:
            damaged += 1
            continue
        for kind, names in named.items():
            for name in filter(None, names):
                groups[kind].setdefault(name, Total()).add(entry, price, prices.known)
    where, disk = terminal.place(store.url), _on_disk(store.url)
    shelf.tell_skipped(store)
    if options.json:
        by = {
            kind: [{"name": name, **total.facts()} for name, total in _largest(found)]
            for kind, found in groups.items()
        }
        emit({"store": where, "disk_bytes": disk, "damaged": damaged, **whole.facts(), "by": by})
        return 0
    line((where, "bold"), f": {counted(whole.recordings)}, {size(whole.bytes)}", _period(whole))
    if not whole.recordings:
        return 0
    facts = [f"made live they took {terminal.duration(whole.live_ms)}", *_tokens(whole), str(whole.money)]
    line(" · ".join(filter(None, facts)))
    for kind, found in groups.items():
        _chart(kind, found)
    if damaged:
        say(f"{damaged} damaged left out; `cachy verify` names them")
    # Each line ends in a newline. What a database needs beyond its recordings is no waste.
    waste = (disk or 0) - whole.bytes - whole.recordings
    if waste > 1000 and isinstance(store, JsonlStore) and not passes.chooses:
        say(f"{size(waste)} of the file are no longer needed; `cachy compact` frees them")
    if whole.input and not prices.known and sys.version_info >= (3, 11):
        say("money: pip install 'cachy-run[cost]'")
    return 0


def _largest(found: dict[str, Total]) -> list[tuple[str, Total]]:
    return sorted(found.items(), key=lambda pair: (-pair[1].recordings, pair[0]))


def _period(total: Total) -> str:
    first, last = total.first[:10], total.last[:10]
    return "" if not first else f", {first}" if first == last else f", {first} to {last}"


def _tokens(total: Total) -> Iterable[str]:
    if total.input or total.output:
        cached = f" ({total.cached:,} from a cache)" if total.cached else ""
        yield f"{total.input:,} tokens in{cached}, {total.output:,} out"


def _chart(kind: str, found: dict[str, Total]) -> None:
    """A row for each name, with a bar as long as the terminal has room for; on a narrow one without sizes and tokens."""
    if not found:
        return
    rows = _largest(found)
    most = rows[0][1].recordings
    kept = slice(None, None, 4 if width() < _NARROW else 1)  # the first and the last, or all
    heads = ("recordings", "size", "tokens in", "out", "money")[kept]
    cells = [_cells(total)[kept] for _, total in rows[:_SHOWN]]
    sizes = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    room = width() - sum(sizes) - 2 * len(sizes) - 1
    longest = max(len(f"by {kind}"), *(len(name) for name, _ in rows[:_SHOWN]))
    names = max(12, min(longest, max(room - 20, min(30, room - _SHORTEST_BAR))))
    bars = min(20, room - names) if room - names >= _SHORTEST_BAR else 0
    line("")
    line((f"{cut('by ' + kind, names):<{names}} {'':<{bars}}{_aligned(heads, sizes)}", "bold"))
    for (name, total), texts in zip(rows, cells, strict=False):
        # Of tests the end: they begin alike, with the name of their file.
        shown = "…" + name[1 - names :] if kind == "test" and len(name) > names else cut(name, names)
        line(
            f"{shown:<{names}} ",
            (f"{bar(total.recordings / most, bars):<{bars}}", "cyan"),
            _aligned(texts, sizes),
        )
    if len(rows) > _SHOWN:
        line(f"and {len(rows) - _SHOWN} more")


def _cells(total: Total) -> tuple[str, ...]:
    return (
        f"{total.recordings:,}",
        size(total.bytes),
        f"{total.input:,}",
        f"{total.output:,}",
        str(total.money),
    )


def _aligned(texts: Sequence[str], sizes: Sequence[int]) -> str:
    """Numbers to the right, the last column, which is of words, to the left."""
    *numbers, last = texts
    shown = "".join(f"  {text:>{size}}" for text, size in zip(numbers, sizes, strict=False))
    return f"{shown}  {last}".rstrip()


def _on_disk(url: str) -> int | None:
    """Bytes of the file that a store is; None when it is none."""
    try:
        return os.path.getsize(url) if os.path.isfile(url) else None
    except OSError:
        return None
