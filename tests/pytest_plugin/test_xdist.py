"""Tests in several processes: the controller sums up, and nothing is lost."""

from __future__ import annotations

import re

import pytest

from .conftest import Project, told

pytestmark = pytest.mark.slow

MANY = """
import pytest
from ask import ask

@pytest.mark.parametrize("number", range(8))
def test_many(number):
    ask(f"number {number}")
    ask("the same")
"""


def test_the_controller_sums_up(project: Project) -> None:
    """Counts, tests and what is unused are those of all workers; no worker prints a line of its own."""
    project.write(test_a=MANY)
    first = project.test("--cachy", "auto", "-n", "2", "-v")
    first.assert_outcomes(passed=8)
    assert len(set(project.provider.asked)) == 9
    # Two workers may ask the same at once; each call counts once, whatever became of it.
    assert sum(map(int, re.findall(r"(\d+) (?:replayed|recorded)", told(first)[0]))) == 16
    assert "cachy  " not in first.stderr.str()
    assert first.stdout.str().count(" PASSED (") == 8
    assert {line["test"] for line in project.recordings()} == {f"test_a.py::test_many[{n}]" for n in range(8)}
    project.provider.stop()
    project.write(test_a=MANY.replace("range(8)", "range(7)"))
    second = project.test("--cachy", "replay", "-n", "2", "--cachy-prune")
    assert told(second) == [
        "cachy: 14 replayed, 1 unused · cachy.jsonl",
        "cachy: 1 deleted that no test used (--cachy-prune)",
    ]
    # A run of a part is one for the workers too.
    project.write(test_a=MANY.replace("range(8)", "range(6)"))
    third = project.test("--cachy", "replay", "-n", "2", "-k", "test_many")
    assert told(third) == ["cachy: 12 replayed · cachy.jsonl"]


def test_a_worker_that_dies_loses_no_count(project: Project) -> None:
    """What it has asked before counts, and the run tells nothing about unused recordings."""
    project.write(test_a=MANY.replace("range(8)", "range(4)"))
    project.test("--cachy", "auto")
    project.write(
        test_a=MANY.replace("range(8)", "range(4)").replace(
            '    ask("the same")', '    ask("the same")\n    if number == 1:\n        import os; os._exit(3)'
        )
    )
    result = project.test("--cachy", "replay", "-n", "2")
    result.assert_outcomes(passed=3, failed=1)
    assert told(result) == ["cachy: 8 replayed · cachy.jsonl"]


def test_misses_and_failures_come_from_the_workers(project: Project) -> None:
    """With the explanation, and with what `--cachy-fail-on` names."""
    project.write(
        test_a="""
        import cachy
        from ask import ask

        def test_a():
            try:
                ask("one")
            except cachy.Miss:
                pass
            assert 0

        def test_b():
            pass
        """
    )
    result = project.test("--cachy", "replay", "-n", "2", "--cachy-fail-on", "miss")
    assert "nothing like it is recorded in cachy.jsonl (mode replay, nothing was sent)" in result.stdout.str()
    assert told(result) == [
        "cachy: 1 missed · cachy.jsonl",
        "cachy: failed, as --cachy-fail-on says: 1 call missed, in test_a.py::test_a",
    ]


def test_sessions_that_only_the_workers_open_count(project: Project) -> None:
    """The controller of a run that seemed to be none of ours sums up all the same."""
    project.write(
        test_a="""
        import cachy
        from ask import ask

        def test_a():
            with cachy.using("auto", store="mine.jsonl"):
                ask("one")
        """
    )
    assert told(project.test("-n", "2")) == ["cachy: 1 recorded · mine.jsonl"]
