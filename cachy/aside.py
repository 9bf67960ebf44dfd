"""Standing aside: a mock or another recorder that is active answers the calls in its scope, not cachy.

None of them keeps a list of what is active that all versions share, but all of them replace a method of the client.
So the methods that a call is about to run through are looked at: whose code is there now? That is right in whichever
order things were activated, and for each client by itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

_RIVALS = {
    "aioresponses": "aioresponses",
    "cassetter": "cassetter",
    "pytest_httpx": "pytest-httpx",
    "responses": "responses",
    "respx": "respx",
    "vcr": "vcrpy",
}
_NAMES = tuple(_RIVALS)
_LINKS = ("__wrapped__", "__cachy_original__", "side_effect")  # what a wrapper or a mock hands the call on to


def in_charge(methods: Iterable[Any]) -> str:
    """The name of the mock or recorder that one of these methods (or classes) belongs to, at any depth, or "".

    Costs nothing to speak of while none of their packages is imported; `methods` is not looked at then.
    """
    if sys.modules.keys().isdisjoint(_NAMES):
        return ""
    for method in methods:
        for link in _chain(method):
            names = getattr(link, "__globals__", None)  # not __module__: functools.wraps copies that
            module = link.__module__ if isinstance(link, type) else (names or {}).get("__name__", "")
            package = str(module).partition(".")[0]
            if package in _RIVALS and _is_active(package):
                return _RIVALS[package]
    return ""


def _chain(method: Any) -> Iterator[Any]:
    for _ in range(20):
        if method is None:
            return
        yield method
        method = next(filter(None, (getattr(method, link, None) for link in _LINKS)), None)


def _is_active(package: str) -> bool:
    if package != "cassetter":
        return True
    # It patches for the whole process, but a cassette belongs to a context.
    try:
        return sys.modules["cassetter._state"].get_current_cassette() is not None
    except (AttributeError, KeyError):  # a version that keeps it elsewhere
        return True
