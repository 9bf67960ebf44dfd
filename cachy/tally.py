"""What became of the calls of this process: counted here, told at exit in one line on stderr.

Under `cachy-run` nothing is printed here. Each count is written at once to the folder in `CACHY_RUN_DIR`, so
that it outlives `os._exit` and `kill -9`, and the waiting parent prints one line over all processes.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import RLock
from typing import Literal, get_args

Outcome = Literal["hit", "recorded", "missed", "bypassed", "escaped", "verified", "drifted"]

RUN_DIR = "CACHY_RUN_DIR"
"""The variable with which `cachy-run` asks for the counts of its children."""


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
_run_dir = os.environ.get(RUN_DIR)
_store = ""
_summary = False
_mode_note = ""
_will_tell = False  # whether the exit line is registered
_before_telling: Callable[[], None] | None = None


def count(outcome: Outcome, *, ms: int = 0, reason: str = "") -> None:
    """Count one call.

    Args:
        outcome: what became of it.
        ms: milliseconds that the live call took; for a hit, the time that was saved.
        reason: why it was bypassed, or who let it escape, in a few words.

    Raises KeyError for an outcome that does not exist, nothing else. Safe for threads and forks.
    """
    if reason:
        reason = " ".join(reason.split())[:120]
    with _lock:
        _counter.add(outcome, ms, reason)
        if not _will_tell:
            _register()
    if _run_dir is not None:
        _report(_run_dir, outcome, ms, reason)


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


def reset() -> None:
    """Back to the state of a fresh process, the settings of `configure` included."""
    global _lock, _counter, _run_dir, _will_tell
    _lock = RLock()
    _counter = Counter()
    _run_dir = os.environ.get(RUN_DIR)
    _will_tell = False
    configure("", False)


def read_run(folder: str) -> tuple[Stats, int]:
    """What all processes reported to a run folder, and how many processes that were. Raises OSError."""
    total = Counter()
    processes = os.listdir(folder)
    for name in processes:
        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as lines:
            _add_lines(total, lines)
    return total.stats(), len(processes)


def _add_lines(total: Counter, lines: Iterable[str]) -> None:
    for line in lines:
        outcome, _, rest = line.rstrip("\n").partition("\t")
        ms, _, reason = rest.partition("\t")
        try:
            total.add(outcome, int(ms), reason)  # type: ignore[arg-type] # a KeyError says that it is none
        except (KeyError, ValueError):
            continue  # a process was killed in the middle of this line


def _report(folder: str, outcome: str, ms: int, reason: str) -> None:
    """Append one line to this process's file in the run folder; silently nothing when that is impossible."""
    line = f"{outcome}\t{ms}\t{reason}\n"
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
    try:
        # Opened each time: after a program has closed all descriptors (a daemon does), a kept one would write
        # into whatever file got its number next. A file for each process: Windows does not append atomically.
        handle = os.open(os.path.join(folder, str(os.getpid())), flags, 0o600)
        try:
            os.write(handle, line.encode("utf-8", "replace"))
        finally:
            os.close(handle)
    except OSError:
        pass


def _tell() -> None:
    """Print the exit line, if there is anything to tell."""
    if _before_telling is not None:
        _before_telling()
    if not _summary or _run_dir is not None or not stats().handled:
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
