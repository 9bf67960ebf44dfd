"""Adapters between HTTP client libraries and the engine, one file per library.

`patch` is what the import hook calls after a client was imported; the module comes as an argument, no cachy
module ever imports a client itself.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

ADAPTERS = {
    "aiohttp": "aiohttp",
    "dspy._vendor.lm15.transports": "lm15",  # DSPy brings along a copy of its own
    "grpc": "grpc",
    "httpx": "httpx",
    "httpx2": "httpx",
    "lm15.transports": "lm15",
    "urllib3": "urllib3",
}
"""Which module here adapts which client. Each has `patch(module)` and `unpatch(module)`, idempotent per class."""

_patched: list[tuple[Any, ModuleType]] = []


def patch(name: str, module: ModuleType) -> None:
    """Patch the client module imported as `name`, unless the settings say that cachy is not wanted here."""
    from .. import session

    if name not in ADAPTERS or not session.start():
        return
    adapter = importlib.import_module(f".{ADAPTERS[name]}", __name__)
    adapter.patch(module)
    if not any(known is module for _, known in _patched):
        _patched.append((adapter, module))


def unpatch() -> None:
    """Put every patched client back as it was."""
    while _patched:
        adapter, module = _patched.pop()
        adapter.unpatch(module)
