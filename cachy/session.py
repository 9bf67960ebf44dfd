"""Which session a call belongs to: the process-wide one, one of a `with` block, or none.

A session is an engine with its registry of hosts. The process-wide one is started by the start-up hook or by
`cachy.enable()`; `using` and `bypass` set another one for the current context (task, thread) only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from threading import RLock
from types import ModuleType

from . import _bootstrap, hooks, placeholders, settings, tally
from .blocks import block
from .engine import Engine, Watch
from .notices import say_once
from .providers import Registry
from .report.terminal import place
from .stores import Store, StoreError, Unusable, open_store


class Session:
    """An engine and the hosts it is responsible for."""

    __slots__ = ("engine", "registry", "said")

    def __init__(self, engine: Engine, registry: Registry, said: Mapping[str, object]) -> None:
        """`said`: the arguments of the block it is of, and of the blocks around that one; they hold in blocks within."""
        self.engine = engine
        self.registry = registry
        self.said = said


class _Scope:
    """One `with` block: its session (None: calls go out live) and the block around it."""

    __slots__ = ("closed", "outer", "session")

    def __init__(self, session: Session | None, outer: _Scope | None) -> None:
        self.session = session
        self.outer = outer
        self.closed = False


_scope: ContextVar[_Scope | None] = ContextVar("cachy_scope", default=None)
_shared: Session | None = None
_enabled: Mapping[str, object] = {}
"""The arguments of `enable`, which hold in blocks too, name by name."""
_decided = False  # whether the start-up decision was made (by the hook or by a call of enable/disable)
_found: settings.Settings | None = None
"""What the start-up decision has found, until it is told."""
_patched_for_scopes = False
"""Whether a `with using(...)` block needs the clients patched although no process-wide session exists."""
_lock = RLock()


def current() -> Session | None:
    """The session that a call made now belongs to, or None."""
    scope = _scope.get()
    return _shared if scope is None else scope.session


def guarding() -> Session | None:
    """The session whose hosts the guard watches over in this context, or None."""
    if not _decided:
        start(tell=False)
    session = current()
    return session if session is not None and session.engine.settings.guard else None


def start(tell: bool = True) -> bool:
    """Make the decision that the start-up hook left open, once; whether clients are to be patched.

    Called when the first HTTP client has been imported: only now are settings parsed and providers loaded.
    `tell=False`: by a program that may never import one (pip, say), which need not hear why cachy is not active.
    """
    global _shared, _decided, _found
    with _lock:
        if not _decided:
            _decided = True
            if _bootstrap.door is not None:
                _found = settings.load(cwd=_bootstrap.cwd, consent=_bootstrap.door == "environment")
        if _found is not None and (tell or _found.active):
            found, _found = _found, None
            _shared = _open(found)
        return _shared is not None or _patched_for_scopes


def enable(
    arguments: Mapping[str, object],
    only: Sequence[str] | None = None,
    watch: Watch | None = None,
    *,
    cwd: str | None = None,
    typed: bool = False,
) -> bool:
    """Start (or restart, with other settings) the process-wide session; False when CACHY=0 forbids it.

    `cwd`: the working directory that counts. `typed`: a person has said the arguments just now, so they come before
    the environment.
    """
    global _shared, _decided, _enabled, _found
    with _lock:
        _decided = True
        _found = None
        found = settings.load(arguments, cwd=cwd, consent=True, scoped=typed)
        _enabled = _fixed(arguments, found)
        _shared = _open(found, only, watch)
        placeholders.take_back()
    hooks.install()
    return _shared is not None


def lend(name: str, module: ModuleType) -> None:
    """Called when an SDK is about to be imported, or the module with which Google's find out who the user is."""
    start()
    if name in hooks.CREDENTIALS:
        placeholders.patch_google(module, lambda: not _replayed().isdisjoint(("gemini", "vertex")))
    elif recorded := _replayed():
        placeholders.lend(name, recorded)


def _replayed() -> frozenset[str]:
    """The providers that this context replays without ever calling them."""
    session = current()
    if session is None or session.engine.settings.mode != "replay":
        return frozenset()
    try:
        return session.engine.store.providers
    except StoreError:  # the calls will tell
        return frozenset()


def disable() -> None:
    """End the process-wide session and take the import hook off."""
    global _shared, _decided, _patched_for_scopes, _enabled, _found
    with _lock:
        _decided = True
        _shared = _found = None
        _enabled = {}
        _patched_for_scopes = False
        placeholders.take_back()
        hooks.uninstall()


@block
def using(
    arguments: Mapping[str, object],
    only: Sequence[str] | None = None,
    watch: Watch | None = None,
    *,
    cwd: str | None = None,
    everywhere: bool = False,
) -> Iterator[None]:
    """A session of its own for the current context; or `everywhere`, for all threads and tasks that are in no block of
    their own (a pytest test: its fixtures, event loops and threads were begun in other contexts)."""
    global _patched_for_scopes
    arguments = {**_said_around(), **arguments}
    found = settings.load(arguments, cwd=cwd, consent=True, scoped=True, around=_enabled)
    session = _open(found, only, watch, _fixed(arguments, found))
    try:
        with _shared_is(session) if everywhere else _entered(session):
            if session is not None:
                _patched_for_scopes = True
                hooks.install()
            yield
    finally:
        if not _replayed():
            placeholders.take_back()
        if session is not None and not (_shared and _shared.engine.store is session.engine.store):
            session.engine.store.close()


@block
def bypass(*, everywhere: bool = False) -> Iterator[None]:
    """No session for the current context, or `everywhere` as in `using`: calls go out live and leave no trace."""
    with _shared_is(None) if everywhere else _entered(None):
        yield


@contextmanager
def left_to(rival: str, session: Session) -> Iterator[None]:
    """The call in the block is answered or recorded by `rival` (see `cachy.aside`); in replay mode what it lets through
    is refused all the same, by the adapter below or by the guard."""
    tally.count("bypassed", reason=f"{rival} is active", live=False)
    if session.engine.settings.mode == "replay":
        yield
    else:
        with bypass():
            yield


@contextmanager
def _entered(session: Session | None) -> Iterator[None]:
    scope = _Scope(session, _scope.get())
    _scope.set(scope)
    try:
        yield
    finally:
        # No token to reset: a block in a generator may end after one that began later, or in another context
        # (the fixtures of pytest-asyncio do), and must neither raise there nor bring back what has ended.
        scope.closed = True
        top = _scope.get()
        while top is not None and top.closed:
            top = top.outer
        _scope.set(top)


@contextmanager
def _shared_is(session: Session | None) -> Iterator[None]:
    global _shared, _patched_for_scopes
    start()  # decided now, a decision does not fall into the block and end with it
    with _lock:
        outer, _shared = _shared, session
        # Of a client that is first imported in here, too.
        _patched_for_scopes = _patched_for_scopes or outer is not None
    try:
        yield
    finally:
        with _lock:
            _shared = outer


def _said_around() -> Mapping[str, object]:
    """What the blocks around this place have said; of a `bypass` within one, nothing."""
    scope = _scope.get()
    while scope is not None:
        if scope.session is not None and not scope.closed:
            return scope.session.said
        scope = scope.outer
    return _shared.said if _shared is not None else {}


def _fixed(arguments: Mapping[str, object], found: settings.Settings) -> Mapping[str, object]:
    """The arguments to remember: a relative store keeps the meaning that it has now."""
    return {**arguments, "store": found.store} if "store" in arguments else dict(arguments)


def shared() -> Session | None:
    """The process-wide session, or None."""
    return _shared


def _placed(found: settings.Settings) -> tuple[object, ...]:
    return found.store, found.limits, found.remote_timeout, found.remote_read_only


def _store(found: settings.Settings) -> Store:
    if "://" not in found.store:
        return open_store(found.store, found.limits)
    from .stores.layered import open_layered

    return open_layered(found.store, found.limits, found.remote_timeout, found.remote_read_only)


def _open(
    found: settings.Settings,
    only: Sequence[str] | None = None,
    watch: Watch | None = None,
    said: Mapping[str, object] | None = None,
) -> Session | None:
    """`said`: see `Session`; None for the session of the process."""
    for warning in found.warnings:
        say_once(warning)
    if not found.active or found.mode == "off":
        return None
    store: Store
    try:
        # One store object per file: its index is made once, and its writers see each other at once.
        same = _shared is not None and _placed(_shared.engine.settings) == _placed(found)
        store = _shared.engine.store if same and _shared else _store(found)
    except StoreError as problem:
        store = Unusable(place(found.store), problem)
    if said is None or _shared is None:
        # The line at exit tells of the whole process; a block does not speak for it.
        tally.configure(found.store, found.summary, found.mode_note)
    for when in _bootstrap.when_active:
        when()
    return Session(Engine(found, store, watch), Registry(found.hosts, only, tells=True), said or {})
