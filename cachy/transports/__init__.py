"""Adapters between HTTP client libraries and the engine, one file per library.

`patch` is what the import hook calls after a client was imported; the module comes as an argument, no cachy
module ever imports a client itself.
"""

from __future__ import annotations

from types import ModuleType

_patched: list[ModuleType] = []


def patch(name: str, module: ModuleType) -> None:
    """Patch the client module imported as `name`, unless the settings say that cachy is not wanted here."""
    from .. import session

    if not session.start():
        return
    if name in ("httpx", "httpx2"):
        from . import httpx

        httpx.patch(module)
        if not any(known is module for known in _patched):
            _patched.append(module)


def unpatch() -> None:
    """Put every patched client back as it was."""
    from . import httpx

    while _patched:
        httpx.unpatch(_patched.pop())
