"""What became of the calls of this process: counted here, told at exit in one line on stderr.

Under `cachy-run` and pytest nothing is printed here. Each count is written at once to the folder in `CACHY_RUN_DIR`
(see `cachy.verdicts`), so that it outlives `os._exit` and `kill -9`, and who waits there tells of all processes.
"""

from __future__ import annotations

import atexit
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from threading import RLock
from typing import Any, Literal, get_args

from . import verdicts
from .verdicts import RUN_DIR as RUN_DIR

Outcome = Literal["hit", "recorded", "missed", "bypassed", "escaped", "verified", "drifted"]


@dataclass(frozen=True, slots=True)
class Stats:
    """Number of calls by outcome; `saved_ms` is how long the replayed calls once took, in milliseconds.

    `reasons` says why calls were bypassed, and how many for each reason; `escapes` who let them escape, and where.
    """

    hits: int = 0
    recorded: int = 0
    missed: int = 0
    bypassed: int = 0
    escaped: int = 0
    verified: int = 0
    drifted: int = 0
    saved_ms: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    escapes: dict[str, int] = field(default_factory=dict)

    @property
    def handled(self) -> int:
        """Number of calls that were counted at all."""
        calls = (
            self.hits,
            self.recorded,
            self.missed,
            self.bypassed,
            self.escaped,
            self.verified,
            self.drifted,
        )
        return sum(calls)


class Counter:
    """A running total; not safe for threads by itself."""

    __slots__ = ("_calls", "_escapes", "_reasons", "_saved_ms")

    def __init__(self) -> None:
        self._calls: dict[Outcome, int] = dict.fromkeys(get_args(Outcome), 0)
        self._reasons: dict[str, int] = {}
        self._escapes: dict[str, int] = {}
        self._saved_ms = 0

    def add(self, outcome: Outcome, ms: int, reason: str) -> None:
        """Count one call; raises KeyError for an outcome that does not exist."""
        self._calls[outcome] += 1
        if outcome == "hit":
            self._saved_ms += ms
        elif outcome == "bypassed" and reason:
            self._reasons[reason] = self._reasons.get(reason, 0) + 1
        elif outcome == "escaped" and reason:
            self._escapes[reason] = self._escapes.get(reason, 0) + 1

    def stats(self) -> Stats:
        """The total so far."""
        calls = self._calls
        return Stats(
            calls["hit"],
            calls["recorded"],
            calls["missed"],
            calls["bypassed"],
            calls["escaped"],
            calls["verified"],
            calls["drifted"],
            self._saved_ms,
            dict(self._reasons),
            dict(self._escapes),
        )


_lock = RLock()  # a stream that the garbage collector closes meanwhile counts itself, on the same thread
_counter = Counter()
_store = ""
_summary = False
_mode_note = ""
_will_tell = False  # whether the exit line is registered
_before_telling: Callable[[], None] | None = None


def count(
    outcome: Outcome,
    *,
    ms: int = 0,
    reason: str = "",
    live: bool | None = None,
    call: Mapping[str, str] | None = None,
) -> None:
    """Count one call, and tell of it (see `cachy.verdicts`).

    Args:
        outcome: what became of it.
        ms: milliseconds that the live call took; for a hit, the time that was saved.
        reason: why it was bypassed, or who let it escape, in a few words.
        live: whether it went out; None: as it nearly always does with this outcome.
        call: what is known of it (see `cachy.verdicts.tell`); needed only when somebody wants to know.

    Raises KeyError for an outcome that does not exist, nothing else. Safe for threads and forks.
    """
    if reason:
        reason = " ".join(reason.split())[:120]
    add(outcome, ms, reason)
    if call is not None or verdicts.heard():
        verdicts.tell(outcome, ms, reason, live, call or {})


def add(outcome: Outcome, ms: int = 0, reason: str = "") -> None:
    """Count one call and tell nobody; for where it is known that nobody listens. Otherwise as `count`."""
    with _lock:
        _counter.add(outcome, ms, reason)
        if not _will_tell:
            _register()


def before_telling(function: Callable[[], None]) -> None:
    """Have `function`, which must not raise and may still count calls, run at exit before the line is printed."""
    global _before_telling
    with _lock:
        _before_telling = function
        if not _will_tell:
            _register()


def _register() -> None:
    global _will_tell
    _will_tell = True
    # A forked child may hold its parent's registration or may have lost it: exactly one, either way.
    atexit.unregister(_tell)
    atexit.register(_tell)


def stats() -> Stats:
    """The counts of this process so far."""
    with _lock:
        return _counter.stats()


def configure(store: str, summary: bool, mode_note: str = "") -> None:
    """Say what the exit line is to tell beside the counts; the latest call wins.

    Args:
        store: path or URL of the recordings.
        summary: whether there is to be a line at all.
        mode_note: what a reader should know about the mode, such as "replay, because CI is set".
    """
    global _store, _summary, _mode_note
    _store, _summary, _mode_note = store, summary, mode_note


def told() -> None:
    """What was counted so far has been told to the user: the exit line, if there is one, is about what follows."""
    global _counter
    with _lock:
        _counter = Counter()


def reset() -> None:
    """Back to the state of a fresh process, the settings of `configure` included."""
    global _lock, _counter, _will_tell
    _lock = RLock()
    _counter = Counter()
    _will_tell = False
    verdicts.listen(os.environ.get(RUN_DIR))
    configure("", False)


def read_run(folder: str) -> tuple[Stats, int]:
    """What all processes reported to a run folder, and how many processes that were. Raises OSError."""
    total = Counter()
    processes = 0
    for path in run_files(folder):
        processes += 1
        with open(path, "rb") as lines:
            for facts in read_lines(lines):
                total.add(facts["outcome"], facts["ms"], facts.get("reason", ""))
    return total.stats(), processes


def read_files(folder: str) -> Iterator[dict[str, Any]]:
    """Every verdict that was reported to a run folder. Raises OSError."""
    for path in run_files(folder):
        with open(path, "rb") as lines:
            yield from read_lines(lines)


def run_files(folder: str) -> Iterator[str]:
    """The files of a run folder, one for each process; a run within this run has a folder in it. Raises OSError."""
    for entry in os.scandir(folder):
        if entry.is_dir():
            yield from run_files(entry.path)
        else:
            yield entry.path


def read_lines(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The verdicts in these lines (see `cachy.verdicts`); what is none is left out."""
    for line in lines:
        try:
            facts = json.loads(line)
            if facts["outcome"] in get_args(Outcome) and isinstance(facts["ms"], int):
                yield facts
        except (ValueError, KeyError, TypeError):
            continue  # a process was killed in the middle of this line


def _tell() -> None:
    """Print the exit line, if there is anything to tell."""
    if _before_telling is not None:
        _before_telling()
    if not _summary or verdicts.reports_to() is not None or not stats().handled:
        return
    try:
        from .report import terminal

        terminal.say(terminal.exit_line(stats(), _store, _mode_note))
    except Exception:  # noqa: BLE001 - the program has ended well; nothing may spoil that now
        pass


def _after_fork() -> None:
    """A forked child starts from zero, with a lock that nobody holds, and the settings of its parent."""
    global _lock, _counter, _will_tell
    _lock = RLock()
    _counter = Counter()
    _will_tell = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
