"""The recording that has most in common with a request, found in a fixed time whatever the store holds.

A line begins with its request, written in one way (sorted names, no spaces), so the search compares bytes: is it
the same endpoint, and how many of the request's rarer words stand in it. Only the few best lines are parsed.
"""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Iterable
from itertools import chain, islice
from typing import Any

from ..clocks import elapsed as _clock
from ..stores import Store

BUDGET = 0.02  # seconds; the store grows, a person's patience does not
_PARSING = 0.005  # seconds of them that are kept for the best lines
_BEST = 16  # lines that are parsed
_COMPARED = 4_000  # characters of a text that are looked at to tell how alike two are
_SAMPLE = 24  # lines that tell which words are common
_WORDS = 64  # words of a request that are looked at there
_RARE = 8  # words of them that are looked for in a line
_FIRST = 3  # of these; where none of them stands, the others are not looked for
_WORD = re.compile(rb"[\w\x80-\xff]{4,24}")
_REQUEST = b'"request":'
_decoder = json.JSONDecoder()

Json = Any


class Nearest:
    """The outcome of a search: `key` and `request` of the recording, "" and {} when nothing is like it."""

    def __init__(self) -> None:
        self.key = ""
        self.request: dict[str, Any] = {}
        self.searched = 0
        """How many recordings were looked at, the newest first."""
        self.cut = False
        """Whether the time was over before all had been seen."""


def search(store: Store, asked: dict[str, Any], waited: float = 0.0) -> Nearest:
    """The recording nearest to a canonical request; `waited`: the seconds that the store took to open, which the
    person has waited already. Raises what the store raises."""
    found = Nearest()
    until = _clock() + max(0.4 * BUDGET, BUDGET - waited)
    wanted = _Wanted(asked)
    lines = reversed(store)
    sample = list(islice(lines, _SAMPLE))
    rare = wanted.rare([line for _, line in sample])
    best: list[tuple[tuple[bool, int], int, str, bytes]] = []
    for key, line in chain(sample, lines):
        # A busy machine may have taken all of the time by now; the newest few are looked at in any case.
        if found.searched >= len(sample) and _clock() > until - _PARSING:
            found.cut = True
            break
        found.searched += 1
        score = wanted.score(line, rare)
        if score and (len(best) < _BEST or score > best[0][0]):
            # Of equals the newest: it is likeliest to be what the program just changed.
            candidate = (score, -found.searched, key, line)
            (heapq.heappush if len(best) < _BEST else heapq.heapreplace)(best, candidate)
    highest = float("-inf")
    for _, _, key, line in sorted(best, reverse=True):
        if found.key and _clock() > until:
            break
        try:
            request = request_of(line)
            likeness = _likeness(request, asked)
        except (ValueError, AttributeError):  # pycachy's, or damaged
            continue
        if likeness > highest:
            highest, found.key, found.request = likeness, key, request
    return found


def request_of(line: bytes) -> dict[str, Any]:
    """The canonical request in a line, without parsing the answer. Raises ValueError."""
    at = line.find(_REQUEST)
    if at < 0:
        raise ValueError("no request")
    request, _ = _decoder.raw_decode(line[at + len(_REQUEST) :].decode())
    if not isinstance(request, dict):
        raise ValueError("not a request")
    return request


class _Wanted:
    """A request as the bytes in which a recording would hold it."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self._text = _bytes(asked)
        endpoint = {name: asked[name] for name in ("host", "method", "path") if name in asked}
        self._endpoint = _bytes(endpoint)[1:-1]
        self._body = _bytes({"body": asked["body"]})[:-1] if "body" in asked else b""

    def rare(self, sample: list[bytes]) -> list[bytes]:
        """Words of the request that tell it from most others: from a large system prompt they would tell nothing."""
        words = list(dict.fromkeys(_WORD.findall(self._text)))
        words = words[:: len(words) // _WORDS + 1]
        counts = {word: sum(word in line for line in sample) for word in words}
        rarest = sorted(words, key=counts.__getitem__)[:_RARE]
        return rarest[::3] + rarest[1::3] + rarest[2::3]  # neighbours may be one changed phrase

    def score(self, line: bytes, rare: list[bytes]) -> tuple[bool, int] | None:
        """How alike a line seems to be, or None when it is another endpoint and another body."""
        start = line.find(_REQUEST, 0, 512) + len(_REQUEST)
        end = line.find(self._endpoint, start)
        if end >= 0:
            found = sum([line.find(word, start, end) >= 0 for word in rare[:_FIRST]])
            if found:
                found += sum([line.find(word, start, end) >= 0 for word in rare[_FIRST:]])
            return True, found
        # The same question elsewhere: another model or version in the path, another port.
        return (False, 0) if self._body and line.startswith(self._body, start) else None


def _bytes(value: Json) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def _likeness(theirs: dict[str, Any], ours: dict[str, Any]) -> float:
    """How much two requests share: equal leaves count one, texts by the words they share."""
    same_place = all(theirs.get(name) == ours.get(name) for name in ("method", "host", "path"))
    score = 1000.0 if same_place else 0.0
    one, other = dict(leaves(theirs)), dict(leaves(ours))
    for path in one.keys() | other.keys():
        left, right = one.get(path), other.get(path)
        if left == right and path in one and path in other:
            score += 1
        elif isinstance(left, str) and isinstance(right, str):
            score += shared_words(left, right)
        else:
            score -= 0.5
    return score


def shared_words(one: str, other: str) -> float:
    """From 0 to 1: how many of the words of two texts stand in both."""
    first, second = set(one[:_COMPARED].split()), set(other[:_COMPARED].split())
    return len(first & second) / (len(first | second) or 1)


def leaves(value: Json, path: tuple[str | int, ...] = ()) -> Iterable[tuple[tuple[str | int, ...], Json]]:
    """Each value that is no container, or an empty one, with the way to it."""
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from leaves(item, (*path, name))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value
