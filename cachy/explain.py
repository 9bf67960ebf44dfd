"""Why a request has no recording: the nearest recording, what differs, and what to do about it.

Runs only when a miss is certain, and never for longer than a quarter of a second.
"""

from __future__ import annotations

import os
import sys
import time
from types import FrameType
from typing import TYPE_CHECKING, Any

from . import tally
from .errors import Miss
from .exchange import Request
from .notices import in_brief
from .recording import Recording
from .report.terminal import place

if TYPE_CHECKING:
    from .engine import Engine
    from .keys import Canonical
    from .providers import Claim

_BUDGET = 0.25  # seconds for the search; it grows with the store, a person's patience does not
_SHOWN = 5  # differences
_AROUND = 24  # characters of context on either side of a difference in a text
_COMPARED = 20_000  # characters of a text that are looked at to tell how alike two are
_clock = time.perf_counter

Leaves = dict[str, Any]


def explain(
    engine: Engine, request: Request, claim: Claim, wanted: Canonical | None, problem: str = ""
) -> Miss:
    """The Miss for a request; `wanted` is None when not even its key could be made (`problem` says why)."""
    url = engine.shown_url(request, claim)
    settings = engine.settings
    store = place(engine.store.url)
    why = "CI is set, so nothing is called" if settings.mode_is_from_ci else "mode replay, nothing was sent"
    asked = wanted.data() if wanted else {}
    leaves = _leaves(asked)
    nearest = _Nearest()
    differences: tuple[str, ...] = ()
    if wanted:
        try:
            nearest.search(engine, asked, leaves)
        except Exception as trouble:  # noqa: BLE001 - a damaged store must not hide the miss behind another error
            problem = problem or in_brief(trouble)
    if nearest.key:
        names, lines = _compare(nearest.leaves, leaves)
        differences = tuple(lines)
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        first = f"{shown} not as in recording {nearest.key[:8]}"
        if wanted and nearest.key == wanted.key:  # a partial one
            first = f"recording {nearest.key[:8]} ends here, because whoever recorded it read no further"
        elif not names:  # made by a cachy with other rules of redaction or of keys
            first = f"recording {nearest.key[:8]} has the same request under another key"
    elif problem:
        first = f"the recordings could not be searched ({problem})"
    elif nearest.cut:
        first = f"nothing like it is among the newest {nearest.seen} recordings in {store}"
    else:
        first = f"nothing like it is recorded in {store}"
    model = leaves.get("body.model")
    caller = _caller()
    if settings.origins.get("mode", "").startswith("block "):
        todo = 'with the mode of this block set to "auto"'
    else:
        todo = "with cachy-run --mode auto" if tally.RUN_DIR in os.environ else "with CACHY=auto"
    lines = [
        f"{first} ({why})",
        f"  {request.method} {url}"
        + (f"  {model}" if isinstance(model, str) else "")
        + (f"  at {caller}" if caller else ""),
        *(f"  {line}" for line in differences[:_SHOWN]),
    ]
    if len(differences) > _SHOWN:
        lines.append(f"  … and {len(differences) - _SHOWN} more differences")
    lines.append(f"  to record it, run once {todo} (store: {store})")
    return Miss(
        "\n".join(lines),
        method=request.method,
        url=url,
        provider=claim.provider.name,
        key=wanted.key if wanted else "",
        store=store if "://" in engine.store.url else engine.store.url,
        request=asked,
        nearest=nearest.key or None,
        differences=differences,
    )


def _leaves(asked: dict[str, Any]) -> Leaves:
    """Each value of a canonical request by its path: `{"body.messages[1].content": "..."}`."""
    found: Leaves = {}

    def walk(path: str, value: Any) -> None:
        if isinstance(value, dict) and value:
            for name, item in value.items():
                walk(f"{path}.{name}" if path else name, item)
        elif isinstance(value, list) and value:
            for index, item in enumerate(value):
                walk(f"{path}[{index}]", item)
        else:
            found[path] = value

    for name, value in asked.items():
        # People know the fields of the body by their own names, not by the form it is kept in.
        inner = value.get("json", value) if name == "body" and isinstance(value, dict) else value
        walk(name, inner)
    return found


class _Nearest:
    """The recording that has most in common with a request: one for the same method, host and path, else one with
    the same body (another model or version in the path, another port)."""

    def __init__(self) -> None:
        self.key = ""
        self.leaves: Leaves = {}
        self.seen = 0
        self.cut = False
        """Whether the time was over before all recordings had been seen."""

    def search(self, engine: Engine, asked: dict[str, Any], leaves: Leaves) -> None:
        """Go through the recordings, the newest first. Raises what the store raises."""
        until = _clock() + _BUDGET
        best = (False, float("-inf"))
        for key, line in reversed(engine.store):
            if _clock() > until:
                self.cut = True
                return
            self.seen += 1
            try:
                request = Recording.from_line(line).request
                here = _same(request, asked, "method", "host", "path")
                if not here and not (asked.get("body") and _same(request, asked, "method", "body")):
                    continue
            except (ValueError, AttributeError):  # pycachy's, or damaged
                continue
            theirs = _leaves(request)
            score = (here, _likeness(theirs, leaves))
            if score > best:
                best, self.key, self.leaves = score, key, theirs


def _same(one: dict[str, Any], other: dict[str, Any], *names: str) -> bool:
    return all(one.get(name) == other.get(name) for name in names)


def _likeness(theirs: Leaves, ours: Leaves) -> float:
    """How much two requests share: equal leaves count one, texts by the words they share."""
    score = 0.0
    for path in theirs.keys() | ours.keys():
        one, other = theirs.get(path), ours.get(path)
        if one == other and path in theirs and path in ours:
            score += 1
        elif isinstance(one, str) and isinstance(other, str):
            first, second = set(one[:_COMPARED].split()), set(other[:_COMPARED].split())
            score += len(first & second) / (len(first | second) or 1)
        else:
            score -= 0.5
    return score


def _compare(theirs: Leaves, ours: Leaves) -> tuple[list[str], list[str]]:
    """The differing paths, and a line for each: `~ changed`, `+ only asked now`, `- only recorded`."""
    names, lines = [], []
    for path in [*ours, *(path for path in theirs if path not in ours)]:
        if path in theirs and path in ours and theirs[path] == ours[path]:
            continue
        name = path.removeprefix("body.")
        names.append(name)
        if path not in theirs:
            lines.append(f"+ {name}: {_show(ours[path])}")
        elif path not in ours:
            lines.append(f"- {name}: {_show(theirs[path])}")
        else:
            lines.append(f"~ {name}: {_show_change(theirs[path], ours[path])}")
    return names, lines


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


def _show_change(one: Any, other: Any) -> str:
    if not (isinstance(one, str) and isinstance(other, str)):
        return f"{_show(one)} -> {_show(other)}"
    start = _common(one, other)
    end = _common(one[start:][::-1], other[start:][::-1])
    return f"{_excerpt(one, start, len(one) - end)} -> {_excerpt(other, start, len(other) - end)} (from character {start})"


def _common(one: str, other: str) -> int:
    """How many characters two texts begin with in common."""
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return index
    return min(len(one), len(other))


def _excerpt(text: str, start: int, end: int) -> str:
    end = min(end, start + 80)
    left, right = max(0, start - _AROUND), min(len(text), end + _AROUND)
    return repr(("…" if left else "") + text[left:right] + ("…" if right < len(text) else ""))


def _caller() -> str:
    """File and line of the user's code that made the call, or ""."""
    ours = os.path.join(os.path.dirname(os.path.abspath(__file__)), "")
    library = os.path.join(os.path.dirname(os.__file__), "")
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        inside = name.startswith((ours, library, "<")) or "site-packages" in name or "dist-packages" in name
        if not inside:
            return f"{place(name)}:{frame.f_lineno}"
        frame = frame.f_back
    return ""
