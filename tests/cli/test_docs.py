"""docs/cli.md tells what the verbs really say and take."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cli.conftest import Run

from cachy.cli import VERBS

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"
START = "## All verbs\n"


def test_the_help_in_the_docs_is_the_help(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written anew by this test when it is not, and then it fails once."""
    monkeypatch.setenv("COLUMNS", "80")
    texts = [START, f"```text\n$ cachy --help\n{run('--help')[1]}```\n"]
    for verb in VERBS:
        texts.append(f"### {verb}\n\n```text\n$ cachy {verb} --help\n{run(verb, '--help')[1]}```\n")
    before = DOCS.read_text("utf-8")
    wanted = before[: before.index(START)] + "\n".join(texts)
    if wanted != before:
        DOCS.write_text(wanted, "utf-8", newline="\n")
    assert before == wanted, "docs/cli.md was stale and has been written anew: look at it and commit it"


def test_every_field_of_json_is_documented(store: Path, run: Run, keys: dict[str, str]) -> None:
    """No verb prints a field at the top, or of a recording, that docs/cli.md does not name."""
    named = set(re.findall(r"`(\w+)`|\b(\w+)(?=[,}])", DOCS.read_text("utf-8").partition(START)[0]))
    known = {name for pair in named for name in pair}
    for argv in (
        ("ls",),
        ("search", "whale"),
        ("show", keys["chat"]),
        ("diff", keys["chat"], keys["dated"]),
        ("stats",),
        ("verify",),
        ("prune", "--provider", "none", "--dry-run"),
        ("compact",),
        ("rekey",),
        ("doctor", "--no-self-test"),
        ("config",),
    ):
        report = json.loads(run(*argv, "--json")[1])
        assert report["version"] == 1
        listed = report["recordings"] if argv[0] in ("ls", "search") else []
        fields = set(report) | {field for found in listed for field in found}
        assert fields - known == set(), argv


def test_every_verb_that_reads_has_json(run: Run) -> None:
    """And only these have none."""
    without = {verb for verb in VERBS if "--json" not in run(verb, "--help")[1]}
    assert without == {"run", "demo", "export", "init", "trust", "completion", "textconv"}
