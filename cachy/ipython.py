"""`%load_ext cachy`: the magics of IPython and Jupyter.

    %cachy status                  one line: the mode, the store, and what became of the calls so far
    %cachy auto|replay|record|off  from now on, in this kernel
    %%cachy bypass                 the calls of this cell go out live and are not recorded
    %%cachy replay|record|...      another mode for this cell

Loading the extension switches nothing on. Recordings are looked for from the folder of the notebook, wherever the
kernel was started or has gone since.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import Any

from . import _bootstrap, api, session, tally
from .report.terminal import counted, place
from .values import MODES

_FOR_CELLS = ("bypass", *MODES)


def load_ipython_extension(ipython: Any) -> None:
    """Called by `%load_ext cachy`."""
    magic = _Magic(ipython)
    ipython.register_magic_function(magic.line, "line", "cachy")
    ipython.register_magic_function(magic.cell, "cell", "cachy")
    ipython.input_transformers_cleanup.append(magic.transform)


def unload_ipython_extension(ipython: Any) -> None:
    """Called by `%unload_ext cachy`: the magics are gone, the mode stays."""
    for kind in ("line", "cell"):
        ipython.magics_manager.magics[kind].pop("cachy", None)
    transformers = ipython.input_transformers_cleanup
    transformers[:] = [one for one in transformers if not isinstance(getattr(one, "__self__", None), _Magic)]


class _Magic:
    def __init__(self, ipython: Any) -> None:
        self._ipython = ipython

    def line(self, line: str) -> None:
        """What becomes of the API calls of this notebook.

        %cachy [status]                       tell the mode, the store, and the counts
        %cachy auto|replay|record|verify|off  set the mode, from now on
        """
        words = line.split()
        if len(words) == 2 and words[0] == "--cell":
            self._during(words[1])
            return
        wish = words[0].lower() if words else "status"
        if len(words) > 1 or wish not in ("status", *MODES):
            raise self._usage("%cachy", ("status", *MODES))
        if wish == "off":
            api.disable()
        elif wish != "status":
            session.enable({"mode": wish}, cwd=self._folder(), typed=True)
        print(_status())

    def cell(self, line: str, cell: str) -> None:
        """The mode for the calls that are made while this cell runs: bypass, auto, replay, record, verify, off."""
        raise self._usage("%%cachy", _FOR_CELLS)  # the others never come here: see `transform`

    def transform(self, lines: list[str]) -> list[str]:
        """A cell that begins with `%%cachy bypass` as an ordinary one whose first line says so.

        An ordinary cell may await, shows its last value, and fails when its code does; none of which holds for the
        text that the function of a cell magic is given.
        """
        words = lines[0].split() if lines else []
        if len(words) == 2 and words[0] == "%%cachy" and words[1] in _FOR_CELLS:
            return [f"get_ipython().run_line_magic('cachy', '--cell {words[1]}')\n", *_inner(lines[1:])]
        return lines

    def _during(self, wish: str) -> None:
        """The mode `wish` until the cell has ended."""
        block: AbstractContextManager[None]
        if wish in ("bypass", "off"):
            block = session.bypass(everywhere=True)
        else:
            block = session.using({"mode": wish}, cwd=self._folder(), everywhere=True)
        block.__enter__()
        events = self._ipython.events

        def end() -> None:
            events.unregister("post_execute", end)
            block.__exit__(None, None, None)

        events.register("post_execute", end)

    def _folder(self) -> str | None:
        """The folder of the notebook, as VS Code and Jupyter tell it; else where the kernel was started."""
        for path in (self._ipython.user_ns.get("__vsc_ipynb_file__"), os.environ.get("JPY_SESSION_NAME")):
            folder = os.path.dirname(str(path)) if path else ""
            if os.path.isabs(folder) and os.path.isdir(folder):
                return folder
        return _bootstrap.cwd

    def _usage(self, magic: str, wishes: tuple[str, ...]) -> Exception:
        from IPython.core.error import UsageError

        return UsageError(f"{magic} takes one of {', '.join(wishes)}")


def _inner(lines: list[str]) -> list[str]:
    """The rest of a cell; when that begins with another cell magic (`%%time`), with a call of it. IPython looks for one
    in the first line of a cell only."""
    from IPython.core import inputtransformer2

    transforms: Any = inputtransformer2  # which has no types
    rest: list[str] = transforms.leading_empty_lines(lines)
    if not (rest and rest[0].startswith("%%")):
        return lines
    call: list[str] = transforms.cell_magic(rest)
    return call


def _status() -> str:
    session.start()
    current = session.current()
    if current is None:
        forbidden = os.environ.get("CACHY", "").strip().lower() in _bootstrap.OFF
        return "cachy: off, as CACHY=0 is set" if forbidden else "cachy: off"
    settings, store = current.engine.settings, current.engine.store
    mode = f"{settings.mode} (CI is set)" if settings.mode_is_from_ci else settings.mode
    number = len(store)
    told = [mode, f"{place(store.url)}, {number} recording{'' if number == 1 else 's'}"]
    if counts := counted(tally.stats()):
        told.append(", ".join(counts))
    return "cachy: " + " · ".join(told)
