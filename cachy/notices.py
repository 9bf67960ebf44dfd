"""One-line messages to the person at the terminal: on stderr, each at most once in a process."""

from __future__ import annotations

import sys

_said: set[str] = set()


def say_once(message: str) -> None:
    """Write `cachy: message` on stderr unless this process said it before. Never raises."""
    if message in _said:
        return
    _said.add(message)
    try:
        sys.stderr.write(f"cachy: {message}\n")
    except Exception:  # noqa: BLE001 - stderr may be closed, None, or unable to encode; the program goes on
        pass


def in_brief(problem: BaseException) -> str:
    """An exception in one line: its class and the first line of its text."""
    text = str(problem).strip().splitlines()
    return f"{type(problem).__name__}: {text[0][:200]}" if text else type(problem).__name__
