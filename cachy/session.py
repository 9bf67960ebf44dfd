"""Which session a call belongs to: the process-wide one, one of a `with` block, or none.

A session is an engine with its registry of hosts. The process-wide one is started by the start-up hook or by
`cachy.enable()`; `using` and `bypass` set another one for the current context (task, thread) only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from threading import RLock

from . import _bootstrap, hooks, settings, tally
from .engine import Engine, Watch
from .notices import say_once
from .providers import Registry
from .stores import StoreError, open_store


class Session:
    """An engine and the hosts it is responsible for."""

    __slots__ = ("engine", "registry")

    def __init__(self, engine: Engine, registry: Registry) -> None:
        self.engine = engine
        self.registry = registry


class _Nothing:
    """Stands for "no session in this context", where None means "the process-wide one"."""


_NOTHING = _Nothing()
_scoped: ContextVar[Session | _Nothing | None] = ContextVar("cachy_session", default=None)
_shared: Session | None = None
_decided = False  # whether the start-up decision was made (by the hook or by a call of enable/disable)
_lock = RLock()


def current() -> Session | None:
    """The session that a call made now belongs to, or None."""
    scoped = _scoped.get()
    if scoped is None:
        return _shared
    return None if scoped is _NOTHING else scoped  # type: ignore[return-value]


def start() -> bool:
    """Make the decision that the start-up hook left open, once; whether clients are to be patched.

    Called when the first HTTP client has been imported: only now are settings parsed and providers loaded.
    """
    global _shared, _decided
    with _lock:
        if not _decided:
            _decided = True
            if _bootstrap.door is not None:
                found = settings.load(cwd=_bootstrap.cwd, consent=_bootstrap.door == "environment")
                _shared = _open(found)
        return _shared is not None or _patched_for_scopes


# A `with using(...)` block needs the clients patched although no process-wide session exists.
_patched_for_scopes = False


def enable(
    arguments: Mapping[str, object], only: Sequence[str] | None = None, watch: Watch | None = None
) -> bool:
    """Start (or restart, with other settings) the process-wide session; False when CACHY=0 forbids it."""
    global _shared, _decided
    with _lock:
        _decided = True
        _shared = _open(settings.load(arguments, consent=True), only, watch)
    hooks.install()
    return _shared is not None


def disable() -> None:
    """End the process-wide session and take the import hook off."""
    global _shared, _decided, _patched_for_scopes
    with _lock:
        _decided = True
        _shared = None
        _patched_for_scopes = False
        hooks.uninstall()


@contextmanager
def using(
    arguments: Mapping[str, object], only: Sequence[str] | None = None, watch: Watch | None = None
) -> Iterator[None]:
    """A session of its own for the current context."""
    global _patched_for_scopes
    session = _open(settings.load(arguments, consent=True, scoped=True), only, watch)
    if session is not None:
        _patched_for_scopes = True
        hooks.install()
    token = _scoped.set(session or _NOTHING)
    try:
        yield
    finally:
        _scoped.reset(token)
        if session is not None and not (_shared and _shared.engine.store is session.engine.store):
            session.engine.store.close()


@contextmanager
def bypass() -> Iterator[None]:
    """No session for the current context: calls go out live and leave no trace."""
    token = _scoped.set(_NOTHING)
    try:
        yield
    finally:
        _scoped.reset(token)


def shared() -> Session | None:
    """The process-wide session, or None."""
    return _shared


def _open(
    found: settings.Settings, only: Sequence[str] | None = None, watch: Watch | None = None
) -> Session | None:
    for warning in found.warnings:
        say_once(warning)
    if not found.active or found.mode == "off":
        return None
    try:
        # One store object per file: its index is made once, and its writers see each other at once.
        same = _shared is not None and _shared.engine.settings.store == found.store
        store = _shared.engine.store if same and _shared else open_store(found.store)
    except StoreError as problem:
        say_once(f"{problem}; nothing is recorded or replayed")
        return None
    tally.configure(found.store, found.summary, "replay, because CI is set" if found.mode_is_from_ci else "")
    return Session(Engine(found, store, watch), Registry(found.hosts, only))
