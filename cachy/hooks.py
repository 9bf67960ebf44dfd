"""Run a function right after one of a few modules has been imported: the post-import hook of cachy.

Our finder finds nothing itself. For the modules it is asked about it lets all other finders find the spec, and
shadows `exec_module` of that spec's loader for one execution; the spec, its loader and the module stay what they
would be without us. For every other import it costs one look into a set.
"""

from __future__ import annotations

import sys
from _thread import get_ident

CLIENTS = frozenset(("httpx", "httpx2"))
"""The HTTP clients that have a transport here."""


_MARK = "_cachy_finder"
_finder: _Finder | None = None

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    Callback = Callable[[str, ModuleType], None]


def install(callback: Callback | None = None) -> None:
    """Call `callback(name, module)` for each client that is imported from now on or is imported already.

    Without an argument the client is patched (`cachy.transports.patch`). Installing again replaces the callback
    and calls it again for what is imported; there is never more than one finder, even of two copies of cachy.
    What a callback raises is told once on stderr and goes no further.
    """
    global _finder
    if _finder is None:
        for finder in sys.meta_path:
            if getattr(finder, _MARK, False):
                return  # another copy of cachy was here first
        _finder = _Finder()
        sys.meta_path.insert(0, _finder)
    elif _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    _finder.callback = callback or _patch
    for name in CLIENTS:
        module = sys.modules.get(name)
        if module is not None and not _is_under_way(module):
            _finder.call(name, module)


def uninstall() -> None:
    """Take the finder off; what was patched stays patched (see `cachy.transports.unpatch`)."""
    global _finder
    if _finder is not None and _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
    _finder = None


def _patch(name: str, module: ModuleType) -> None:
    from cachy import transports

    transports.patch(name, module)


def _is_under_way(module: ModuleType) -> bool:
    """Whether its import has not finished, in this thread or another: the finder calls back when it has."""
    # importlib.util.LazyLoader: looking at any attribute of such a module would import it now.
    lazy = type(module).__name__ == "_LazyModule"
    return lazy or bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


class _Finder:
    """A meta path finder that only watches."""

    _cachy_finder = True

    def __init__(self) -> None:
        self.callback: Callback = _patch
        self._asking: set[tuple[int, str]] = set()  # (thread, name) of the look-ups under way
        self._complained = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in CLIENTS:
            return None
        here = (get_ident(), name)
        if here in self._asking:
            return None  # our own look-up below
        self._asking.add(here)
        try:
            spec = self._found_by_others(name, path, target)
        finally:
            self._asking.discard(here)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            try:
                self._watch(name, spec)
            except Exception as problem:  # noqa: BLE001 - never between a program and its import
                self._complain(name, problem)
        return spec

    def _found_by_others(self, name: str, path: Any, target: Any) -> Any:
        for finder in list(sys.meta_path):
            if finder is not self and hasattr(finder, "find_spec"):
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    return spec
        return None

    def _watch(self, name: str, spec: Any) -> None:
        """Shadow `exec_module` of the loader of this spec, for the one execution that follows."""
        loader = spec.loader
        if isinstance(loader, type) or not hasattr(loader, "__dict__"):
            spec.loader = _Proxy(
                loader, name, self
            )  # shared by all modules (a frozen one, say): not to be touched
            return
        if "exec_module" in loader.__dict__:
            return  # found before and not executed yet
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            if module.__name__ != name:  # zipimport: one loader for all modules of an archive
                execute(module)
                return
            # Off before it runs: a module that imports itself anew, or fails half-way, finds the loader as it was.
            loader.__dict__.pop("exec_module", None)
            execute(module)
            self.call(name, sys.modules.get(name, module))

        loader.exec_module = exec_module

    def call(self, name: str, module: ModuleType) -> None:
        try:
            self.callback(name, module)
        except Exception as problem:  # noqa: BLE001 - a broken hook must not break the user's import
            self._complain(name, problem)

    def _complain(self, name: str, problem: Exception) -> None:
        if not self._complained:
            self._complained = True
            try:
                sys.stderr.write(
                    f"cachy: {name} could not be hooked, its calls go out live ({type(problem).__name__}: {problem})\n"
                )
            except Exception:  # noqa: BLE001 - stderr may be closed or None
                pass


class _Proxy:
    """Stands in front of a loader that several modules share, for one execution."""

    def __init__(self, loader: Any, name: str, finder: _Finder) -> None:
        self._loader = loader
        self._name = name
        self._finder = finder

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._finder.call(self._name, sys.modules.get(self._name, module))

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._loader, attribute)
