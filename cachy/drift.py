"""Whether a live answer still looks like its recording: the fields it has, and what a program branches on.

The words of an answer differ from call to call and are not compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .exchange import Response
from .providers import rpc
from .providers.base import words
from .providers.streams import json_lines, sse

# Fields whose value a program branches on, or that tell who answered; at any depth.
_FACTS = words(
    "model modelVersion object type role status finish_reason finishReason stop_reason stopReason name"
)
_MOST = 200  # members of an object above which its names are data (a map by id), not structure

Shape = dict[str, set[str]]


def compare(recorded: Response, live: Response) -> list[str]:
    """One line for each difference in content type, fields, their types, and facts; empty: no drift."""
    kinds = [
        response.header("content-type").partition(";")[0].strip().lower() for response in (recorded, live)
    ]
    if kinds[0] != kinds[1]:
        return [f"content-type {kinds[0] or 'none'} -> {kinds[1] or 'none'}"]
    before, after = _documents(recorded, kinds[0]), _documents(live, kinds[0])
    if before is None or after is None:
        return [] if (before is None) == (after is None) else ["the body is JSON in one of them only"]
    differences = []
    old, new = _shape(before), _shape(after)
    for path in sorted(old.keys() | new.keys()):
        if path not in new:
            differences.append(f"{path} is gone")
        elif path not in old:
            differences.append(f"{path} is new")
        elif len({frozenset(types[path] - {"null"}) for types in (old, new)} - {frozenset()}) > 1:
            differences.append(f"{path} {_list(old[path])} -> {_list(new[path])}")
    old, new = _facts(before), _facts(after)
    for path in sorted(old.keys() & new.keys()):
        if old[path] != new[path]:
            differences.append(f"{path} {_list(old[path])} -> {_list(new[path])}")
    return differences


def _documents(response: Response, kind: str) -> list[Any] | None:
    """The JSON documents of an answer, each event of a stream being one; None when it is not JSON."""
    if rpc.is_answer(response):
        return rpc.messages(response) or None
    if kind == "text/event-stream":
        found = [event.json() for event in sse(response.body)[0]]
        return [value for value in found if value is not None]
    try:
        return [json.loads(response.body)]
    except (ValueError, RecursionError):
        lines = [event.json() for event in json_lines(response.body)[0]] if "json" in kind else []
        return lines if lines and None not in lines else None


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, value
    if isinstance(value, dict):
        for name, item in value.items():
            # Events and blocks of content tell their kind: each kind has fields of its own.
            yield from _leaves(
                item, f"{path}.*" if len(value) > _MOST else f"{path}.{name}" if path else name
            )
    elif isinstance(value, list):
        for item in value:
            kind = item.get("type") if isinstance(item, dict) else None
            yield from _leaves(item, f"{path}[{kind}]" if isinstance(kind, str) else f"{path}[]")


def _walk(documents: list[Any]) -> Iterator[tuple[str, Any]]:
    for document in documents:
        kind = document.get("type") if isinstance(document, dict) and len(documents) > 1 else None
        for path, value in _leaves(document, kind if isinstance(kind, str) else ""):
            if path:
                yield path, value


def _shape(documents: list[Any]) -> Shape:
    found: Shape = {}
    for path, value in _walk(documents):
        found.setdefault(path, set()).add(_TYPES.get(type(value), "null"))
    return found


def _facts(documents: list[Any]) -> Shape:
    found: Shape = {}
    for path, value in _walk(documents):
        # A name with a slash is that of a thing (`files/abc`), and new each time; a tool's has none.
        if isinstance(value, str) and path.rpartition(".")[2] in _FACTS and "/" not in value:
            found.setdefault(path, set()).add(value[:60])
    return found


def _list(values: set[str]) -> str:
    return "|".join(sorted(values)) or "nothing"


# JSON has one type of number.
_TYPES = {dict: "object", list: "list", str: "text", int: "number", float: "number", bool: "boolean"}
