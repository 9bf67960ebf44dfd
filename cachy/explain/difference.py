"""What differs between two requests, as data and as lines for people.

Lists are aligned before they are compared, so that a message put into the middle of a conversation is one
insertion; of a text only the words that differ are shown, as `{-recorded-}{+asked+}`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from difflib import SequenceMatcher
from itertools import chain, groupby, islice
from typing import Any

from ..errors import Change
from ..notices import printable
from .nearest import leaves

Json = Any

_MOST = 100  # differences that are looked for
_SPOTS = 4  # that are shown of one text
_AROUND = 24  # characters of context on either side of a spot
_SHOWN = 80  # characters of a value that is shown by itself, or of one side of a spot
_LONG = 500  # characters of a text of which it helps to say where it differs
_COMPARED = 40_000  # characters of a text, from where it differs, within which the other spots are looked for
_WINDOW = 400  # words within which two texts must meet again
_MEETING = 4  # words that must be the same for that
_ALIGNED = 400  # pairs of items that are weighed against each other
_LISTED = 1000  # items of a list above which items are compared in their order
# A date, a path or an identifier is one word: its halves would tell nobody what changed.
_TOKEN = re.compile(r"\s+|\w(?:[\w.:/@+\\-]*\w)?|[^\w\s]")
_WITHIN = re.compile(r"[\w.:/@+\\-]")
_IDEOGRAPHS = "\u2e80"  # from here on there are no spaces between words (Chinese, Japanese, Korean)
_WORD = re.compile(r"\w+")

Spot = tuple[str, str, str, str]
"""The words before, those recorded, those asked now, and the words behind."""


def view(request: dict[str, Any]) -> dict[str, Any]:
    """A canonical request as people know it: body fields, query and headers by name."""
    shown = {name: request[name] for name in request if name not in ("query", "headers", "body")}
    shown["query"] = _by_name(request.get("query", []))
    shown["header"] = request.get("headers", {})
    body = request.get("body", {})
    if isinstance(body, dict):
        if "json" in body and "type" in body:
            shown["header"] = {**shown["header"], "content-type": body["type"]}
        # Not the form in which a body is kept, but what is in it.
        body = body.get("json", _by_name(body["form"]) if "form" in body else body.get("multipart", body))
    shown["body"] = body
    return shown


def _by_name(pairs: Json) -> Json:
    try:
        named = dict(pairs)
    except (TypeError, ValueError):
        return pairs
    return named if len(named) == len(pairs) else pairs


def changes(recorded: dict[str, Any], asked: dict[str, Any]) -> list[Change]:
    """The differences between two canonical requests, in the order of the request."""
    theirs, ours = view(recorded), view(asked)
    compared = (_compare("" if name == "body" else name, theirs.get(name), ours[name]) for name in ours)
    return list(islice(chain.from_iterable(compared), _MOST))


def _compare(path: str, theirs: Json, ours: Json) -> Iterator[Change]:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in [*ours, *(name for name in theirs if name not in ours)]:
            at = _step(path, name)
            if name not in theirs:
                yield Change(at, "added", None, ours[name])
            elif name not in ours:
                yield Change(at, "removed", theirs[name], None)
            else:
                yield from _compare(at, theirs[name], ours[name])
    elif isinstance(theirs, list) and isinstance(ours, list) and theirs and ours:
        for left, right in _aligned(theirs, ours):
            if left is None and right is not None:
                yield Change(f"{path}[{right}]", "added", None, ours[right])
            elif right is None and left is not None:
                yield Change(f"{path}[{left}]", "removed", theirs[left], None)
            elif left is not None and right is not None:
                yield from _compare(f"{path}[{right}]", theirs[left], ours[right])
    elif not _same(theirs, ours):
        yield Change(path, "changed", theirs, ours)


def _same(one: Json, other: Json) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)  # 1 is not true


def _step(path: str, name: str) -> str:
    if not name.isidentifier() and not re.fullmatch(r"[\w-]+", name):
        return f"{path}[{name!r}]"
    return f"{path}.{name}" if path else name


Pair = tuple[int | None, int | None]


def _aligned(theirs: list[Json], ours: list[Json]) -> Iterator[Pair]:
    """Which item of one list stands for which of the other; None: it has no counterpart."""
    if max(len(theirs), len(ours)) > _LISTED:
        yield from ((i if i < len(theirs) else None, i if i < len(ours) else None) for i in range(_LISTED))
        return
    start = _common(theirs, ours)
    end = min(_common(theirs[::-1], ours[::-1]), len(theirs) - start, len(ours) - start)
    lefts, rights = range(start, len(theirs) - end), range(start, len(ours) - end)
    if len(lefts) * len(rights) <= _ALIGNED:
        yield from _weighed(theirs, ours, lefts, rights)
    else:
        matcher = SequenceMatcher(None, [repr(theirs[i]) for i in lefts], [repr(ours[i]) for i in rights])
        for _, i, i_end, j, j_end in matcher.get_opcodes():
            for step in range(max(i_end - i, j_end - j)):
                left = lefts[i + step] if i + step < i_end else None
                yield left, rights[j + step] if j + step < j_end else None


def _weighed(theirs: list[Json], ours: list[Json], lefts: range, rights: range) -> Iterator[Pair]:
    """The alignment whose pairs are most alike."""
    left_words, right_words = [_words(theirs[i]) for i in lefts], [_words(ours[j]) for j in rights]
    gains = [
        [_alike(theirs[i], ours[j], one, other) for j, other in zip(rights, right_words, strict=True)]
        for i, one in zip(lefts, left_words, strict=True)
    ]
    best = [[0.0] * (len(rights) + 1) for _ in range(len(lefts) + 1)]
    for i in reversed(range(len(lefts))):
        for j in reversed(range(len(rights))):
            best[i][j] = max(gains[i][j] + best[i + 1][j + 1], best[i + 1][j], best[i][j + 1])
    i = j = 0
    while i < len(lefts) or j < len(rights):
        if i < len(lefts) and j < len(rights) and best[i][j] == gains[i][j] + best[i + 1][j + 1]:
            yield lefts[i], rights[j]
            i, j = i + 1, j + 1
        elif j >= len(rights) or (i < len(lefts) and best[i][j] == best[i + 1][j]):
            yield lefts[i], None
            i += 1
        else:
            yield None, rights[j]
            j += 1


def _words(item: Json) -> set[str]:
    texts = [value for _, value in leaves(item) if isinstance(value, str)]
    return set(_WORD.findall(" ".join(texts)[:_COMPARED]))


def _alike(one: Json, other: Json, words: set[str], others: set[str]) -> float:
    if one == other:
        return 2.0
    if isinstance(one, dict) and isinstance(other, dict):
        if any(one.get(name) != other.get(name) for name in ("role", "type", "name")):
            return 0.0
    elif type(one) is not type(other):
        return 0.0
    return len(words & others) / (len(words | others) or 1)


def _common(one: list[Json], other: list[Json]) -> int:
    """How many items two lists begin with in common."""
    index = 0
    for left, right in zip(one, other, strict=False):
        if not _same(left, right):
            break
        index += 1
    return index


def line_of(change: Change) -> str:
    """A difference in one line: `~ changed`, `+ only asked now`, `- only recorded`."""
    if change.kind == "added":
        return f"+ {change.path}: {show(change.asked)}"
    if change.kind == "removed":
        return f"- {change.path}: {show(change.recorded)}"
    one, other = change.recorded, change.asked
    if not (isinstance(one, str) and isinstance(other, str)):
        return f"~ {change.path}: {show(one)} -> {show(other)}"
    start, found, more = spots(one, other)
    if not more and len(found) == 1 and not found[0][0] and not found[0][3]:
        return f"~ {change.path}: {show(one)} -> {show(other)}"  # nothing of it stayed
    where = f" (at character {start} of {len(other)})" if len(other) > _LONG else ""
    return f"~ {change.path}: {_marked(found)}{' …' if more else ''}{where}"


def show(value: Json) -> str:
    """A value in at most 80 characters."""
    text = repr(value[: 2 * _SHOWN] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "…"


def spots(one: str, other: str) -> tuple[int, list[Spot], bool]:
    """Where two texts differ: the first character of it in `other`, at most four spots, whether there are more."""
    start, end = common_ends(one, other)
    left = _tokens(one[start : len(one) - end][:_COMPARED])
    right = _tokens(other[start : len(other) - end][:_COMPARED])
    found: list[Spot] = []
    before = one[max(0, start - 2 * _AROUND) : start]
    i = j = 0
    more = False
    while i < len(left) or j < len(right):
        if len(found) == _SPOTS:
            more = True
            break
        di, dj = _meeting(left[i:], right[j:])
        changed = "".join(left[i : i + di]), "".join(right[j : j + dj])
        i, j = i + di, j + dj
        same = _common(left[i:], right[j:])
        behind = "".join(left[i : i + same])
        i, j = i + same, j + same
        if i >= len(left) and j >= len(right):
            behind += one[len(one) - end :][: 3 * _AROUND]
        found.append((before, *changed, behind))
        before = behind
    return start, found, more or max(len(one), len(other)) - start - end > _COMPARED


def common_ends(one: str, other: str) -> tuple[int, int]:
    """How many characters two texts begin and end with in common, whole words of them."""
    size = min(len(one), len(other))
    start = _longest(size, lambda n: one.startswith(other[:n]))
    end = _longest(size - start, lambda n: n == 0 or one.endswith(other[-n:]))
    # A difference within a word is a difference of the word.
    while start and _within_word(one[start - 1]):
        start -= 1
    while end and _within_word(one[len(one) - end]):
        end -= 1
    return start, end


def _within_word(char: str) -> bool:
    return char < _IDEOGRAPHS and _WITHIN.match(char) is not None


def _tokens(text: str) -> list[str]:
    tokens = _TOKEN.findall(text)
    if text.isascii() or max(text) < _IDEOGRAPHS:
        return tokens
    finer: list[str] = []
    for token in tokens:
        for wide, run in groupby(token, lambda char: char >= _IDEOGRAPHS):
            piece = "".join(run)
            finer += piece if wide else [piece]
    return finer


def _longest(most: int, holds: Callable[[int], bool]) -> int:
    """The largest number up to `most` for which something holds that holds for all smaller ones."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low


def _meeting(left: list[str], right: list[str]) -> tuple[int, int]:
    """After how many words on either side two texts go on alike."""
    places: dict[tuple[str, ...], int] = {}
    for j in reversed(range(min(_WINDOW, len(right)))):
        places[tuple(right[j : j + _MEETING])] = j
    best = None
    for i in range(min(_WINDOW, len(left))):
        if best and i >= sum(best):
            break
        j = places.get(tuple(left[i : i + _MEETING]), -1)
        if j >= 0 and (best is None or i + j < sum(best)):
            best = i, j
    return best or (len(left), len(right))


def _marked(found: list[Spot]) -> str:
    """The spots with the words around them: `…report of {-2026-11-21-}{+2026-11-22+} for…`."""
    text = _end_of(found[0][0])
    for index, (_, recorded, asked, behind) in enumerate(found):
        text += (f"{{-{_inner(recorded)}-}}" if recorded else "") + (
            f"{{+{_inner(asked)}+}}" if asked else ""
        )
        if index + 1 == len(found):
            text += _start_of(behind)
        else:
            text += behind if len(behind) <= 2 * _AROUND else f"{_start_of(behind)}{_end_of(behind)[1:]}"
    return printable(text)


def _start_of(text: str) -> str:
    if len(text) <= _AROUND:
        return text
    cut = text[:_AROUND]
    return (cut.rpartition(" ")[0] or cut) + " …"


def _end_of(text: str) -> str:
    if len(text) <= _AROUND:
        return text
    cut = text[-_AROUND:]
    return "… " + (cut.partition(" ")[2] or cut)


def _inner(text: str) -> str:
    half = _SHOWN // 2
    return text if len(text) <= _SHOWN else f"{text[:half]}…{text[-half:]}"
