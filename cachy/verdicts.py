"""What became of each call, told to whoever wants to know: one JSON object a line in the file that `CACHY_LOG` names,
one line at DEBUG on the logger `cachy`, and the same JSON lines to whoever sums up a run (`cachy-run`, pytest).

The object, without what is not known: `at` (UTC), `pid`, `outcome`, `live` (whether the call went out), `provider`,
`method`, `url`, `model`, `key`, `ms`, `reason`, `store`, `test`. No body, no header, no secret.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from threading import get_ident
from typing import Any

from .notices import in_brief, printable, say_once
from .redact import mask_text

RUN_DIR = "CACHY_RUN_DIR"
"""The variable with which `cachy-run` and the pytest plugin ask for the verdicts of other processes."""

_DEBUG = 10  # logging.DEBUG: logging is only used where the program has imported it
_LIVE = ("recorded", "bypassed", "escaped", "verified", "drifted")
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
_utc_now = datetime.now  # copied: see cachy.clocks

_run_dir: str | None = None
_log = ""
_logger: Any = None
_telling: set[int] = set()  # threads: a handler of logging may make a call of its own


def listen(run_dir: str | None = os.environ.get(RUN_DIR)) -> None:
    """Report to the folder `run_dir` (each process in a file of its own) and to what CACHY_LOG names."""
    global _run_dir, _log
    _run_dir = run_dir
    _log = os.path.expanduser(os.environ.get("CACHY_LOG", "").strip())
    if _log:
        try:
            _log = os.path.abspath(_log)  # the program may change its working directory
        except OSError:
            pass


def reports_to() -> str | None:
    """The folder of the run that this process belongs to, whose summary is not told here; or None."""
    return _run_dir


def heard() -> bool:
    """Whether anybody wants to know more of a call than that it was counted. Asked at each call, so it is quick."""
    return _run_dir is not None or bool(_log) or _is_debugging()


def _is_debugging() -> bool:
    """Whether the logger `cachy` is listened to, in a program that has loaded `logging`."""
    global _logger
    if _logger is None:
        logging = sys.modules.get("logging")
        if logging is None or not hasattr(logging, "getLogger"):
            return False
        _logger = logging.getLogger("cachy")
    return _logger.isEnabledFor(_DEBUG)  # type: ignore[no-any-return]


def tell(outcome: str, ms: int, reason: str, live: bool | None, call: Mapping[str, str]) -> None:
    """Tell one verdict. Never raises.

    Args:
        outcome: see `cachy.tally.Outcome`.
        ms: milliseconds that the live call took or would have taken.
        reason: why it was bypassed, or who let it escape.
        live: whether the call went out; None: as it nearly always is with this outcome.
        call: what is known of the call: `provider`, `method`, `url`, `model`, `key`, `store`.
    """
    here = get_ident()
    if here in _telling or not heard():
        return
    _telling.add(here)
    try:
        facts: dict[str, Any] = {
            "at": _utc_now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "pid": os.getpid(),
            "outcome": outcome,
            "live": outcome in _LIVE if live is None else live,
            **call,
            "ms": ms,
            "reason": reason,
            "test": mask_text(current_test()),
        }
        facts = {name: value for name, value in facts.items() if value != ""}
        line = json.dumps(facts).encode() + b"\n"
        if _run_dir is not None:
            _append(os.path.join(_run_dir, str(os.getpid())), line)
        if _log and (problem := _append(_log, line)):
            say_once(f"CACHY_LOG={_log} cannot be written ({problem}); what becomes of calls is not logged")
        if _is_debugging():
            _logger.debug("%s", _sentence(facts), extra={"cachy": facts})
    except Exception as problem:  # noqa: BLE001 - a log never comes between a program and its call
        say_once(f"a call could not be logged ({in_brief(problem)})")
    finally:
        _telling.discard(here)


def current_test() -> str:
    """The id of the pytest test that runs now, here or in the process that started this one; "" when there is none.

    Parameters are part of it, and may be secret: see `redact.mask_text` before it is kept or shown."""
    return os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]


def _sentence(facts: Mapping[str, Any]) -> str:
    words = [facts["outcome"], facts.get("key", "")[:8], facts.get("method", ""), facts.get("url", "")]
    words += [facts.get("model", ""), f"{facts['ms']} ms" if facts["ms"] else ""]
    words.append(f"({facts['reason']})" if "reason" in facts else "")
    return printable(" ".join(filter(None, words)))


def _append(path: str, line: bytes) -> str:
    """Append one line to a file; what is wrong when that is impossible, else ""."""
    try:
        # Opened each time: after a program has closed all descriptors (a daemon does), a kept one would write
        # into whatever file got its number next.
        handle = os.open(path, _FLAGS, 0o600)
        try:
            os.write(handle, line)
        finally:
            os.close(handle)
    except OSError as problem:
        return problem.strerror or str(problem)
    return ""


listen()
