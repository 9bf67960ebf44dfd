"""The names of Answer.AI's pycachy, with its behaviour: change nothing but the installed distribution.

`from cachy import enable_cachy; enable_cachy()` records to and replays from the `cachy.jsonl` of the project,
recordings made by any version of pycachy included.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from . import api, session
from .blocks import Block, block
from .engine import Watch

doms: tuple[str, ...] = (
    "chatgpt.com",
    "api.openai.com",
    "api.anthropic.com",
    "generativelanguage.googleapis.com",
    "api.deepseek.com",
    "api.fireworks.ai",
    "openrouter.ai",
    "api.groq.com",
    "api.together.xyz",
    "api.mistral.ai",
    "api.x.ai",
    "api.moonshot.ai",
)
"""The hosts that pycachy covers. cachy itself knows more; `enable_cachy(doms=...)` covers exactly those given."""


def enable_cachy(
    cache_dir: str | os.PathLike[str] | None = None,
    doms: Sequence[str] | None = None,
    hdrs: Sequence[str] | None = None,
    debug: bool | str = False,
) -> None:
    """Replay recorded answers and record new ones.

    Args:
        cache_dir: folder of `cachy.jsonl`; by default the nearest folder at or above the working directory with
            a `pyproject.toml`, else the working directory.
        doms: domains to cover, instead of all the providers that cachy knows.
        hdrs: more response headers to record, beside those that SDKs need.
        debug: print what becomes of each call on stdout, as pycachy does; `"miss"` prints only what was not
            replayed.
    """
    session.enable(*_settings(cache_dir, doms, hdrs, debug))


def disable_cachy() -> None:
    """Undo `enable_cachy`."""
    api.disable()


def no_cachy() -> Block:
    """Calls made within the block go out live and are not recorded."""
    return session.bypass()


@block
def cachy(
    cache_dir: str | os.PathLike[str] | None = None,
    doms: Sequence[str] | None = None,
    hdrs: Sequence[str] | None = None,
    debug: bool | str = False,
) -> Iterator[None]:
    """`enable_cachy` for the block only, in the current task or thread."""
    with session.using(*_settings(cache_dir, doms, hdrs, debug)):
        yield


def _settings(
    cache_dir: str | os.PathLike[str] | None,
    doms: Sequence[str] | None,
    hdrs: Sequence[str] | None,
    debug: bool | str,
) -> tuple[dict[str, Any], tuple[str, ...] | None, Watch | None]:
    folder = os.fspath(cache_dir) if cache_dir is not None else _project()
    store = os.path.join(folder, "cachy.jsonl")
    older = os.path.join(folder, "cachy.txt")  # what lisette's first version wrote
    if not os.path.exists(store) and os.path.exists(older):
        store = older
    arguments: dict[str, Any] = {"mode": "auto", "store": os.path.abspath(store)}
    if hdrs:
        arguments["keep_headers"] = tuple(hdrs)
    only = tuple(_host(dom) for dom in doms) if doms is not None else None
    return arguments, only, _printer(only_misses=debug == "miss") if debug else None


def _printer(only_misses: bool) -> Watch:
    def watch(outcome: str, key: str, method: str, url: str) -> None:
        if outcome == "hit":
            if not only_misses:
                print(f"🟢 HIT {key[:8]} {method} {url}")
        else:
            print(f"🔴 MISS {key[:8]} {method} {url}")

    return watch


def _project() -> str:
    here = folder = os.getcwd()
    while not os.path.exists(os.path.join(folder, "pyproject.toml")):
        parent = os.path.dirname(folder)
        if parent == folder:
            return here
        folder = parent
    return folder


def _host(dom: str) -> str:
    # pycachy looks for the text anywhere in the URL; people write hosts, some with a scheme or a path.
    return dom.rpartition("://")[2].partition("/")[0].lower()
