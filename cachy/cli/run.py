"""`cachy-run COMMAND...`: record and replay the calls of a program and of every Python process it starts.

The hook reaches the children through PYTHONPATH, so their environments need not hold cachy. This process
waits and is as good as not there: signals, exit status, stdin and terminal are the command's. At the end it
prints one line over all processes.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..values import MODES
from . import step_aside
from .parsing import Parser

if TYPE_CHECKING:
    from ..settings import Settings

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""Exit statuses for a command that does not exist, and for one that cannot be run: those of every shell."""

_DOOR = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "_bootstrap", "_path")
_LINUX = sys.platform == "linux"
# By the terminal these three go to the whole process group, the command included.
_OF_TERMINAL = ("SIGINT", "SIGQUIT", "SIGWINCH")
_FORWARDED = (*_OF_TERMINAL, "SIGHUP", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGCONT")

_EXAMPLES = """examples:
  cachy-run python script.py            replay what is recorded, call and record the rest
  cachy-run --mode replay pytest -n 4   never call; a call without a recording is an error
  cachy-run --store calls.jsonl jupyter lab

Exit status: that of the command; 127 when it is not found, 126 when it cannot be run, 2 for wrong usage.
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command in `argv` (default: `sys.argv`) and return its exit status.

    When a signal killed the command, this process dies of the same one. Raises SystemExit for wrong usage.
    """
    if argv is None:
        step_aside()
    options = _parser().parse_args(argv)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        _parser().error("which command? For example: cachy-run python script.py")

    from .. import settings, tally
    from ..notices import say_once

    given = {"mode": options.mode, "store": options.store, "summary": options.summary}
    # What was typed just now stands above the environment, as in a `with cachy.using(...)`.
    found = settings.load({k: v for k, v in given.items() if v is not None}, consent=True, scoped=True)
    for warning in found.warnings:
        say_once(warning)
    outer = os.environ.get(tally.RUN_DIR)
    if outer and os.path.isdir(outer):  # we are inside another cachy-run, which will tell
        return _finish(_run(command, environment(found, outer)))

    import shutil
    import tempfile

    try:
        folder = tempfile.mkdtemp(prefix="cachy-run-")
    except OSError:  # no room for a summary: each process tells its own
        return _finish(_run(command, environment(found)))
    try:
        status = _run(command, environment(found, folder))
        if found.summary:
            _tell(folder, found)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return _finish(status)


def environment(
    found: Settings, folder: str | None = None, base: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The environment in which a command's Python processes start with cachy and these settings.

    Args:
        found: the settings to hand on.
        folder: where the processes report their counts; without it each prints its own exit line.
        base: the environment that is added to.
    """
    from .. import settings, tally

    child = dict(base)
    if not found.active or found.mode == "off":
        child["CACHY"] = "0"
        return child
    child.update(settings.to_environ(found))
    if folder is not None:
        child[tally.RUN_DIR] = folder
    # An empty PYTHONPATH is none, while an empty entry would mean the working directory.
    theirs = [entry for entry in child.get("PYTHONPATH", "").split(os.pathsep) if entry != _DOOR]
    child["PYTHONPATH"] = os.pathsep.join([_DOOR] if theirs == [""] else [_DOOR, *theirs])
    return child


def _parser() -> argparse.ArgumentParser:
    parser = Parser("run", "Run a command; record and replay the API calls of all its Python processes.")
    parser.prog = "cachy-run"
    parser.usage = "%(prog)s [--mode MODE] [--store STORE] [--no-summary] COMMAND..."
    parser.epilog = _EXAMPLES
    parser.add_argument("--mode", choices=MODES, help="auto; in CI replay")
    parser.add_argument("--store", help="path or URL of the recordings")
    parser.add_argument(
        "--no-summary", dest="summary", action="store_const", const=False, help="no line at exit"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND", help="with its arguments")
    return parser


def _tell(folder: str, found: Settings) -> None:
    from .. import tally
    from ..report import terminal

    try:
        total, processes = tally.read_run(folder)
    except OSError:
        return
    if total.handled:
        money = _money(folder) if total.hits else ""
        terminal.say(terminal.exit_line(total, found.store, found.mode_note, processes, money))


def _money(folder: str) -> str:
    """What the replayed calls would have cost, or "" where nobody knows prices: `pip install 'cachy-run[cost]'`."""
    from importlib.util import find_spec

    if find_spec("genai_prices") is None:
        return ""
    from .. import tally
    from ..report import prices

    try:
        return str(prices.saved(tally.read_files(folder)))
    except Exception:  # noqa: BLE001 - the command has ended; nothing may come between its status and the caller
        return ""


def _run(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `command` to its end; its exit status, or minus the number of the signal that killed it."""
    try:
        return _attend(command, environ) if hasattr(os, "posix_spawnp") else _await(command, environ)
    except OSError as problem:
        from ..report import terminal

        terminal.say(f"cachy-run: {command[0]}: {problem.strerror}")
        return NOT_FOUND if problem.errno in (errno.ENOENT, errno.ENOTDIR) else NOT_EXECUTABLE


def _finish(status: int) -> int:
    """The status as a caller would see it of the command itself: we die of the signal that it died of."""
    if status >= 0:
        return status
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the command has left its core; ours would hide it
    with contextlib.suppress(OSError):  # SIGKILL has no handler to be taken away
        signal.signal(-status, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {-status})
    os.kill(os.getpid(), -status)
    return 128 - status


def _attend(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `command` in our process group, with our descriptors, and hand on every signal until it ends.

    All signals of interest are blocked and fetched one by one, so that none that comes before the command is
    there gets lost, and no handler can be interrupted. The command starts with the mask that we were given;
    what we were told to ignore (SIGHUP by nohup) is left alone and stays ignored in it.
    """
    numbers = {getattr(signal, name) for name in _FORWARDED}
    ours = {signal.SIGCHLD, *(n for n in numbers if signal.getsignal(n) is not signal.SIG_IGN)}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ours)
    for number in ours:
        # macOS drops a blocked signal that is ignored by default (SIGCHLD, SIGWINCH) unless it has a handler.
        signal.signal(number, lambda *_: None)
    child = _spawn(command, environ, mask)
    while True:
        number, by_terminal = _next_signal(ours)
        if number == signal.SIGCHLD:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
        elif not by_terminal:
            with contextlib.suppress(PermissionError):  # sudo: the command belongs to somebody else
                os.kill(child, number)


def _spawn(command: Sequence[str], environ: Mapping[str, str], mask: set[int]) -> int:
    # Python ignores these two for itself; a command expects to find them as a shell would leave them.
    defaults = [signal.SIGPIPE, signal.SIGXFSZ]
    try:
        return os.posix_spawnp(command[0], list(command), environ, setsigmask=mask, setsigdef=defaults)
    except OSError as problem:
        if problem.errno != errno.ENOEXEC:
            raise
    import shutil

    # A script without a `#!` line: shells and `env` run it with sh.
    script = ["/bin/sh", shutil.which(command[0]) or command[0], *command[1:]]
    return os.posix_spawn(script[0], script, environ, setsigmask=mask, setsigdef=defaults)


def _next_signal(ours: set[int]) -> tuple[int, bool]:
    """Wait for one of the signals; its number, and whether the terminal has sent it to the command too."""
    of_terminal = {getattr(signal, name) for name in _OF_TERMINAL}
    if _LINUX:
        info = signal.sigwaitinfo(ours)
        by_kernel = info.si_code > 0
        return info.si_signo, info.si_signo in of_terminal and by_kernel
    number = signal.sigwait(ours)
    return number, number in of_terminal and _in_foreground()


def _in_foreground() -> bool:
    """Whether our process group has the terminal, so that Ctrl-C reaches all of it."""
    try:
        terminal = os.open(os.ctermid(), os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _await(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """`_attend` without POSIX signals: Ctrl-C reaches the command by itself, through its console."""
    import shutil
    import subprocess

    signal.signal(signal.SIGINT, lambda *_: None)
    # Finds npm.cmd and the like too, which Windows itself does not.
    program = shutil.which(command[0]) or command[0]
    return subprocess.Popen([program, *command[1:]], env=environ, close_fds=False).wait()
