"""The decision about one call, as tables."""

from __future__ import annotations

import pytest

from cachy.policy import Action, Found, age, decide, time_to_live
from cachy.values import TtlRule

NOTHING, WHOLE, PARTIAL, EXPIRED = Found.NOTHING, Found.WHOLE, Found.PARTIAL, Found.EXPIRED


@pytest.mark.parametrize(
    ("mode", "found", "must_go_out", "action"),
    [
        ("auto", WHOLE, False, Action.REPLAY),
        ("auto", WHOLE, True, Action.RECORD),
        ("auto", NOTHING, False, Action.RECORD),
        ("auto", PARTIAL, False, Action.RECORD),
        ("auto", EXPIRED, False, Action.RECORD),
        ("replay", WHOLE, False, Action.REPLAY),
        ("replay", WHOLE, True, Action.REPLAY),
        ("replay", PARTIAL, False, Action.REPLAY),
        ("replay", EXPIRED, False, Action.REPLAY),
        ("replay", NOTHING, False, Action.REFUSE),
        ("replay", NOTHING, True, Action.REFUSE),
        ("record", WHOLE, False, Action.RECORD),
        ("record", NOTHING, True, Action.RECORD),
        ("verify", WHOLE, False, Action.VERIFY),
        ("verify", EXPIRED, False, Action.VERIFY),
        ("verify", PARTIAL, False, Action.PASS),
        ("verify", NOTHING, False, Action.PASS),
        ("off", WHOLE, False, Action.PASS),
        ("off", NOTHING, True, Action.PASS),
    ],
)
def test_decide(mode: str, found: Found, must_go_out: bool, action: Action) -> None:
    """Each mode does what its name says; what must go out does so in auto alone."""
    assert decide(mode, found, must_go_out=must_go_out) is action


RULES = [
    TtlRule("*", 1),
    TtlRule("openai", 2),
    TtlRule("api.openai.com", 3),
    TtlRule("/v1/models", 4),
    TtlRule("/v1/models/gpt-5", 5),
]


@pytest.mark.parametrize(
    ("provider", "host", "path", "seconds"),
    [
        ("cohere", "api.cohere.com", "/v2/chat", 1),
        ("openai", "eu.api.openai.com", "/v1/responses", 2),
        ("openai", "api.openai.com", "/v1/responses", 3),
        ("openai", "api.openai.com", "/v1/models", 4),
        ("openai", "api.openai.com", "/v1/models/gpt-4", 4),
        ("openai", "api.openai.com", "/v1/models/gpt-5", 5),
        ("openai", "api.openai.com", "/v1/modelsthatarenot", 3),
    ],
)
def test_the_narrowest_time_to_live_counts(provider: str, host: str, path: str, seconds: int) -> None:
    """A path before a host, a host before a provider, that before everything; the longer path before the shorter."""
    for rules in (RULES, RULES[::-1]):
        assert time_to_live(rules, provider, host, path) == seconds
    assert time_to_live([], provider, host, path) is None


def test_age() -> None:
    """Seconds since the recording; a clock that was put back makes nothing older or younger than new."""
    assert age("1970-01-01T00:01:00Z", 100.0) == 40.0
    assert age("2026-11-24T08:00:00Z", 0.0) == 0.0
    for text in ("", "2026-11-24", "2026-11-24 08:00:00Z", "2026-11-24T08:00:00+1", "xxxx-11-24T08:00:00Z"):
        with pytest.raises(ValueError):
            age(text, 0.0)
