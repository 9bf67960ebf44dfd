"""What may be behind a difference that looks volatile (a date, a random name), and the setting that cures it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from ..errors import Change
from ..patterns import NAMED
from .difference import common_ends

_CONTEXT = 64  # characters on either side of a difference, within which what it belongs to begins and ends
_LONGEST = 20_000  # characters that differ, above which it is no date that differs


class _Kind(NamedTuple):
    what: str
    pattern: re.Pattern[str]
    rule: str
    """The part of an entry of `ignore` behind the path."""


_KINDS = (
    *(
        _Kind(what, re.compile(NAMED[name]), f":{name}")
        for what, name in (("a UUID", "uuid"), ("a date or time", "date"), ("a temporary path", "tmp-path"))
    ),
    _Kind("a memory address", re.compile(r"\b0x[0-9a-fA-F]{6,16}\b"), r":/0x[0-9a-fA-F]+/"),
    _Kind(
        "a home directory",
        re.compile(r"(?:/home|/Users)/[^/\s\"']+|[A-Za-z]:\\Users\\[^\\\s\"']+"),
        r":/(?:/home|/Users|[A-Z]:\\Users)[/\\][^/\\\s]+/",
    ),
    _Kind(
        "a port",
        re.compile(r"(?<=//localhost:)\d{2,5}\b|(?<=//127\.0\.0\.1:)\d{2,5}\b|(?<=//0\.0\.0\.0:)\d{2,5}\b"),
        r":/(?:localhost|127\.0\.0\.1|0\.0\.0\.0):\d+/",
    ),
    _Kind(
        "a random identifier",
        # Letters and digits of hexadecimal, or a number too long to be a quantity.
        re.compile(r"(?<![0-9a-zA-Z])(?=[0-9a-f]*\d)(?=\d*[a-f]|\d{16})[0-9a-f]{8,64}(?![0-9a-zA-Z])"),
        r":/\b[0-9a-f]{8,64}\b/",
    ),
)
_MOST = 3  # entries that name each place for itself
_DIGEST = "blake2b:"  # stands in a canonical request for contents that are not kept
_INDEX = re.compile(r"\[\d+\]")
_PORT = re.compile(r":\d{1,5}$")


class Guess(NamedTuple):
    """A cause, in words, and the lines of settings that cure it."""

    what: str
    setting: str
    values: tuple[str, ...]
    """The entries of that setting."""

    @property
    def line(self) -> str:
        """As it stands in `[tool.cachy]`."""
        return f"{self.setting} = [{', '.join(map(_quoted, self.values))}]"


def guess(changes: Sequence[Change]) -> Guess | None:
    """What explains all the differences, or None: one that is left would be a miss all the same."""
    found: dict[str, None] = {}
    entries: list[str] = []
    for change in changes:
        if change.kind != "changed":
            return None
        if change.path == "host" and len(changes) == 1:
            return _other_port(change)
        kinds = _kinds_of(change)
        if not kinds or change.path in ("method", "host", "path"):
            return None
        found.update(dict.fromkeys(kind.what for kind in kinds))
        entries += [f"{change.path}{kind.rule}" for kind in kinds]
    if len(entries) > _MOST:  # a conversation grows, and with it the messages that say the date
        entries = [
            _INDEX.sub("[*]", entry.partition(":")[0]) + "".join(entry.partition(":")[1:])
            for entry in entries
        ]
    return Guess(" and ".join(found), "ignore", tuple(dict.fromkeys(entries))) if entries else None


def _other_port(change: Change) -> Guess | None:
    one, other = str(change.recorded), str(change.asked)
    if _PORT.sub("", one) != _PORT.sub("", other):
        return None
    return Guess("another port", "hosts", (_PORT.sub("", other) + ":*",))


def _kinds_of(change: Change) -> list[_Kind]:
    """The kinds that, left out of both values, leave them the same; empty when nothing does."""
    one, other = change.recorded, change.asked
    if _is_time(one) and _is_time(other):
        return [_Kind("a time", re.compile(""), "")]
    if not (isinstance(one, str) and isinstance(other, str)):
        return []
    if one.startswith(_DIGEST) and other.startswith(_DIGEST):
        return []  # other contents, however random a digest looks: to ignore them would replay one file for another
    start, end = common_ends(one, other)
    low, high = max(0, start - _CONTEXT), max(0, end - _CONTEXT)
    one, other = one[low : len(one) - high], other[low : len(other) - high]
    if max(len(one), len(other)) > _LONGEST or not _same_without(_KINDS, one, other):
        return []
    needed = list(_KINDS)
    for kind in _KINDS[::-1]:
        fewer = [other_kind for other_kind in needed if other_kind is not kind]
        if _same_without(fewer, one, other):
            needed = fewer
    return needed


def _same_without(kinds: Sequence[_Kind], one: str, other: str) -> bool:
    for kind in kinds:
        one, other = kind.pattern.sub("\0", one), kind.pattern.sub("\0", other)
    return one == other


def _is_time(value: object) -> bool:
    """Whether a number may be seconds or milliseconds since 1970, of the years 2001 to 2100."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return 1e9 <= value < 4.2e9 or 1e12 <= value < 4.2e12


def _quoted(text: str) -> str:
    """As TOML writes a string."""
    return (
        f"'{text}'"
        if "\\" in text and "'" not in text
        else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    )
