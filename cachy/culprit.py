"""Who makes a connection: the library, and the line of the user's code that made it do so."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from types import FrameType

from .report.terminal import place

_OURS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "")
_STANDARD = os.path.join(os.path.dirname(os.__file__), "")

# What clients connect with; it says nothing about who is calling.
_PLUMBING = frozenset(
    ("aiohappyeyeballs", "anyio", "eventlet", "gevent", "httpcore", "trio", "truststore", "uvloop")
)
# Below these lies where the event loop or thread was started, not what it is running now.
_LOOPS = frozenset(
    (
        "asyncio.events",
        "asyncio.runners",
        "concurrent.futures.thread",
        "threading",
        "trio._core._run",
        "uvloop",
    )
)
_WEBSOCKETS = frozenset(("httpx_ws", "picows", "websocket", "websockets", "wsproto"))
_WEBSOCKET_CALLS = frozenset(("ws_connect", "_ws_connect", "websocket_connect"))  # aiohttp's, tornado's


@dataclass(frozen=True, slots=True)
class Culprit:
    """Written as `aiohttp at app.py:12`."""

    library: str
    line: str
    """Empty when the connection is made in a task or thread of the library's own."""
    is_websocket: bool

    def __str__(self) -> str:
        return f"{self.library} at {self.line}" if self.line else self.library


def user_line() -> str:
    """File and line of the user's code that is under way, or ""."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if is_users(frame.f_code.co_filename):
            return _line(frame)
        frame = frame.f_back
    return ""


def _line(frame: FrameType) -> str:
    name = frame.f_code.co_filename
    # The file of a notebook's cell, which never existed, has the number of the process in its name.
    if os.path.basename(os.path.dirname(name)).startswith("ipykernel_"):
        return f"line {frame.f_lineno} of a notebook's cell"
    return f"{place(name)}:{frame.f_lineno}"


def is_users(name: str) -> bool:
    """Whether a file of code is the user's own: not ours, not installed, not Python's."""
    return not (name.startswith((_OURS, _STANDARD, "<")) or _is_installed(name))


def _is_installed(name: str) -> bool:
    return "site-packages" in name or "dist-packages" in name


def find() -> Culprit:
    """Who is connecting, as the frames above the caller tell."""
    frame: FrameType | None = sys._getframe(1)
    library = plumbing = standard = line = ""
    is_websocket = False
    while frame is not None:
        name = frame.f_code.co_filename
        module = str(frame.f_globals.get("__name__") or "")
        package = module.partition(".")[0]
        if module in _LOOPS:
            plumbing = plumbing or (package if package in _PLUMBING else "")
            break
        if not name.startswith(_OURS):
            if _is_installed(name):
                if package in _PLUMBING:
                    plumbing = package
                else:
                    library = library or package
                is_websocket |= package in _WEBSOCKETS or frame.f_code.co_name in _WEBSOCKET_CALLS
            elif is_users(name):
                line = _line(frame)
                break
            else:
                standard = module
        frame = frame.f_back
    return Culprit(library or plumbing or standard or "socket", line, is_websocket)
