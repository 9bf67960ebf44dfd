"""The patterns that `ignore` knows by name, and regular expressions of a project's own that cannot hang a program.

Python's `re` can take for ever on a short text when an expression can be tried on it in many ways. So one is taken
only when there are few, whatever the text; and it sees one line at a time, in pieces of at most 500 characters, and
no text of more than 100,000.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

IGNORED = "‹ignored›"
_PIECE = 500
_PIECES = re.compile(rf"[^\n]{{1,{_PIECE}}}")
_LONGEST = 100_000
_MOST_WORK = 10 * _PIECE  # steps from one place in a piece

_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?"
    r"|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\.?"
)
_WEEKDAY = r"(?:(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?\.?,? )?"
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_TIME = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?: ?[AaPp]\.?[Mm]\b\.?)?(?: ?(?:Z\b|UTC\b|GMT\b|[+-]\d{2}:?\d{2}\b))?"
_WRITTEN = (
    r"\d{4}/\d{1,2}/\d{1,2}|\d{1,2}[/.]\d{1,2}[/.]\d{2,4}"
    rf"|{_WEEKDAY}{_MONTH} {_DAY}(?:,? \d{{4}})?\b|{_WEEKDAY}{_DAY} (?:of )?{_MONTH}(?:,? \d{{4}})?\b"
)
_AND_TIME = rf"(?:(?:T|,? |,? at ){_TIME})?"
NAMED = {
    # An ISO date is one in the name of a file too; what is written in other ways stands alone.
    "date": (
        rf"(?<!\d)(?:\d{{4}}-\d{{2}}-\d{{2}}{_AND_TIME}|\d{{8}}T\d{{4,6}}Z?)(?!\d)"
        rf"|(?<![\w./:-])(?:(?:{_WRITTEN}){_AND_TIME}|{_TIME})(?![\w:-])"
    ),
    "uuid": r"(?i)(?<![0-9a-z])(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32})(?![0-9a-z])",
    # Down to the part that is new in each run; what lies in it keeps its name.
    "tmp-path": (
        r"(?<![\w.])(?:/private)?(?:/var/folders/[^/\s]+/[^/\s]+/T|/var/tmp|/tmp)/(?:pytest-of-[^/\s]+/pytest-\d+|[^/\s\"'`,;:<>|)\]}]+)"
        r"|[A-Za-z]:[\\/]+(?:[^\\/\s]+[\\/]+){1,8}?Te?mp[\\/]+(?:pytest-of-[^\\/\s]+[\\/]+pytest-\d+|[^\\/\s\"'`,;:<>|)\]}]+)"
    ),
}
"""The expression of each pattern that has a name."""


def substitute(pattern: str) -> Callable[[str], str]:
    """The function that marks in a text what `pattern` matches. Raises ValueError when it is none."""
    if pattern in NAMED:
        marker, known = f"‹{pattern}›", re.compile(NAMED[pattern])
        return lambda text: known.sub(marker, text)
    if len(pattern) < 3 or pattern[0] != "/" or pattern[-1] != "/":
        raise ValueError(f"{pattern!r} is no pattern: use {', '.join(NAMED)} or /a regular expression/")
    expression = _checked(pattern[1:-1])

    def by_pieces(text: str) -> str:
        if len(text) > _LONGEST:
            return text
        return _PIECES.sub(lambda piece: expression.sub(_marker, piece.group()), text)

    return by_pieces


def _marker(match: re.Match[str]) -> str:
    return IGNORED if match.group() else ""


def _checked(text: str) -> re.Pattern[str]:
    parser: Any = import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expression, tree = re.compile(text), parser.parse(text)
    except (re.error, OverflowError, RecursionError) as problem:
        raise ValueError(f"/{text}/ is no regular expression ({problem})") from None
    if _cost(tree, ends=True).work > _MOST_WORK:
        raise ValueError(
            rf"/{text}/ could take very long: let what is repeated not be repeated again, and bound it, as in \d{{1,9}}"
        )
    return expression


class _Cost(NamedTuple):
    """The most that an expression can take from one place in a piece, at the worst that a text can be."""

    ways: int  # in which it can match there
    work: int  # steps until all of them are tried


def _cost(tree: Any, ends: bool = False) -> _Cost:
    """`ends`: nothing comes after it, so that a repetition at its end is not tried at other lengths."""
    ways, work = 1, 0
    items = list(tree)
    for index, (kind, facts) in enumerate(items):
        after = items[index + 1] if index + 1 < len(items) else None
        one = _cost_of(str(kind), facts, after, ends and after is None)
        work += ways * one.work
        ways *= one.ways
        if work > _MOST_WORK:
            break
    return _Cost(ways, work)


def _cost_of(kind: str, facts: Any, after: Any, ends: bool) -> _Cost:
    if kind.endswith("_REPEAT"):
        least, most = (min(int(times), _PIECE) for times in facts[:2])
        inner = _cost(facts[2])
        if inner.ways > 1:
            # Far too many soon, so there is no need to count to the end.
            ways = sum(inner.ways**times for times in range(least, min(most, least + 13) + 1))
            return _Cost(ways, ways * inner.work)
        single = len(facts[2]) == 1 and str(facts[2][0][0]) in _SINGLE
        determined = single and (ends or _stopped(facts[2][0], after))
        return _Cost(1 if determined else most - least + 1, most * inner.work)
    if kind in ("BRANCH", "GROUPREF_EXISTS"):
        costs = [
            _cost(branch) for branch in (facts[1] if kind == "BRANCH" else facts[1:]) if branch is not None
        ]
        return _Cost(sum(cost.ways for cost in costs), sum(cost.work for cost in costs))
    if kind in ("SUBPATTERN", "ASSERT", "ASSERT_NOT"):
        return _cost(facts[-1])
    if kind == "ATOMIC_GROUP":
        return _cost(facts)
    return _Cost(1, _PIECE if kind.startswith("GROUPREF") else 1)


_SINGLE = ("LITERAL", "NOT_LITERAL", "ANY", "IN")
_CATEGORIES = {"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w"}


def _stopped(repeated: Any, after: Any) -> bool:
    """Whether a repeated character cannot be the sign that comes after it: then it ends in one place only."""
    if after is None or str(after[0]) != "LITERAL" or chr(after[1]).isalpha():  # letters have cases
        return False
    return not _takes(str(repeated[0]), repeated[1], after[1])


def _takes(kind: str, facts: Any, sign: int) -> bool:
    if kind == "LITERAL":
        return bool(facts == sign)
    if kind == "NOT_LITERAL":
        return bool(facts != sign)
    if kind == "RANGE":
        return bool(facts[0] <= sign <= facts[1])
    if kind == "CATEGORY":
        name = str(facts).removeprefix("CATEGORY_")
        pattern = _CATEGORIES.get(name.removeprefix("NOT_"))
        return pattern is None or bool(re.match(pattern, chr(sign))) is not name.startswith("NOT_")
    if kind == "IN":
        negated = str(facts[0][0]) == "NEGATE"
        return any(_takes(str(one), more, sign) for one, more in facts[negated:]) is not negated
    return True
