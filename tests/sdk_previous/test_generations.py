"""openai 2, anthropic 0 and google-genai 1 (on httpx), and the move to openai 3, anthropic 2 and google-genai 3."""

from __future__ import annotations

import re

import pytest

from .conftest import KEY, Record

pytestmark = pytest.mark.slow

SDKS = ("openai", "anthropic", "google")


@pytest.mark.parametrize("sdk", SDKS)
def test_a_second_run_replays_with_the_server_gone(recorded: Record, sdk: str) -> None:
    """`CACHY=1` and nothing else: a fresh process prints what the first one did, and says so in one line."""
    first = recorded(sdk, "previous")
    count = re.fullmatch(r"cachy  (\d+) recorded · .*\n", first.live.stderr)
    assert count, first.live.stderr
    second = first.again("previous", "sync:1", "async:2", CACHY="1")
    assert second.answers == first.live.answers, second.stderr
    assert re.fullmatch(rf"cachy  {count[1]} replayed · saved .*\n", second.stderr)
    assert KEY not in first.store


@pytest.mark.parametrize("sdk", SDKS)
@pytest.mark.parametrize(("by", "reader"), [("previous", "newest"), ("newest", "previous")])
def test_recordings_are_for_both_generations(recorded: Record, sdk: str, by: str, reader: str) -> None:
    """What one generation recorded, the other replays, and what a sync client recorded, an async one; and back."""
    first = recorded(sdk, by)
    done = first.again(reader, "sync:1", "async:1", "sync:2", "async:2", CACHY="replay")
    assert done.status == 0, done.stderr
    for question, live in (("1", first.live.answers["sync:1"]), ("2", first.live.answers["async:2"])):
        for flavour in ("sync", "async"):
            assert done.answers[f"{flavour}:{question}"] == live


@pytest.mark.parametrize(("sdk", "told"), [("anthropic", "header.anthropic-version"), ("google", "path")])
def test_another_version_of_the_api_is_another_request(recorded: Record, sdk: str, told: str) -> None:
    """By default the newest Anthropic and Google SDKs ask for a newer API, whose answers differ: a miss says so."""
    done = recorded(sdk, "previous").again("newest", "sync:1", pinned=False, CACHY="replay")
    assert done.status == 1
    assert f"cachy.Miss: {told} not as in recording " in done.stderr
