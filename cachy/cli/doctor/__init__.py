"""`cachy doctor`: why is nothing cached? Looks at all that has to be right for that, and tries it out."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Iterator
from typing import NamedTuple

from ... import __version__
from .. import shelf
from ..talk import emit, line, say

_STYLES = {"ok": "green", "note": "yellow", "wrong": "bold red"}


class Check(NamedTuple):
    """One thing that was looked at."""

    name: str
    status: str
    """`ok`; `note`: good to know; `wrong`: something of what is expected cannot work."""
    text: str
    todo: str = ""
    """What to do about it."""


def main(argv: list[str]) -> int:
    """`cachy doctor`: 1 when something is wrong."""
    parser = shelf.parser(
        "doctor",
        "Look at everything that has to be right for calls to be recorded and replayed: start-up files, settings,"
        " HTTP clients, SDKs, other tools, the store. Every installed client makes a call to a server on this machine,"
        " recorded and replayed.",
    )
    parser.add_argument("--no-self-test", action="store_true", help="make no calls")
    parser.add_argument("--json", action="store_true", help="as JSON, for a bug report; no secrets are in it")
    options = parser.parse_args(argv)
    wrong, report = 0, {}
    if not options.json:
        line(f"cachy {__version__}, Python {platform.python_version()}, {platform.platform()}")
    for section, checks in _sections(options):
        found = []
        for number, check in enumerate(checks):
            wrong += check.status == "wrong"
            found.append(check._asdict())
            if not options.json:
                if not number:
                    line("")
                    line((section, "bold"))
                _tell(check)
        report[section] = found
    if options.json:
        facts = {"cachy": __version__, "python": platform.python_version(), "platform": platform.platform()}
        emit({**facts, "executable": sys.executable, "ok": not wrong, "sections": report})
    else:
        line("")
        say(
            "nothing is wrong" if not wrong else f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong"
        )
    return 1 if wrong else 0


def _sections(options: argparse.Namespace) -> Iterator[tuple[str, Iterator[Check]]]:
    from importlib.metadata import packages_distributions

    from . import clients, startup, store

    homes = packages_distributions()
    yield "start-up", startup.checks(homes.get("cachy", []))
    yield "settings", startup.decision(options.store)
    yield "clients", clients.checks(homes, self_test=not options.no_self_test)
    yield "SDKs", clients.sdks(homes)
    yield "other tools", clients.others()
    yield "store", store.checks(options.store)


def _tell(check: Check) -> None:
    line(f"  {check.name:<16} ", (f"{check.status:<6}", _STYLES[check.status]), check.text)
    if check.todo:
        line(f"  {'':<16} {'':<6}", (f"-> {check.todo}", "cyan"))
