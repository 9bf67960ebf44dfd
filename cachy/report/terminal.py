"""The wording of the line at exit, and how it gets onto stderr whatever state stderr is in."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..tally import Stats

# What follows names a bucket (of Azure: maybe with `@` and its account), never a user.
_BUCKETS = ("s3", "gs", "az")


def exit_line(stats: Stats, store: str, mode_note: str = "", processes: int = 1, money: str = "") -> str:
    """One line, without its newline: `cachy  42 replayed · 3 recorded · saved 61 s · cachy.jsonl`.

    Args:
        stats: the counts; what is zero is not mentioned.
        store: path or URL of the recordings; a password in a URL is not shown.
        mode_note: what to know about the mode, such as "replay, because CI is set".
        processes: how many processes the counts come from.
        money: what the replayed calls would have cost, as `$1.94 est.`, where that is known.
    """
    parts = counted(stats)
    if stats.saved_ms or money:
        parts.append(f"saved {', '.join(filter(None, (duration(stats.saved_ms), money)))}")
    if processes > 1:
        parts.append(f"in {processes} processes")
    if mode_note:
        parts.append(f"mode {mode_note}")
    if store:
        parts.append(place(store))
    return "cachy  " + " · ".join(parts)


def counted(stats: Stats) -> list[str]:
    """The counts in words, without what is zero: `["42 replayed", "3 recorded"]`."""
    counts = (
        (stats.hits, "replayed"),
        (stats.recorded, "recorded"),
        (stats.missed, "missed"),
        (stats.bypassed, "not recorded" + _commonest(stats.reasons)),
        (stats.escaped, "escaped" + _commonest(stats.escapes)),
        (stats.verified, "verified"),
        (stats.drifted, "drifted"),
    )
    return [f"{number} {word}" for number, word in counts if number]


def _commonest(reasons: dict[str, int]) -> str:
    return f" ({max(reasons, key=lambda reason: reasons[reason])})" if reasons else ""


def duration(ms: int) -> str:
    """Milliseconds as people read them: `840 ms`, `4.2 s`, `61 s`, `2 m 5 s`, `1 h 2 m`."""
    if ms < 1000:
        return f"{ms} ms"
    if ms < 9950:
        return f"{ms / 1000:.1f} s"
    seconds = (ms + 500) // 1000
    if seconds < 120:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} m {seconds} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} m"


def place(store: str) -> str:
    """A store as people know it: relative to the working directory or to `~`; a URL without its password."""
    if "://" in store:
        scheme, _, rest = store.partition("://")
        # No bucket has a colon in its name: that is a key and its secret, all the same.
        if scheme.lower() not in _BUCKETS or ":" in rest.partition("?")[0].partition("/")[0]:
            # The last one: a password may hold an @, a slash or a question mark that nobody has escaped.
            rest = rest.rpartition("@")[2]
        return f"{scheme}://{rest.partition('?')[0]}"
    try:
        here = os.getcwd()
    except OSError:  # the working directory was deleted
        here = ""
    for folder, sign in ((here, ""), (os.path.expanduser("~"), "~" + os.sep)):
        inside = folder.rstrip("\\/") + os.sep
        if len(inside) > 1 and store.startswith(inside):
            return sign + store[len(inside) :]
    return store


def say(line: str) -> None:
    """Write `line` and a newline on stderr. Never raises, and never leaves anything in a buffer."""
    stream = sys.stderr
    try:
        encoding = stream.encoding or "ascii"
        try:
            data = f"{line}\n".encode(encoding)
        except UnicodeEncodeError:
            data = f"{line.replace('·', '-')}\n".encode(encoding, "backslashreplace")
        stream.flush()
        # Past the buffer: what a broken pipe leaves in there makes Python exit with status 120.
        binary = getattr(stream, "buffer", None)
        raw = getattr(binary, "raw", binary)
        if raw is None:
            stream.write(data.decode(encoding))
        else:
            raw.write(data)
    except Exception:  # noqa: BLE001 - stderr is None, closed or broken: then nobody reads it
        pass
