"""What a project does not want to count, as the setting `ignore` says it: `path` or `path:pattern`.

    messages[*].content:date      dates in the texts at this path of a JSON body (see `cachy.paths`)
    $..run_id                     the whole value, wherever it stands
    query.timestamp               a parameter of the query
    header.x-run                  a header (of those that count at all)
    $..*:/run-[0-9a-f]{8}/        a regular expression (see `cachy.patterns`)

What is ignored is replaced by a marker (`‹date›`, `‹ignored›`) in the canonical request, so that all that show a
request show it. Fields of forms and multipart bodies are members of one name each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from .notices import say_once
from .paths import Path
from .patterns import IGNORED, substitute

_ENTRY = re.compile(
    r"""(?P<path>(?:[^:'"]|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")*)(?::(?P<pattern>.*))?""", re.DOTALL
)
_PLACES = ("query", "header")


class _Entry:
    """One entry of the setting. `place` is `query`, `header` or "" (the body)."""

    __slots__ = ("_change", "_path", "place")

    def __init__(self, text: str) -> None:
        """Raises ValueError with what is wrong."""
        found = _ENTRY.fullmatch(text)
        path, pattern = (found["path"].strip(), found["pattern"]) if found else (text, None)
        if pattern is None and path.startswith("/"):
            raise ValueError("say where it is to be ignored, as in $..*:/a regular expression/")
        place, _, rest = path.partition(".")
        self.place = place if place in _PLACES and rest else ""
        if self.place:
            path = rest
        self._path = Path(path.lower() if self.place == "header" else path)
        self._change: Callable[[Any], Any] = (
            _whole if pattern is None else _in_texts(substitute(pattern.strip()))
        )

    def apply(self, value: Any) -> Any:
        return self._path.change(value, self._change)


class Ignore:
    """All entries of the setting, applied in their order."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Iterable[_Entry]) -> None:
        self._entries: dict[str, list[_Entry]] = {"": [], "query": [], "header": []}
        for entry in entries:
            self._entries[entry.place].append(entry)

    @classmethod
    @lru_cache(maxsize=16)  # the same setting is the same object: see keys.Rules
    def of(cls, setting: tuple[str, ...]) -> Ignore:
        """Never raises: a wrong entry is told in one line and left out."""
        entries = []
        for text in setting:
            try:
                entries.append(_Entry(text))
            except ValueError as problem:
                say_once(f"ignore: {text!r} is left out: {problem}")
        return cls(entries)

    def json(self, body: Any) -> Any:
        """A JSON body with its markers; its own containers are changed."""
        return _applied(self._entries[""], body)

    def mark(self, form: dict[str, Any]) -> None:
        """Put the markers into all of a canonical request but a JSON body."""
        body = form.get("body", {})
        if "form" in body:
            body["form"] = self._pairs("", body["form"])
        for part in body.get("multipart", ()):
            if "text" in part and "name" in part:
                part["text"] = self._member("", part["name"], part["text"])
        if "query" in form:
            form["query"] = self._pairs("query", form["query"])
        if "headers" in form:
            form["headers"] = {
                name: self._member("header", name, value) for name, value in form["headers"].items()
            }

    def _pairs(self, place: str, pairs: list[list[str]]) -> list[list[str]]:
        # In the order that they have: of one name, that of its values may mean something.
        return [[name, self._member(place, name, value)] for name, value in pairs]

    def _member(self, place: str, name: str, value: str) -> Any:
        found = _applied(self._entries[place], {name: value})
        return found[name] if isinstance(found, dict) else found  # the entry `$` puts one marker for all


def _applied(entries: list[_Entry], value: Any) -> Any:
    for entry in entries:
        value = entry.apply(value)
    return value


def _whole(_: Any) -> str:
    return IGNORED


def _in_texts(change: Callable[[str], str]) -> Callable[[Any], Any]:
    """`change` made in a text, or in all texts at any depth of a container."""

    def changed(value: Any) -> Any:
        if isinstance(value, str):
            return change(value)
        if isinstance(value, dict):
            return {name: changed(item) for name, item in value.items()}
        return [changed(item) for item in value] if isinstance(value, list) else value

    return changed
