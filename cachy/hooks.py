"""Run a function right after one of a few modules has been imported: the post-import hook of cachy.

Our finder finds nothing itself. For the modules it watches it lets the other finders find the spec, and shadows
`exec_module` of that spec's loader for one execution; the spec, its loader and the module stay what they would be
without us. For every other import it costs a look into four small sets. Loaded at an active start-up, so it imports
nothing that Python has not loaded by then, `__future__` and `typing` included.
"""

import os
import sys
from _thread import get_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

    Callback = Callable[[str, ModuleType], None]

CLIENTS = frozenset(
    ("aiohttp", "dspy._vendor.lm15.transports", "grpc", "httpx", "httpx2", "lm15.transports", "urllib3")
)
"""The HTTP clients that have a transport here."""

SDKS = frozenset(
    (
        "anthropic",
        "azure.ai.inference",
        "botocore",
        "cerebras.cloud.sdk",
        "cohere",
        "fireworks",
        "google.genai",
        "google.generativeai",
        "groq",
        "huggingface_hub",
        "litellm",
        "mistralai.client",
        "ollama",
        "openai",
        "openrouter",
        "perplexity",
        "together",
        "voyageai",
        "xai_sdk",
    )
)
"""The modules that `Provider.sdks` names, told again because no provider may be loaded before one is imported."""

CREDENTIALS = frozenset(("google.auth",))
"""Modules that find out who the user is in a way that no variable can answer without a network."""

DOORS = frozenset(("asyncio.base_events", "socket", "ssl", "subprocess", "uvloop"))
"""Where connections are made and children started: watched by the guard (`cachy.guard`)."""

_finder: "_Finder | None" = None


def install(callback: "Callback | None" = None) -> None:
    """Call `callback(name, module)` after each import of a client from now on, and at once for those imported.

    For an SDK it is called before the module is executed: some read their key while they are imported.
    Without an argument the client is patched (`cachy.transports.patch`). Installing again replaces the callback
    and calls it again for what is imported. There is never more than one finder: one that another copy of cachy
    put up makes way. What a callback raises (Exception) is told once on stderr and goes no further.
    """
    global _finder
    if _finder is None:
        _finder = _Finder()
    _finder.callback = callback or _patch
    if _finder not in sys.meta_path:
        for other in [finder for finder in sys.meta_path if _is_ours(finder)]:
            sys.meta_path.remove(other)
        sys.meta_path.insert(0, _finder)
    for name in CLIENTS | DOORS | SDKS | CREDENTIALS:
        module = sys.modules.get(name)
        if module is not None:
            _finder.catch_up(name, module)


def uninstall() -> None:
    """Take the finder off; what was patched stays patched (see `cachy.transports.unpatch`)."""
    if _finder is not None and _finder in sys.meta_path:
        sys.meta_path.remove(_finder)


def _is_ours(finder: object) -> bool:
    kind = type(finder)
    return kind.__module__ == __name__ and kind.__name__ == _Finder.__name__


def _patch(name: str, module: "ModuleType") -> None:
    if name in DOORS:
        from cachy import guard

        guard.patch(name, module)
    elif name in CLIENTS:
        from cachy import transports

        transports.patch(name, module)
    else:
        from cachy import session

        session.lend(name, module)


def _replays() -> bool:
    """Whether somebody chose the mode replay, as far as that can be known when things go wrong."""
    session = sys.modules.get("cachy.session")
    active = session and session.current()
    if active:
        return bool(active.engine.settings.mode == "replay")
    wishes = [os.environ.get(name, "").strip().lower() for name in ("CACHY", "CACHY_MODE")]
    return wishes[0] == "replay" or (wishes[0] in ("", "1", "on", "true", "yes") and wishes[1] == "replay")


def _refuse_calls(module: "ModuleType", name: str, problem: Exception) -> None:
    """Let nothing of a client go out that could not be patched: replay mode promises never to call."""
    from cachy.errors import Miss, fit_for_here

    def refusing(original: "Any") -> "Any":
        def refuse(*args: "Any", **options: "Any") -> "Any":
            if not _replays():
                return original(*args, **options)
            why = f"{name} could not be hooked ({_brief(problem)}), and in replay mode nothing is sent"
            raise fit_for_here(Miss(why))

        return refuse

    for owner, method in (
        ("Client", "send"),
        ("AsyncClient", "send"),
        ("HTTPTransport", "handle_request"),
        ("AsyncHTTPTransport", "handle_async_request"),
        ("HTTPConnectionPool", "urlopen"),
        ("BaseConnector", "connect"),
        ("", "insecure_channel"),
        ("", "secure_channel"),
        ("aio", "insecure_channel"),
        ("aio", "secure_channel"),
    ):
        kind = getattr(module, owner, None) if owner else module
        original = getattr(kind, method, None)
        if original is not None:
            setattr(kind, method, refusing(original))


def _brief(problem: Exception) -> str:
    return f"{type(problem).__name__}: {problem}"


class _Finder:
    """A meta path finder that only watches."""

    def __init__(self) -> None:
        self.callback: Callback = _patch
        self._asking: set[tuple[int, str]] = set()  # (thread, name) of the look-ups under way
        self._under_way: set[str] = set()  # clients whose import began unseen by us and goes on
        self._complained = False

    def find_spec(
        self, name: str, path: "Any" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        if name not in CLIENTS and name not in DOORS and name not in SDKS and name not in CREDENTIALS:
            finders = sys.meta_path
            if self._under_way or (finders and finders[0] is not self):
                try:
                    self._come_to_the_front()
                except Exception as problem:  # noqa: BLE001 - never between a program and its import
                    self._complain(name, problem)
            return None
        here = (get_ident(), name)
        if here in self._asking:
            return None  # another finder asks everybody, because we asked it
        self._asking.add(here)
        try:
            spec = self._found_by_others(name, path, target)
        finally:
            self._asking.discard(here)
        if spec is not None:
            self._watch(name, spec)
        return spec

    def _come_to_the_front(self) -> None:
        # A finder in front of us that answers by itself (pytest's, for what it is to rewrite) hides the client.
        # Whoever iterates over the list meanwhile must not miss a finder: one assignment of the same length, and
        # what stands behind us stays where it is.
        finders = sys.meta_path
        if self in finders[1:]:
            here = finders.index(self)
            finders[: here + 1] = [self, *finders[:here]]
            self._under_way.update(name for name in CLIENTS if name in sys.modules)
        for name in list(self._under_way):
            module = sys.modules.get(name)
            if module is None or self.catch_up(name, module):
                self._under_way.discard(name)

    def catch_up(self, name: str, module: "ModuleType") -> bool:
        """Treat a module that was there before us as if we had seen it come; False while it is being executed."""
        if type(module).__name__ == "_LazyModule":
            # importlib.util.LazyLoader: looking at any attribute in the usual way would import it now.
            spec = object.__getattribute__(module, "__dict__").get("__spec__")
            if spec is not None:
                self._watch(name, spec)
        elif getattr(getattr(module, "__spec__", None), "_initializing", False):
            return False
        else:
            self._call(name, module)
        return True

    def _found_by_others(self, name: str, path: "Any", target: "ModuleType | None") -> "ModuleSpec | None":
        # Those in front of us were asked before and had no answer.
        finders = list(sys.meta_path)
        if self in finders:
            del finders[: finders.index(self) + 1]
        for finder in finders:
            find_spec = getattr(finder, "find_spec", None)
            spec = find_spec and find_spec(name, path, target)
            if spec is not None:
                return spec  # type: ignore[no-any-return]
        return None

    def _watch(self, name: str, spec: "ModuleSpec") -> None:
        try:
            loader: Any = spec.loader
            if isinstance(loader, _Proxy) or not hasattr(loader, "exec_module"):
                return  # watched already, or a namespace package, which is nobody's client
            own = getattr(loader, "__dict__", None)
            there = own and own.get("exec_module")
            if getattr(there, "__module__", None) == __name__:
                return  # watched already, and not executed since
            if own is None or there is not None or own.get("name") != name:
                # No room for a shadow, or a loader that is not for this module alone (a zip file's, say).
                spec.loader = _Proxy(loader, name, self)  # type: ignore[assignment]
            else:
                self._shadow(name, loader)
        except Exception as problem:  # noqa: BLE001 - never between a program and its import
            self._complain(name, problem)

    def _shadow(self, name: str, loader: "Any") -> None:
        def exec_module(module: "ModuleType") -> None:
            # Off before it runs: a module that imports itself anew, or fails half-way, finds the loader as it was.
            loader.__dict__.pop("exec_module", None)
            self.execute(name, loader, module)

        loader.exec_module = exec_module

    def execute(self, name: str, loader: "Any", module: "ModuleType") -> None:
        """Execute the module with its real loader, then call back; for an SDK the other way round."""
        registered = sys.modules.get(name) is module
        if name in SDKS:
            self._call(name, module)
        loader.exec_module(module)
        if name in SDKS:
            return
        if registered:  # it may have put something else in its place
            module = sys.modules.get(name) or module
        self._call(name, module)

    def _call(self, name: str, module: "ModuleType") -> None:
        try:
            self.callback(name, module)
        except Exception as problem:  # noqa: BLE001 - a broken hook must not break the user's import
            self._complain(name, problem)
            if _replays():
                _refuse_calls(module, name, problem)

    def _complain(self, name: str, problem: Exception) -> None:
        if self._complained:
            return
        self._complained = True
        try:
            what = "its calls are refused, as the mode is replay" if _replays() else "its calls go out live"
            sys.stderr.write(f"cachy: {name} could not be hooked, {what} ({_brief(problem)})\n")
        except Exception:  # noqa: BLE001 - stderr may be closed or None
            pass


class _Proxy:
    """Stands in front of a loader that must not be touched, until the module is executed."""

    def __init__(self, loader: "Any", name: str, finder: _Finder) -> None:
        self._loader = loader
        self._name = name
        self._finder = finder

    def exec_module(self, module: "ModuleType") -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._finder.execute(self._name, self._loader, module)

    def __getattr__(self, attribute: str) -> "Any":
        return getattr(self._loader, attribute)
