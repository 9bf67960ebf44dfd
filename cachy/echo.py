"""What a client makes up anew in every run: taken out of requests, and put back where an answer repeats it.

A provider's normaliser tells `Made` which fields of a body are of this kind. Ids that only tie the parts of one
request together are renumbered; fields that are for the provider's records alone are dropped. When an answer
repeats one of them, its recording says so in `echo`, and a replay has what the present request holds in its place.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from .exchange import Echo, Response

if TYPE_CHECKING:
    from .keys import Canonical

_TELLING = 6  # characters: a shorter id ("0", "call1") may stand in an answer by chance


class Made:
    """What was found in one request: handed to `Provider.normalise` together with the body."""

    __slots__ = ("dropped", "numbers")

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.dropped: dict[str, str] = {}

    def renumber(self, holder: Any, name: str, among: frozenset[str] | None = None) -> None:
        """`holder[name]` is an id that the client is free to choose (one of `among`): its number of first
        appearance stands for it, so that different ids stay different and the same stays the same."""
        value = holder.get(name) if isinstance(holder, dict) else None
        if value and isinstance(value, str) and (among is None or value in among):
            numbers = self.numbers
            number = numbers.get(value)
            if number is None:
                number = numbers[value] = len(numbers) + 1
            holder[name] = f"‹id {number}›"

    def drop(self, holder: Any, *names: str) -> None:
        """The fields `names` of `holder` never change what is answered."""
        if isinstance(holder, dict):
            for name in names:
                value = holder.pop(name, None)
                if isinstance(value, str):
                    self.dropped.setdefault(name, value)


def find(response: Response, wanted: Canonical) -> Echo:
    """What the answer, as it is going to be recorded, repeats of the request."""
    if not (wanted.ids or wanted.dropped) or not _is_text(response):
        return ()
    facts: list[tuple[int | str, str]] = [
        (number, text) for number, text in enumerate(wanted.ids, 1) if len(text) >= _TELLING
    ]
    facts += sorted(wanted.dropped.items())
    return tuple(
        (name, text)
        for name, text in facts
        # What stands elsewhere in the request too is a word that the model has read.
        if json.dumps(text)[1:-1] not in wanted.text
        and any(re.search(pattern, response.body) for pattern, _ in _places(name, text))
    )


def put_back(response: Response, wanted: Canonical) -> Response:
    """The recorded answer with the ids and fields of the present request in the place of the recorded ones."""
    rules: list[_Rule] = []
    for name, text in response.echo:
        live = _live(name, wanted.ids, wanted.dropped)
        if live != text:
            rules += [_Rule(pattern, len(old), live, name) for pattern, old in _places(name, text)]
    if not rules:
        return response
    edits: list[_Edit] = []

    def edit(match: re.Match[bytes]) -> bytes:
        rule = rules[(match.lastindex or 1) - 1]
        new = _written(rule.live, isinstance(rule.name, int))
        edits.append(_Edit(match.end() - rule.length, match.end(), len(new)))
        return match.group()[: -rule.length] + new

    # All at once: what one id is replaced by may be another one's old text.
    body = re.sub(b"|".join(b"(%s)" % rule.pattern for rule in rules), edit, response.body)
    size = str(len(response.body)).encode()
    headers = tuple(
        (name, str(len(body)) if name == "content-length" and value.encode() == size else value)
        for name, value in response.headers
    )
    return replace(response, body=body, headers=headers, chunks=_moved(response.chunks, edits))


class _Rule(NamedTuple):
    pattern: bytes
    length: int  # of what is replaced, at the end of a match
    live: str | None
    name: int | str


class _Edit(NamedTuple):
    start: int
    end: int
    length: int  # of the new text


def _places(name: int | str, text: str) -> list[tuple[bytes, bytes]]:
    """Where an answer may hold `text`: (regular expression, the bytes at the end of a match to replace)."""
    found = []
    for ascii_only in (True, False):
        whole = json.dumps(text, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        if isinstance(name, int):
            # Cohere cites the first document of a tool's result as `<tool call id>:0`.
            old = whole[:-1]
            place = (re.escape(old) + b'(?=[":])', old)
        else:
            field = re.escape(json.dumps(name).encode())
            place = (field + rb"\s*:\s*" + re.escape(whole), whole)
        if place not in found:
            found.append(place)
    return found


def _live(name: int | str, ids: tuple[str, ...], dropped: Mapping[str, str]) -> str | None:
    # Equal keys have equally many ids.
    return ids[name - 1] if isinstance(name, int) else dropped.get(name)


def _written(live: str | None, open_ended: bool) -> bytes:
    text = json.dumps(live).encode()
    return text[:-1] if open_ended else text


def _moved(chunks: tuple[tuple[int, int], ...], edits: list[_Edit]) -> tuple[tuple[int, int], ...]:
    """The chunks of an edited body: each ends where it ended, at the latest where a text cut by its end does."""
    starts = [edit.start for edit in edits]
    shifts = [0, *accumulate(edit.length - (edit.end - edit.start) for edit in edits)]

    def moved(edge: int) -> int:
        index = bisect_right(starts, edge) - 1
        if index >= 0 and edge < edits[index].end:
            return edits[index].start + shifts[index] + min(edge - edits[index].start, edits[index].length)
        return edge + shifts[index + 1]

    edges = [moved(edge) for edge in accumulate(length for _, length in chunks)]
    return tuple((ms, end - start) for (ms, _), start, end in zip(chunks, [0, *edges], edges, strict=False))


def _is_text(response: Response) -> bool:
    # Not binary frames (Amazon's event streams), which hold lengths and checksums of themselves.
    kind = response.header("content-type").partition(";")[0].strip().lower()
    return kind.startswith("text/") or "json" in kind


Normalise = Callable[[Any, Made], Any]
"""See `Provider.normalise`."""
