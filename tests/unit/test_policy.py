"""The decision about one call, as a table."""

from __future__ import annotations

import pytest

from cachy.policy import Action, decide


@pytest.mark.parametrize(
    ("mode", "found", "changes_state", "action"),
    [
        ("auto", True, False, Action.REPLAY),
        ("auto", False, False, Action.RECORD),
        ("auto", True, True, Action.RECORD),
        ("auto", False, True, Action.RECORD),
        ("replay", True, False, Action.REPLAY),
        ("replay", True, True, Action.REPLAY),
        ("replay", False, False, Action.REFUSE),
        ("replay", False, True, Action.REFUSE),
        ("record", True, False, Action.RECORD),
        ("record", False, True, Action.RECORD),
        ("off", True, False, Action.PASS),
        ("off", False, True, Action.PASS),
    ],
)
def test_decide(mode: str, found: bool, changes_state: bool, action: Action) -> None:
    """Each mode does what its name says; a call that changes state is always made in auto."""
    assert decide(mode, found=found, changes_state=changes_state) is action
