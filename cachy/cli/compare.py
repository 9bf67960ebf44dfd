"""`cachy diff`: why two requests are not the same recording."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from ..explain import misses
from ..explain.difference import changes, line_of
from ..explain.guess import guess
from ..report import terminal
from ..report.entry import ignored
from ..stores import Store
from . import shelf
from .talk import Problem, emit, line, say

_MISS = re.compile(r"@last(?:~(\d{1,4}))?")
_STYLES = {"+": "green", "-": "red", "~": ""}


class _Side(NamedTuple):
    """A request: a recorded one, or one that was missed (`at` tells when)."""

    name: str
    key: str
    request: dict[str, Any]
    at: str
    nearest: str = ""


def diff(argv: list[str]) -> int:
    """`cachy diff A B`: 0 when they are the same request, 1 when they differ."""
    parser = shelf.parser(
        "diff",
        "Show why two requests are not the same recording. A and B are keys, or @last for the last request that was"
        " refused in replay mode (@last~1 for the one before it). B alone is compared with its nearest recording.",
        "  cachy diff 8d1614 5e20aa\n  cachy diff 8d1614 @last\n  cachy diff @last",
    )
    parser.add_argument("a", metavar="A", help="the recorded one")
    parser.add_argument("b", metavar="B", nargs="?", help="what was asked")
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(argv)
    store = shelf.opened(options)
    if options.b is None:
        asked = _side(store, options.a)
        if not asked.nearest:
            raise Problem(f"{options.a} is to be compared with what? Name a second key")
        recorded = _side(store, asked.nearest)
    else:
        recorded, asked = _side(store, options.a), _side(store, options.b)
    differing = changes(recorded.request, asked.request)
    cause = guess(differing)
    if options.json:
        emit(
            {
                "a": _facts(recorded),
                "b": _facts(asked),
                "changes": [change._asdict() for change in differing],
                "guess": {"what": cause.what, "setting": cause.line} if cause else None,
            }
        )
        return 1 if differing or recorded.key != asked.key else 0
    line(("- ", "red"), _told(recorded))
    line(("+ ", "green"), _told(asked))
    for change in differing:
        text = line_of(change)
        line("  ", (text, _STYLES[text[0]]))
    if cause:
        line(f"  looks volatile ({cause.what}), would be cured by: {cause.line}")
    if differing:
        return 1
    if recorded.key != asked.key:
        say("the requests are the same, the keys are not: other rules made one of them; see `cachy rekey`")
        return 1
    say("no difference")
    return 0


def _side(store: Store, name: str) -> _Side:
    found = _MISS.fullmatch(name)
    if not found:
        entry = shelf.find(store, name)
        try:
            entry.check()
        except ValueError as problem:
            raise Problem(f"recording {entry.key[:8]} is damaged ({problem})") from None
        if not entry.form:
            raise Problem(f"{name} is a recording of pycachy, which kept no request")
        return _Side(name, entry.key, entry.form, entry.at)
    number = int(found[1] or 0)
    missed = misses.last(store.url, number + 1)
    if len(missed) <= number:
        raise Problem(f"{name}: no such miss is remembered for {terminal.place(store.url)}")
    facts = missed[number]
    if not facts.get("request"):
        raise Problem(f"{name}: its request was too large to be remembered")
    return _Side(
        name,
        str(facts.get("key", "")),
        facts["request"],
        str(facts.get("at", "")),
        facts.get("nearest") or "",
    )


def _facts(side: _Side) -> dict[str, Any]:
    return {"name": side.name, "key": side.key, "at": side.at or None, "ignored": ignored(side.request)}


def _told(side: _Side) -> str:
    what = "missed" if side.name.startswith("@") else "recorded"
    return f"{what} {side.at}  {side.key[:8]}  {side.request.get('method', '')} {side.request.get('host', '')}{side.request.get('path', '')}"
