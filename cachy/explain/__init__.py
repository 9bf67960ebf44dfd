"""Why a request has no recording: the nearest recording, what differs, and what to do about it.

Runs only when a miss is certain. A person waits for it: the search has its time (see `cachy.explain.nearest`), and
what is compared and shown is bounded.
"""

from __future__ import annotations

import builtins
import os
import shlex
import sys
from typing import TYPE_CHECKING

from .. import redact, tally
from ..culprit import user_line
from ..errors import Miss
from ..exchange import Request
from ..notices import in_brief, printable
from ..recording import response_of
from ..report.terminal import place
from ..stores import StoreError
from ..verdicts import current_test
from . import misses
from .difference import changes, line_of
from .guess import guess
from .nearest import Nearest, search

if TYPE_CHECKING:
    from ..engine import Engine
    from ..keys import Canonical
    from ..providers import Claim
    from ..settings import Settings

_SHOWN = 5  # differences
_LONGEST_COMMAND = 160  # characters


def explain(
    engine: Engine, request: Request, claim: Claim, wanted: Canonical | None, problem: str = ""
) -> Miss:
    """The Miss for a request; `wanted` is None when not even its key could be made (`problem` says why)."""
    url = engine.shown_url(request, claim)
    store = place(engine.store.url)
    asked = wanted.data() if wanted else {}
    found = Nearest()
    if wanted:
        try:
            found = search(engine.store, asked, engine.waited)
            engine.waited = 0.0
        except Exception as trouble:  # noqa: BLE001 - a damaged store must not hide the miss behind another error
            problem = problem or in_brief(trouble)
    differing = changes(found.request, asked) if found.key else []
    differences = tuple(map(line_of, differing))
    cause = guess(differing)
    settings = engine.settings
    if found.key and wanted and found.key == wanted.key:
        first = _of_itself(engine, found.key)
    elif found.key:
        first = _differing(found.key, [change.path for change in differing])
    elif problem:
        first = f"the recordings could not be searched ({problem})"
    elif found.cut:
        first = f"nothing like it is among the newest {found.searched} recordings in {store}"
    else:
        first = f"nothing like it is recorded in {store}"
    why = "CI is set, so nothing is called" if settings.mode_is_from_ci else "mode replay, nothing was sent"
    caller, command = user_line(), _command(settings)
    asked_for = (
        f"  {request.method} {url}",
        printable(wanted.model) if wanted else "",
        caller and f"at {caller}",
    )
    lines = [f"{first} ({why})", "  ".join(filter(None, asked_for))]
    lines += [f"  {line}" for line in differences[:_SHOWN]]
    if len(differences) > _SHOWN:
        lines.append(f"  … and {len(differences) - _SHOWN} more differences")
    if cause:
        lines.append(f"  looks volatile ({cause.what}), would be cured by: {cause.line}")
    if found.key and found.cut:
        lines.append(f"  searched the newest {found.searched:,} of {len(engine.store):,} recordings")
    lines.append(f"  {_way_to_record(settings, command)} (store: {store})")
    miss = Miss(
        "\n".join(lines),
        method=request.method,
        url=url,
        provider=claim.provider.name,
        key=wanted.key if wanted else "",
        store=store if "://" in engine.store.url else engine.store.url,
        request=asked,
        nearest=found.key or None,
        differences=differences,
        changes=tuple(differing),
        guess=cause.line if cause else "",
        caller=caller,
        command=command,
    )
    misses.note(miss)
    return miss


def _of_itself(engine: Engine, key: str) -> str:
    """Why a recording is no answer to its own request: it is one of a partial answer, or no whole line."""
    try:
        response_of(engine.store.get(key) or b"")
    except (ValueError, StoreError):
        return f"recording {key[:8]} is damaged (`cachy verify` tells more)"
    return f"recording {key[:8]} ends here, because whoever recorded it read no further"


def _differing(key: str, places: list[str]) -> str:
    """What differs from a recording; nothing, when a cachy with other rules of redaction or of keys has made it."""
    if not places:
        return f"recording {key[:8]} has the same request under another key"
    more = f" and {len(places) - 3} more" if len(places) > 3 else ""
    return f"{', '.join(places[:3])}{more} not as in recording {key[:8]}"


def _way_to_record(settings: Settings, command: str) -> str:
    """How to make the call and have it recorded."""
    if command:
        return f"to record it: {command}"
    if hasattr(builtins, "get_ipython"):  # a notebook
        return "to record it: `%load_ext cachy`, `%cachy auto`, and run this cell again"
    if _of_a_block(settings):
        return 'to record it, run once with the mode of this block set to "auto"'
    return f"to record it, run once with {'cachy-run --mode auto' if _by_run() else 'CACHY=auto'}"


def _of_a_block(settings: Settings) -> bool:
    """Whether a block says the mode, whatever the command does."""
    return settings.origins.get("mode", "").startswith("block ")


def _command(settings: Settings) -> str:
    """The command that makes the call again and records it, or "" when it cannot be known."""
    if _of_a_block(settings):
        return ""
    test = current_test()
    words = ["pytest", test] if test else _typed(list(sys.orig_argv))
    by_plugin = test and "cachy.pytest_run" in sys.modules
    if by_plugin:
        words[1:1] = ["--cachy", "auto"]
    command = " ".join(map(shlex.quote, words))
    if not words or len(command) > _LONGEST_COMMAND or redact.mask_text(command) != command:
        return ""
    if by_plugin:
        return printable(command)
    return printable(f"cachy-run --mode auto {command}" if _by_run() else f"CACHY=auto {command}")


def _by_run() -> bool:
    """Whether cachy-run says the mode: it has said one already, or it is Windows, where nothing can be set in front
    of a command."""
    return tally.RUN_DIR in os.environ or os.name == "nt"


def _typed(argv: list[str]) -> list[str]:
    """The words of the command that started this Python, as a person would type them; [] when nobody would."""
    program, *rest = argv or [""]
    if not rest or any(word in ("-c", "-") for word in rest) or any("ipykernel" in word for word in rest):
        return []  # a prompt, a notebook, a child of multiprocessing
    if any(name in word.lower() for word in rest for name in ("key", "token", "secret", "passw")):
        return []
    script = rest[0]
    if os.path.dirname(script) == os.path.dirname(program) and os.path.isabs(script):
        return [os.path.basename(script), *rest[1:]]  # what an environment installed: pytest, uvicorn
    return [os.path.basename(program), *rest]
