"""The verbs that tell how a project is set, and whom to trust: `trust`, `config`."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from .. import _bootstrap, settings
from .. import trust as trusted
from ..notices import printable
from ..report import terminal
from ..report.messages import size
from ..values import READERS, as_text, duration_as_text
from .parsing import Parser
from .talk import Problem, say


def trust(argv: list[str]) -> int:
    """`cachy trust [PATH] [--remove]`: 1 when there was nothing to remove, 2 for an I/O error."""
    parser = Parser(
        "trust",
        "Let the pyproject.toml of a project switch cachy on by itself, also for a Python outside of it.",
    )
    parser.add_argument("path", nargs="?", default=".", help="a folder of the project (default: this one)")
    parser.add_argument("--remove", action="store_true", help="trust it no longer")
    options = parser.parse_args(argv)
    path = os.path.abspath(options.path)
    if not os.path.isdir(path):
        raise Problem(f"{options.path} is not a folder")
    project = settings.find_project(path) or path
    if options.remove:
        removed = trusted.distrust(project)
        say(f"{project} is {'no longer trusted' if removed else 'not in the list of trusted projects'}")
        return 0 if removed else 1
    where = trusted.trust(project)
    say(f"{project} is trusted (kept in {where})")
    return 0


def config(argv: list[str]) -> int:
    """`cachy config [--json]`: every setting with its origin; 1 when a setting is wrong."""
    parser = Parser("config", "Every setting, its value, and where the value came from.")
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(argv)
    found = settings.load()
    rows = [(name, _plain(name, getattr(found, name.replace("-", "_"))), found.origins.get(name, "default"))
            for name in READERS if name != "enabled"]  # fmt: skip
    if options.json:
        facts = {name: {"value": value, "origin": origin} for name, value, origin in rows}
        report = {"version": 1, "active": found.active, "settings": facts, "warnings": list(found.warnings)}
        print(json.dumps(report, indent=2))
    else:
        _table(_state(found), rows)
    for warning in found.warnings:
        say(f"cachy: {warning}")
    return 1 if found.warnings or misspelt() else 0


def _plain(name: str, value: Any) -> Any:
    """A value as JSON has it, without the password of a URL."""
    if name == "store" and "://" in value:
        return terminal.place(value)
    if name == "pace":
        return {0.0: "instant", 1.0: "recorded"}.get(value, value)
    if name in ("hosts", "ttl"):
        return [item for item in as_text(value).split(",") if item]
    return (
        sorted(value) if isinstance(value, frozenset) else list(value) if isinstance(value, tuple) else value
    )


def _state(found: settings.Settings) -> str:
    if found.active:
        return "active here"
    if found.origins.get("enabled") == "environment CACHY":
        if wish := misspelt():
            return f"not active here, as CACHY={wish} is not understood"
        return "switched off by CACHY in the environment, whatever else is set"
    if found.mode == "off":
        return f"switched off (mode from {found.origins['mode']})"
    path = os.path.join(found.project or "", "pyproject.toml")
    if path in found.origins.values() and not _bootstrap.names_cachy(path):
        return "not active here, as tool.cachy stands in pyproject.toml without a line [tool.cachy]"
    return "not active here (CACHY=1, cachy-run or cachy init switch it on)"


def misspelt() -> str:
    """What CACHY says when that is not understood; else ""."""
    wish = os.environ.get("CACHY", "").strip()
    return "" if wish.lower() in (*_bootstrap.OFF, *_bootstrap.ON) else printable(wish)


def _for_people(name: str, value: Any) -> str:
    if value is None or value == []:
        return "none"
    if name in ("max-age", "remote-timeout"):
        return duration_as_text(value)
    if name == "max-size":
        return size(value)
    return value if isinstance(value, str) else json.dumps(value)


def _table(state: str, rows: list[tuple[str, Any, str]]) -> None:
    texts = [(name, printable(_for_people(name, value)), printable(origin)) for name, value, origin in rows]
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        from rich.console import Console
        from rich.table import Table

        table = Table("setting", "value", "from", title=f"cachy is {state}", title_justify="left", box=None)
        for row in texts:
            table.add_row(*row)
        Console().print(table)
        return
    print(f"cachy is {state}")
    widths = [max(len(row[column]) for row in texts) for column in (0, 1)]
    for name, value, origin in texts:
        print(f"{name:<{widths[0]}}  {value:<{widths[1]}}  {origin}")
