"""What to do with one call: a pure function of the mode, the request and what the store holds."""

from __future__ import annotations

from enum import Enum


class Action(Enum):
    """The four things that can happen to a call."""

    REPLAY = "replay"  # answer from the recording
    RECORD = "record"  # call, and record the answer
    REFUSE = "refuse"  # raise Miss; nothing is sent
    PASS = "pass"  # call, and leave no trace


def decide(mode: str, *, found: bool, changes_state: bool = False) -> Action:
    """Decide one call.

    `found`: the store holds an answer that may be served. `changes_state`: the request asks the provider to
    forget or stop something (DELETE, cancel); a live run must really do that, so `auto` forwards it every time.
    """
    if mode == "off":
        return Action.PASS
    if mode == "record":
        return Action.RECORD
    if mode == "replay":
        return Action.REPLAY if found else Action.REFUSE
    return Action.REPLAY if found and not changes_state else Action.RECORD
