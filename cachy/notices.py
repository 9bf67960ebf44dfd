"""One-line messages to the person at the terminal: on stderr, each at most once in a process."""

from __future__ import annotations

from .report.terminal import say

_said: set[str] = set()


def say_once(message: str) -> None:
    """Write `cachy: message` on stderr unless this process said it before. Never raises."""
    if message in _said:
        return
    _said.add(message)
    say(f"cachy: {printable(message)}")


def printable(text: str) -> str:
    """`text` in one line that cannot steer a terminal: file names and keys of files may hold anything."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def in_brief(problem: BaseException) -> str:
    """An exception in one line: its class and the first line of its text."""
    text = str(problem).strip().splitlines()
    return f"{type(problem).__name__}: {text[0][:200]}" if text else type(problem).__name__
