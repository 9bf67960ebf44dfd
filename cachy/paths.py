"""Paths into JSON: the part of JSONPath (RFC 9535) that names places without looking at values.

    $.metadata.started_at      a member; the leading `$.` may be left out
    $['started at']["it's"]    a member whose name is no plain word (letters, digits, `_`, `-`)
    $.messages[0], [-1]        an element, from the front or from the end
    $.messages[*], $.input.*   every element or member
    $..run_id, $..[0], $..*    at any depth

Filters, slices and several selectors in one bracket are not understood. The libraries for all of RFC 9535 need
compiled extensions, which is too much for what stands in every SDK's environment.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Change = Callable[[Any], Any]
"""From the value at a path to what is to stand there."""

_STEP = re.compile(
    r"""(?P<deep>\.(?=\.))?
        (?: \.(?P<name>[\w-]+|\*)
          | (?(deep)\.)\[\s*(?: (?P<any>\*) | (?P<index>-?[0-9]{1,9})
              | '(?P<single>(?:[^'\\]|\\['"\\])*)' | "(?P<double>(?:[^"\\]|\\['"\\])*)" )\s*\] )
    """,
    re.VERBOSE,
)


class Path:
    """One path, as its text says."""

    __slots__ = ("_steps", "text")

    def __init__(self, text: str) -> None:
        """Raises ValueError with a few words on what is wrong."""
        self.text = text
        self._steps: list[_Step] = []
        rest = text.strip()
        if not rest:
            raise ValueError("a path is missing")
        if not rest.startswith(("$", "[", ".")):
            rest = "." + rest
        at = len("$") if rest.startswith("$") else 0
        while at < len(rest):
            found = _STEP.match(rest, at)
            if not found:
                raise ValueError(f"{rest[at:]!r} is not understood (see cachy's docs/keys.md for paths)")
            self._steps.append(_Step(found))
            at = found.end()

    def change(self, value: Any, change: Change) -> Any:
        """`value` with `change` made at each place that the path names; its own containers are changed."""
        return _change(value, self._steps, 0, change)


class _Step:
    """One member, element, or all of them; `deep`: here and anywhere below."""

    __slots__ = ("deep", "selector")

    def __init__(self, found: re.Match[str]) -> None:
        self.deep = found["deep"] is not None
        name = found["name"]
        self.selector: str | int | None = name
        if name == "*" or found["any"]:
            self.selector = None
        elif found["index"]:
            self.selector = int(found["index"])
        elif name is None:
            quoted = found["single"] if found["single"] is not None else found["double"]
            self.selector = re.sub(r"\\(.)", r"\1", quoted)

    def places(self, value: Any) -> list[Any]:
        """The names or indices in `value`, a container or not, that the step selects."""
        wanted = self.selector
        if isinstance(value, dict):
            return list(value) if wanted is None else [wanted] if wanted in value else []
        if isinstance(value, list):
            if wanted is None:
                return list(range(len(value)))
            if isinstance(wanted, int) and -len(value) <= wanted < len(value):
                return [wanted]
        return []


def _change(value: Any, steps: list[_Step], at: int, change: Change) -> Any:
    if at == len(steps):
        return change(value)
    step = steps[at]
    if step.deep:
        # The deepest first: what is changed above is not looked into any more.
        for place in _all(value):
            if isinstance(value[place], (dict, list)):
                value[place] = _change(value[place], steps, at, change)
    for place in step.places(value):
        value[place] = _change(value[place], steps, at + 1, change)
    return value


def _all(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value)
    return list(range(len(value))) if isinstance(value, list) else []
