"""The real clocks, for a program that freezes time with freezegun.

That puts its own in the place of every function of `time` that is a name in a module, under whatever name. So these are
functions of ours, which hold the real ones where it does not look. (time-machine changes `time.time` itself; against
that nothing helps, but what is measured by the other clocks is right.)
"""

from __future__ import annotations

import time
from collections.abc import Callable


def utc(_real: Callable[[], float] = time.time) -> float:
    """Seconds since 1970."""
    return _real()


def utc_ns(_real: Callable[[], int] = time.time_ns) -> int:
    """Nanoseconds since 1970."""
    return _real()


def stamp(
    _written: Callable[[str, time.struct_time], str] = time.strftime,
    _parts: Callable[[float], time.struct_time] = time.gmtime,
) -> str:
    """The time in UTC as recordings have it, in ISO 8601 to the second: `2026-11-23T08:00:00Z` (see `policy.age`)."""
    return _written("%Y-%m-%dT%H:%M:%SZ", _parts(utc()))


def monotonic(_real: Callable[[], float] = time.monotonic) -> float:
    """Seconds on a clock that never goes backwards, and is the same for all processes of a machine."""
    return _real()


def elapsed(_real: Callable[[], float] = time.perf_counter) -> float:
    """Seconds on the most precise clock that never goes backwards."""
    return _real()
