"""Agents and SDKs at their newest versions: a second, fresh process replays whole what the first one did."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("frameworks.running")

from frameworks.running import KEY, SUITES, Suite, Unavailable, environment, run  # noqa: E402
from sdk.provider import Provider  # noqa: E402


@pytest.fixture
def provider() -> Iterator[Provider]:
    running = Provider()
    yield running
    running.stop()


@pytest.mark.slow
@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_a_second_process_replays_all_of_it(
    suite: Suite, wheel: Path, provider: Provider, tmp_path: Path
) -> None:
    """Each part is recorded with every request, and a fresh process sees the same and asks nobody."""
    try:
        python = environment(suite, wheel, tmp_path)
    except Unavailable as reason:
        pytest.skip(str(reason))
    live = run(suite, python, provider, tmp_path)
    assert live.status == 0, live.stderr
    for part in live.parts:
        expected = 0 if part.name in suite.not_covered else part.requests
        assert (part.name, part.recorded) == (part.name, expected), live.stderr
        assert part.requests > 0
    provider.hang_up()
    again = run(suite, python, provider, tmp_path)
    assert again.status == 0, again.stderr
    assert again.parts
    for before, after in zip(live.parts, again.parts, strict=True):
        assert (after.name, after.seen) == (before.name, before.seen)
        assert (after.requests, after.recorded) == (0, 0), after.name
    assert again.count("replayed") == live.count("recorded") > 0
    assert KEY not in (tmp_path / "calls.jsonl").read_text("utf-8")
