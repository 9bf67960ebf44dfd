"""What to do with one call: a pure function of the mode, the request and what the store holds."""

from __future__ import annotations

from datetime import datetime, timezone
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .values import TtlRule


class Action(Enum):
    """What can happen to a call."""

    REPLAY = "replay"  # answer from the recording
    RECORD = "record"  # call, and record the answer
    REFUSE = "refuse"  # raise Miss; nothing is sent
    PASS = "pass"  # call, and leave no trace
    VERIFY = "verify"  # call, and compare the answer with the recording


class Found(Enum):
    """What the store holds for a request."""

    NOTHING = "nothing"
    WHOLE = "whole"  # an answer that ended well
    PARTIAL = "partial"  # the beginning of an answer whose consumer left
    EXPIRED = "expired"  # a whole answer that is older than its `ttl`


def decide(mode: str, found: Found, *, must_go_out: bool = False) -> Action:
    """Decide one call.

    `must_go_out`: an answer of before would be wrong in a run that may call. The request asks the provider to forget
    or stop something (DELETE, cancel), lists what other calls change, or signs in; or the answer may be one of a poll.
    """
    if mode == "off":
        return Action.PASS
    if mode == "record":
        return Action.RECORD
    if mode == "verify":
        return Action.VERIFY if found in (Found.WHOLE, Found.EXPIRED) else Action.PASS
    if mode == "replay":
        return Action.REFUSE if found is Found.NOTHING else Action.REPLAY
    return Action.REPLAY if found is Found.WHOLE and not must_go_out else Action.RECORD


def time_to_live(rules: Iterable[TtlRule], provider: str, host: str, path: str) -> float | None:
    """The seconds after which an answer expires, by the narrowest rule; None: never.

    A rule is for a path and all below it (`/v1/models`), for a host, for a provider, or for everything (`*`).
    """
    best: tuple[tuple[int, int], float] | None = None
    for rule in rules:
        of = rule.pattern
        if of.startswith("/"):
            rank = 3 if path == of or path.startswith(of.rstrip("/") + "/") else 0
        else:
            rank = 2 if of == host else 1 if of == provider else 0
        if of != "*" and not rank:
            continue
        narrowness = (rank, len(of))
        if best is None or narrowness > best[0]:
            best = (narrowness, rule.seconds)
    return best[1] if best else None


def age(at: str, now: float) -> float:
    """The seconds since `at` (ISO 8601, UTC, to the second); not below 0, as clocks are also put back.

    Raises ValueError when it is no such time.
    """
    if len(at) != 20 or at[10] != "T" or at[19] != "Z":
        raise ValueError(f"not a time: {at!r}")
    # Not strptime, which takes milliseconds when it is first used.
    parts = (at[0:4], at[5:7], at[8:10], at[11:13], at[14:16], at[17:19])
    return max(0.0, now - datetime(*map(int, parts), tzinfo=timezone.utc).timestamp())  # type: ignore[arg-type, misc]
