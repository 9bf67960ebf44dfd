"""`cachy init`: switch cachy on for a project, and let git merge and show its recordings."""

from __future__ import annotations

import os
import sys

from .. import settings
from .. import trust as trusted
from ..stores import SQLITE, is_folder
from . import ci
from .git import asked, ignoring
from .parsing import Parser
from .talk import Problem, agreed, say

_TABLE = """
[tool.cachy]
# Recorded calls live in cachy.jsonl beside this file: commit it. In CI they are replayed and nothing is called.
# All settings: `cachy config`.
"""

_TEXTCONV = "cachy textconv"


def main(argv: list[str]) -> int:
    """`cachy init`: write `[tool.cachy]` and `.gitattributes`, trust the project; 2 when that fails."""
    parser = Parser(
        "init",
        "Switch cachy on for the project in this folder: add [tool.cachy] to pyproject.toml, let git merge recordings"
        " without conflicts (.gitattributes), and trust the project. Changes nothing else; may be run again.",
    )
    parser.add_argument(
        "--git-diff",
        action="store_true",
        help="let `git diff` show recordings as conversations; asked for on a terminal",
    )
    parser.add_argument(
        "--ci",
        choices=sorted(ci.SERVICES),
        help="write a CI job that replays and never calls; print it where there is such a file",
    )
    options = parser.parse_args(argv)
    here = os.getcwd()
    project = settings.find_project(here) or here
    attributes, store = os.path.join(project, ".gitattributes"), _store_in(project)
    say(_add_table(os.path.join(project, "pyproject.toml")))
    in_lines = not store.endswith("/") and not store.lower().endswith(SQLITE)
    if in_lines:
        say(_add_attribute(attributes, f"{store} merge=union eol=lf"))
    elif store.endswith("/"):
        say(f"{store}: two branches that record merge as they are; each recording is a file")
    else:
        say(f"{store} is a database, which git cannot merge: add {store}* to .gitignore")
    if in_lines or store.endswith("/"):
        _warn_of_ignoring(project, store.strip('"'))
    where = trusted.trust(project)
    say(f"{project} is trusted (kept in {where})")
    if in_lines and (options.git_diff or _wants_diff(project)):
        say(_show_diffs(project, attributes, store))
    if options.ci:
        ci.add(project, options.ci)
    say("Next: run your program or your tests as always; the calls are recorded the first time.")
    return 0


def _warn_of_ignoring(project: str, store: str) -> None:
    """Say that recordings will not be committed, which is what they are for, when git ignores them."""
    if not asked(project, "ls-files", "--", store) and (rule := ignoring(project, store)):
        say(f"{store}: git ignores it, so CI and others cannot replay what you record; take {rule} away")


def _wants_diff(project: str) -> bool:
    """Whether a person at a terminal, asked once, wants readable diffs."""
    if (
        not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty())
        or asked(project, "rev-parse", "--git-dir") is None
    ):
        return False
    if asked(project, "config", "diff.cachy.textconv"):
        return False
    return agreed("let `git diff` show recordings as conversations (a setting of this clone)?", yes=False)


def _show_diffs(project: str, attributes: str, store: str) -> str:
    """Have git call `cachy textconv`. Where it is not set up, the attribute means nothing."""
    if asked(project, "config", "diff.cachy.textconv", _TEXTCONV) is None:
        raise Problem(f"{project} is not in a git repository; --git-diff needs one")
    _add_attribute(attributes, f"{store} diff=cachy")
    return "git diff shows recordings as conversations in this clone; in others: cachy init --git-diff"


def _add_table(path: str) -> str:
    if not os.path.lexists(path):
        _append(path, _TABLE.lstrip())
        return f"{path} written"
    reason = trusted.suspicion(path)
    if reason is not None:
        raise Problem(f"{path} {reason}; cachy reads no such file")
    with open(path, "rb") as file:
        old = file.read()
    if _has_table(path, old, "is not"):
        if b"[tool.cachy" not in old:
            raise Problem(f"{path} sets tool.cachy without a line [tool.cachy]; it needs one to be seen")
        return f"{path} has [tool.cachy] already"
    # Asked before it is written, so that the file stays valid for all other tools too.
    _has_table(path, _added(old, _TABLE), "would not be")
    _append(path, _TABLE)
    return f"[tool.cachy] added to {path}"


def _has_table(path: str, toml: bytes, it_is_not: str) -> bool:
    try:
        tools = settings.parse(toml).get("tool")
    except ValueError as problem:
        raise Problem(
            f"{path}: [tool.cachy] cannot be added, it {it_is_not} valid TOML ({problem})"
        ) from None
    return isinstance(tools, dict) and "cachy" in tools


def _add_attribute(path: str, line: str) -> str:
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
    name = os.path.relpath(store, project).replace(os.sep, "/") + ("/" if is_folder(store) else "")
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
