"""Agents and SDKs at their newest versions: a second, fresh process replays whole what the first one did."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from environments import TREE

pytest.register_assert_rewrite("frameworks.running")

from frameworks.running import (  # noqa: E402
    KEY,
    SUITES,
    Part,
    Suite,
    Unavailable,
    environment,
    provider_for,
    twice,
)


@pytest.mark.slow
@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_a_second_process_replays_all_of_it(suite: Suite, wheel: Path, tmp_path: Path) -> None:
    """Each part is recorded with every request, and a fresh process sees the same and asks nobody."""
    try:
        python = environment(suite, wheel, tmp_path)
    except Unavailable as reason:
        pytest.skip(str(reason))
    provider = provider_for(suite)
    try:
        live, again = twice(suite, python, provider, tmp_path)
    finally:
        provider.stop()
    assert live.status == 0, live.stderr
    assert live.parts
    for part in live.parts:
        assert part.requests > 0, part.name
        assert (part.name, part.recorded) == (part.name, expected(suite, part)), live.stderr
    assert again.status == 0, again.stderr
    covered = [part for part in live.parts if part.name not in suite.not_covered]
    for before, after in zip(covered, again.parts, strict=True):
        assert (after.name, after.seen) == (before.name, before.seen)
        assert (after.name, after.requests, after.recorded) == (after.name, 0, 0)
    assert again.count("replayed") == live.count("recorded") + live.count("replayed") > 0
    assert KEY not in (tmp_path / "calls.jsonl").read_text("utf-8")


def expected(suite: Suite, part: Part) -> int:
    """How many recordings a part must leave behind."""
    return 0 if part.name in suite.not_covered else part.requests


def test_the_page_of_coverage_is_about_these_suites() -> None:
    """`docs/coverage.md` has a table for each suite and for nothing else, without a call that was not replayed."""
    page = (TREE / "docs" / "coverage.md").read_text("utf-8")
    heads = re.findall(r"^## (\S+) \d\S*(?: \((.+)\))?$", page, re.M)
    assert heads == [(suite.distribution, suite.kind) for suite in SUITES]
    assert "**no**" not in page
    told = re.findall(r"^\| (.+?) \| \d+ \| \d+ \| no: (.+?) \|", page, re.M)
    assert told == [pair for suite in SUITES for pair in suite.not_covered.items()]
