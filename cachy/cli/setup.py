"""The verbs that set a project up and tell how it is set: `init`, `trust`, `config`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from .. import settings
from .. import trust as trusted
from ..notices import printable
from ..report import terminal
from ..values import READERS, as_text

_TABLE = """
[tool.cachy]
# Recorded calls live in cachy.jsonl beside this file: commit it. In CI they are replayed and nothing is called.
# All settings: `cachy config`.
"""


def init(argv: list[str]) -> int:
    """`cachy init`: write `[tool.cachy]` and `.gitattributes`, trust the project; 2 when that fails."""
    argparse.ArgumentParser(
        prog="cachy init",
        description="Switch cachy on for the project in this folder: add [tool.cachy] to pyproject.toml, let git"
        " merge recordings without conflicts (.gitattributes), and trust the project. Changes nothing else; may be"
        " run again.",
    ).parse_args(argv)
    try:
        here = os.getcwd()
        project = settings.find_project(here) or here
        _say(_add_table(os.path.join(project, "pyproject.toml")))
        _say(_add_attribute(os.path.join(project, ".gitattributes"), _store_in(project)))
        where = trusted.trust(project)
    except (OSError, ValueError) as problem:
        return _failed(problem)
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
    try:
        path = os.path.abspath(options.path)
        if not os.path.isdir(path):
            raise ValueError(f"{options.path} is not a folder")
        project = settings.find_project(path) or path
        if options.remove:
            removed = trusted.distrust(project)
            _say(f"{project} is {'no longer trusted' if removed else 'not in the list of trusted projects'}")
            return 0 if removed else 1
        where = trusted.trust(project)
    except (OSError, ValueError) as problem:
        return _failed(problem)
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
        _table(_state(found), rows)
    for warning in found.warnings:
        _say(f"cachy: {warning}")
    return 1 if found.warnings else 0


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
        return "switched off by CACHY in the environment, whatever else is set"
    if found.mode == "off":
        return f"switched off (mode from {found.origins['mode']})"
    return "not active here (CACHY=1, cachy-run or cachy init switch it on)"


def _table(state: str, rows: list[tuple[str, Any, str]]) -> None:
    texts = [
        (name, printable(value if isinstance(value, str) else json.dumps(value)), printable(origin))
        for name, value, origin in rows
    ]
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
    if not os.path.lexists(path):
        _append(path, _TABLE.lstrip())
        return f"{path} written"
    reason = trusted.suspicion(path)
    if reason is not None:
        raise ValueError(f"{path} {reason}; cachy reads no such file")
    with open(path, "rb") as file:
        old = file.read()
    if _has_table(path, old):
        if b"[tool.cachy" not in old:
            raise ValueError(f"{path} sets tool.cachy without a line [tool.cachy]; it needs one to be seen")
        return f"{path} has [tool.cachy] already"
    _has_table(path, _added(old, _TABLE))  # so that the file stays valid for all other tools too
    _append(path, _TABLE)
    return f"[tool.cachy] added to {path}"


def _has_table(path: str, toml: bytes) -> bool:
    try:
        tools = settings.parse(toml).get("tool")
    except ValueError as problem:
        raise ValueError(
            f"{path}: [tool.cachy] cannot be added, it would not be valid TOML ({problem})"
        ) from None
    return isinstance(tools, dict) and "cachy" in tools


def _add_attribute(path: str, store: str) -> str:
    line = f"{store} merge=union eol=lf"
    if os.path.exists(path):
        with open(path, "rb") as file:
            if any(old.split() == line.encode().split() for old in file):
                return f"{path} has its line already"
    _append(path, f"{line}\n")
    return f"{path}: two branches that record merge without a conflict"


def _store_in(project: str) -> str:
    """The store of the project as `.gitattributes` names it."""
    store = settings.load(cwd=project, environ={}).store
    if "://" in store or not trusted.inside(store, project):
        return "cachy.jsonl"
    name = os.path.relpath(store, project).replace(os.sep, "/")
    return f'"{name}"' if " " in name else name


def _append(path: str, text: str) -> None:
    """Add `text` at the end of a file, on a line of its own, with the line ends that the file has."""
    with open(path, "ab+") as file:
        file.seek(0)
        old = file.read()
        file.write(_added(old, text)[len(old) :])


def _added(old: bytes, text: str) -> bytes:
    newline = "\r\n" if b"\r\n" in old else "\n"
    gap = newline if old and not old.endswith(b"\n") else ""
    return old + (gap + text.replace("\n", newline)).encode()


def _say(text: str) -> None:
    terminal.say(printable(text))


def _failed(problem: OSError | ValueError) -> int:
    name, reason = getattr(problem, "filename", None), getattr(problem, "strerror", None)
    _say(f"cachy: {name}: {reason}" if name and reason else f"cachy: {problem}")
    return 2
