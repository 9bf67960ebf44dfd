"""The lines of a JSONL store: which are recordings, under which key, and where; no I/O.

A line of ours starts with `{"key":"<32 hex>",`; the last line of a key wins, and a line that says `"deleted":true`
forgets it. Lines of pycachy (keys of 8 hex digits, see `cachy.legacy`) may stand in the same file; of those the first
wins, as it did there. Everything else is skipped: blank lines, conflict markers, torn lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from ..legacy import LINE

HEAD = b'{"key":"'
CONFLICT = (b"<<<<<<<", b"|||||||", b"=======", b">>>>>>>")
"""How the lines begin that a merge of git leaves."""
_OURS = re.compile(rb'\{"key":"([0-9a-f]{32})",')
_BRACE = ord("}")
_BOM = b"\xef\xbb\xbf"
_MARK = 256
_RUN = 256 * 1024  # bytes to read at a time where all lines are wanted, or the newest
_PROVIDER = re.compile(rb'"provider":"([^"\\]*)",')
_PROVIDER_AT = 76  # where it stands in a line, unless somebody else wrote it

Placed = tuple[bytes, tuple[int, int]]
"""A key, and the offset and the length of its line."""


class Lost(Exception):
    """The index in its side file (see `cachy.stores.index`) cannot be asked any more; the file of recordings can."""


def tombstone(key: bytes) -> bytes:
    """The line that forgets `key`, without a newline."""
    return HEAD + key + b'","v":1,"deleted":true}'


def cut(data: bytes, start: int, length: int, key: bytes) -> bytes | None:
    """The line of `key` in `data`, or None when it is not there, or does not end there."""
    line, behind = data[start : start + length], data[start + length : start + length + 1]
    return line if len(line) == length and key in line[:64] and not behind.strip() else None


def runs(places: Iterable[Placed]) -> Iterator[tuple[int, int, list[Placed]]]:
    """Neighbours in the file, to be read at once: from where to where, and their places in the given order."""
    run: list[Placed] = []
    start = stop = 0
    for placed in places:
        offset, length = placed[1]
        low, high = min(start, offset), max(stop, offset + length)
        if run and high - low > _RUN:
            yield start, stop, run
            run = []
        start, stop = (low, high) if run else (offset, offset + length)
        run.append(placed)
    if run:
        yield start, stop, run


_SHORTEST = len(tombstone(b"0" * 32)) + 1  # a line of ours this long is a recording


class Lines:
    """The index of a file, fed from its start to its end, and on from there when it grows."""

    def __init__(self) -> None:
        self.places: dict[bytes, tuple[int, int]] = {}
        """key: (offset, length), the newline not counted; in the order of the file, from `start` on"""
        self.start = 0
        """Up to where the side file has the places, if there is one."""
        self.gone: set[bytes] = set()
        """Keys that were forgotten behind `start`."""
        self.providers: set[str] = set()
        """Names of the providers of recordings of ours, those that were deleted or replaced among them."""
        self._provider = b" "  # as the last line named it
        self.pycachy = 0
        """How many of these keys are pycachy's."""
        self.end = 0
        """Bytes of the file that are done with: whole lines only."""
        self.mark = b""
        """The last of these bytes, to tell whether the file only grew or was replaced."""
        self.gap = b""
        """What must be written between the end of the file and a new line."""
        self.bad = 0
        """How many lines are no recordings, blank ones not counted."""
        self.first_bad = -1
        """The offset of the first of them."""
        self.foreign = False
        """Whether there is something, and nothing of it looks like a recording, not even a broken one."""
        self._known = False

    def facts(self) -> dict[str, Any]:
        """What is to be known, beside the places and where they end, to go on later."""
        return {"providers": sorted(self.providers), "bad": self.bad, "first_bad": self.first_bad}

    def resume(self, end: int, mark: bytes, facts: dict[str, Any]) -> None:
        """Go on at `end` of a file whose places are known so far; pycachy's recordings are none of them."""
        self.start = self.end = end
        self.mark = mark
        self.providers = set(facts["providers"])
        self.bad, self.first_bad = facts["bad"], facts["first_bad"]
        self._known = True

    def forget_places(self) -> None:
        """They are written down up to `end`."""
        self.places = {key: place for key, place in self.places.items() if place[0] >= self.end}
        self.gone = set()
        self.start = self.end
        self._known = True

    def feed(self, data: bytes, last: bool) -> int:
        """Take the whole lines in `data`, which starts at `end`; how many bytes they are.

        `last` says that the file ends where `data` does.
        """
        used = self._take_lines(data)
        if used:
            self.end += used
            self.mark = data[max(0, used - _MARK) : used]
        rest = data[used:]
        if last:
            self._take_tail(rest)
        known = self._known or bool(self.places) or (not last and _looks_known(rest))
        self.foreign = not known and (self.bad > 0 or bool(rest.strip()))
        return used

    def _take_lines(self, data: bytes) -> int:
        # The hot loop: a line of ours is neither parsed nor copied.
        places, base, start, provider = self.places, self.end, 0, self._provider
        while (stop := data.find(b"\n", start)) >= 0:
            ours = _OURS.match(data, start)
            if ours and data[stop - 1] == _BRACE and stop - start >= _SHORTEST:
                key = ours[1]
                if key in places:
                    del places[key]  # so that it stands at the end, as in the file
                places[key] = (base + start, stop - start)
                if not data.startswith(provider, start + _PROVIDER_AT):
                    provider = self._meet(data[start : start + 256])
            else:
                self._take_other(data[start:stop], base + start)
            start = stop + 1
        return start

    def _take_other(self, line: bytes, at: int) -> None:
        if at == 0 and line.startswith(_BOM):
            line, at = line[len(_BOM) :], len(_BOM)
        line = line.rstrip()  # among others the \r of a checkout with core.autocrlf
        if not line:
            return
        found = _OURS.match(line) or LINE.match(line)
        if found:
            self._known = True
            key = found[found.lastindex or 1]
            old = len(key) == 8
            if line == tombstone(key):
                self.pycachy -= old and key in self.places
                self.places.pop(key, None)
                if self.start:
                    self.gone.add(key)
                return
            if old and line.endswith((b"}", b'"', b"]")):
                self.pycachy += key not in self.places
                self.places.setdefault(key, (at, len(line)))
                return
            if not old and line.endswith(b"}"):
                self.places.pop(key, None)
                self.places[key] = (at, len(line))
                self._meet(line[:256])
                return
        self.bad += 1
        if self.first_bad < 0:
            self.first_bad = at

    def _meet(self, start: bytes) -> bytes:
        """Remember whose recording a line is; how a line names that provider."""
        if found := _PROVIDER.search(start):
            self.providers.add(found[1].decode("utf-8", "replace"))
            self._provider = found[0]
        return self._provider

    def _take_tail(self, tail: bytes) -> None:
        """What follows the last newline: a torn line, or a whole one that only lacks its newline."""
        self.gap = b"\n" if tail else b""
        if not tail.strip():
            return
        if _is_whole(tail):
            self._take_other(tail, self.end)
        else:
            # A torn line may happen to end in a brace; with this behind it, it cannot be taken for a whole one.
            self.gap = b"~\n"
            self._known = self._known or _looks_known(tail)


def _looks_known(start: bytes) -> bool:
    """Whether this may be the start of a recording, however short it was cut."""
    cut = len(start) < _SHORTEST and start.startswith(HEAD[: len(start)])
    return bool(start) and bool(cut or _OURS.match(start) or LINE.match(start))


def _is_whole(line: bytes) -> bool:
    import json

    text = LINE.match(line)
    try:
        json.loads(line[text.end() :] if text and text[2] else line)
        return True
    except (ValueError, RecursionError):
        return False
