"""How the verbs talk: data on stdout, talk on stderr; colours, tables and progress by rich where a person looks.

rich is imported only then. It knows NO_COLOR, FORCE_COLOR and TERM=dumb itself.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeVar
from unicodedata import combining, east_asian_width

from ..notices import printable
from ..report import terminal
from ..stores import StoreError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

SCHEMA = 1
"""The version of the `--json` of all verbs; docs/cli.md tells what is in it. Fields may be added, none taken away."""

_PATIENCE = 1.0  # seconds before a bar is shown
_clock = time.monotonic

Item = TypeVar("Item")


class Problem(Exception):
    """A verb cannot do what it was asked for; the message says why. Exit status 2."""


def told(problem: Exception) -> bool:
    """Tell of what a person can do something about; False for all else, which is an error of cachy's."""
    if isinstance(problem, OSError):
        say(
            f"cachy: {problem.filename}: {problem.strerror}"
            if problem.filename and problem.strerror
            else f"cachy: {problem}"
        )
        return True
    if not isinstance(problem, Problem | StoreError):
        return False
    first, *more = str(problem).splitlines() or [""]
    say(f"cachy: {first}")
    for text in more:
        say(text)
    return True


def say(text: str) -> None:
    """One line of talk, on stderr."""
    _clear()
    terminal.say(printable(text))


def emit(facts: dict[str, Any]) -> None:
    """The JSON document of a verb, on stdout."""
    print(json.dumps({"version": SCHEMA, **facts}, indent=2))


def emit_list(facts: dict[str, Any], name: str, items: Iterable[dict[str, Any]]) -> int:
    """The same with a list of any length under `name`, written as it comes; how many items there were."""
    rest = iter(items)
    first = list(islice(rest, 1))  # before anything is printed, as it may raise
    print(json.dumps({"version": SCHEMA, **facts}, indent=2)[:-2] + f',\n  "{name}": [', end="")
    count = 0
    for item in chain(first, rest):
        print(("," if count else "") + "\n    " + json.dumps(item), end="")
        count += 1
    print("\n  ]\n}" if count else "]\n}")
    return count


Span = str | tuple[str, str]
"""A text, or a text with a style of rich's."""


def line(*spans: Span) -> None:
    """One line of data for people, on stdout; coloured where that can be seen."""
    _clear()
    if for_eyes():
        from rich.text import Text

        shown = [
            printable(span) if isinstance(span, str) else (printable(span[0]), span[1]) for span in spans
        ]
        _console().print(Text.assemble(*shown), soft_wrap=True)
        return
    print(printable("".join(span if isinstance(span, str) else span[0] for span in spans)).rstrip())


def for_programs() -> None:
    """What is printed from now on is read by a program: in UTF-8 and with plain line ends, whatever the terminal has."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Half a pair of surrogates becomes what JSON writes for it.
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", newline="\n")


def for_eyes() -> bool:
    """Whether a person looks at stdout."""
    return sys.stdout.isatty()


def width() -> int:
    """How many characters a line has room for; what goes into a file or a pipe has more of it."""
    return shutil.get_terminal_size().columns if for_eyes() else 200


def cut(text: str, size: int) -> str:
    """The beginning of a text, in one line of at most `size` columns of a terminal."""
    text = printable(" ".join(text[: 4 * size].split()))
    if _columns(text) <= size:
        return text
    text = text[: max(0, size - 1)]
    while _columns(text) >= max(1, size):
        text = text[:-1]
    return text + "…"


def _columns(text: str) -> int:
    """How many columns a text takes: Chinese, Japanese and Korean signs, and most pictures, take two."""
    if text.isascii():
        return len(text)
    # https://www.unicode.org/reports/tr11/
    return sum(0 if combining(sign) else 2 if east_asian_width(sign) in "WF" else 1 for sign in text)


def counted(number: int) -> str:
    """How many recordings, in words."""
    return f"{number:,} recording{'' if number == 1 else 's'}"


def bar(share: float, size: int = 20) -> str:
    """A bar of at most `size` characters for a share from 0 to 1."""
    if not (sys.stdout.encoding or "").lower().startswith("utf"):
        return "#" * round(share * size)
    eighths = round(share * size * 8)
    return "█" * (eighths // 8) + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[eighths % 8]


def ago(seconds: float | None) -> str:
    """An age as people say it: `now`, `5 min`, `3 h`, `12 d`."""
    if seconds is None:
        return "?"
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "now"


def agreed(question: str, yes: bool) -> bool:
    """Whether a person said yes, now or with `--yes`. Raises Problem where nobody can be asked."""
    if yes:
        return True
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        raise Problem("nobody is here to be asked; say --yes to do it, --dry-run to see what would be done")
    _clear()
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def progress(
    items: Iterable[Item], total: int, what: str, reached: Callable[[], int] | None = None
) -> Iterator[Item]:
    """The items as they are; a bar on a person's stderr from the first second on.

    `reached`: how much of `total` is done, where that is not the number of items.
    """
    global _bar, _spoken
    if not sys.stderr.isatty():
        yield from items
        return
    shown = _spoken = _clock()
    task = None
    try:
        for done, item in enumerate(items, 1):
            yield item
            now = _clock()
            # What was said meanwhile shows that it goes on.
            if now - max(shown, _spoken) < (_PATIENCE if _bar is None else 0.1):
                continue
            shown = now
            if _bar is None:
                _bar = _new_bar()
                task = _bar.add_task(what, total=total or None)
            if task is not None:
                _bar.update(task, completed=reached() if reached else done)
    finally:
        _clear()


_bar: Progress | None = None
_spoken = 0.0
"""When something was last said."""


def _new_bar() -> Progress:
    from rich.console import Console
    from rich.progress import Progress

    made = Progress(console=Console(stderr=True), transient=True)
    made.start()
    return made


def _clear() -> None:
    global _bar, _spoken
    if _bar is not None:
        _bar.stop()
        _bar = None
    _spoken = _clock()


_to_stdout: Console | None = None


def _console() -> Console:
    global _to_stdout
    if _to_stdout is None:
        from rich.console import Console

        _to_stdout = Console(highlight=False)
    return _to_stdout
