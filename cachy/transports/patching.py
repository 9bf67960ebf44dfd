"""Replacing a method of a client's class, and putting it back: once for each class, whatever it is imported as."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

_MARK = "__cachy_original__"
_Made = TypeVar("_Made")


def replace(owner: type, name: str, make: Callable[[Any], Any]) -> None:
    """Put `make(original)` in the place of the method `name`; nothing happens when that was done before."""
    original = owner.__dict__.get(name) or getattr(owner, name)
    if not hasattr(original, _MARK):
        replacement = make(original)
        replacement.__name__ = name
        replacement.__qualname__ = getattr(original, "__qualname__", name)
        setattr(replacement, _MARK, original)
        setattr(owner, name, replacement)


def restore(owner: type, name: str) -> None:
    """Undo `replace`, unless somebody else patched on top of us."""
    original = getattr(owner.__dict__.get(name), _MARK, None)
    if original is not None:
        setattr(owner, name, original)


def once_for_each_module(make: Callable[[ModuleType], _Made]) -> Callable[[ModuleType], _Made]:
    """`make`, which is called once for each module, by its identity: a client that is imported anew is another one."""
    known: dict[int, tuple[ModuleType, _Made]] = {}

    def made(module: ModuleType) -> _Made:
        found = known.get(id(module))
        if found is None or found[0] is not module:
            found = known[id(module)] = (module, make(module))
        return found[1]

    return made
