"""The verbs that set a project up and tell how it is set: `init`, `trust`, `config`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from .. import settings
from .. import trust as trusted
from ..values import READERS, hosts_as_text

_TABLE = """
[tool.cachy]
# Recorded calls live in cachy.jsonl beside this file: commit it. All settings: `cachy config`.
mode = "auto"
"""


def init(argv: list[str]) -> int:
    """`cachy init`: write `[tool.cachy]` and `.gitattributes`, trust the project; 2 when that fails."""
    argparse.ArgumentParser(
        prog="cachy init",
        description="Switch cachy on for the project in this folder: add [tool.cachy] to pyproject.toml, let git"
        " merge recordings without conflicts (.gitattributes), and trust the project. Changes nothing else; may be"
        " run again.",
    ).parse_args(argv)
    here = os.getcwd()
    project = settings.find_project(here) or here
    try:
        _say(_add_table(os.path.join(project, "pyproject.toml")))
        _say(_add_attribute(os.path.join(project, ".gitattributes")))
        where = trusted.trust(project)
    except (OSError, ValueError) as problem:
        print(f"cachy: {problem}", file=sys.stderr)
        return 2
    _say(f"{project} is trusted (kept in {where})")
    _say("Next: run your program or your tests as always; the calls are recorded the first time.")
    return 0


def trust(argv: list[str]) -> int:
    """`cachy trust [PATH] [--remove]`: 1 when there was nothing to remove, 2 for an I/O error."""
    parser = argparse.ArgumentParser(
        prog="cachy trust",
        description="Let the pyproject.toml of a project switch cachy on by itself, also for a Python outside of it.",
    )
    parser.add_argument("path", nargs="?", default=".", help="a folder of the project (default: this one)")
    parser.add_argument("--remove", action="store_true", help="trust it no longer")
    options = parser.parse_args(argv)
    path = os.path.abspath(options.path)
    if not os.path.isdir(path):
        print(f"cachy: {options.path} is not a folder", file=sys.stderr)
        return 2
    project = settings.find_project(path) or path
    try:
        if options.remove:
            removed = trusted.distrust(project)
            _say(f"{project} is {'no longer trusted' if removed else 'not in the list of trusted projects'}")
            return 0 if removed else 1
        where = trusted.trust(project)
    except OSError as problem:
        print(f"cachy: {problem}", file=sys.stderr)
        return 2
    _say(f"{project} is trusted (kept in {where})")
    return 0


def config(argv: list[str]) -> int:
    """`cachy config [--json]`: every setting with its origin; 1 when a setting is wrong."""
    parser = argparse.ArgumentParser(
        prog="cachy config", description="Every setting, its value, and where the value came from."
    )
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
        _table(found.active, rows)
    for warning in found.warnings:
        print(f"cachy: {warning}", file=sys.stderr)
    return 1 if found.warnings else 0


def _plain(name: str, value: Any) -> Any:
    """A value as JSON has it."""
    if name == "hosts":
        return [item for item in hosts_as_text(value).split(",") if item]
    return (
        sorted(value) if isinstance(value, frozenset) else list(value) if isinstance(value, tuple) else value
    )


def _table(active: bool, rows: list[tuple[str, Any, str]]) -> None:
    texts = [
        (name, value if isinstance(value, str) else json.dumps(value), origin) for name, value, origin in rows
    ]
    state = "active here" if active else "not active here (CACHY=1, cachy-run or cachy init switch it on)"
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


def _add_table(path: str) -> str:
    if not os.path.exists(path):
        with open(path, "w", encoding="utf-8", newline="\n") as file:
            file.write(_TABLE.lstrip())
        return f"{path} written"
    with open(path, "rb") as existing:
        text = existing.read().decode()
    if "[tool.cachy" in text:
        return f"{path} has [tool.cachy] already"
    newline = "\r\n" if "\r\n" in text else "\n"
    with open(path, "a", encoding="utf-8", newline="") as file:
        file.write(("" if text.endswith("\n") or not text else newline) + _TABLE.replace("\n", newline))
    return f"[tool.cachy] added to {path}"


def _add_attribute(path: str) -> str:
    line = "cachy.jsonl merge=union eol=lf"
    text = ""
    if os.path.exists(path):
        with open(path, "rb") as existing:
            text = existing.read().decode()
    if any(old.split() == line.split() for old in text.splitlines()):
        return f"{path} has its line already"
    with open(path, "a", encoding="utf-8", newline="") as file:
        file.write(("" if text.endswith("\n") or not text else "\n") + line + "\n")
    return f"{path}: two branches that record merge without a conflict"


def _say(text: str) -> None:
    print(text, file=sys.stderr)
