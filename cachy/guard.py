"""The guard: what reaches a known provider past our adapters is counted and told, and in replay mode refused.

The doors are watched: name look-ups, connections and TLS handshakes. A handshake names its host even where the
others saw nothing: behind a proxy, or with a resolver of its own (aiodns). And subprocesses, for what they are told
(see `cachy.children`). The live calls of our own adapters run in `session.bypass()`, where nothing is judged.

The doors are wrapped, not observed by an audit hook: no audit hook can be taken off again, and each makes `id()`
almost three times as slow. Loaded as soon as `socket` is, so nothing is imported before there is something to judge.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    from .culprit import Culprit
    from .session import Session

_MARK = "__cachy_original__"
_MOST_ADDRESSES = 1000  # remembered at once

_patched: "list[tuple[Any, str, bool]]" = []  # owner, attribute, whether it had one of its own before
_looked_up: "dict[tuple[Any, int], _LookUp]" = {}  # by address and port
_handshakes_due: "dict[str, int]" = {}  # by host: connections that were counted and may yet turn to TLS
_sessions: "Any" = None  # the module, once it is needed: an import statement at each connection is dear
_told: "set[str]" = set()  # libraries


class _Judged(str):
    """A host name that was judged where the call was made: asyncio looks it up in a thread of its own, which knows
    nothing of the caller's context."""

    __slots__ = ()


class _JudgedBytes(bytes):
    """The same, for anyio."""

    __slots__ = ()


class _LookUp:
    """The host behind some addresses, and which of them the present call has tried."""

    __slots__ = ("host", "tried")

    def __init__(self, host: str) -> None:
        self.host = host
        self.tried: set[Any] = set()

    def is_further_try(self, address: "Any") -> bool:
        """Whether this is the same call at its next address (happy eyeballs), not one more call."""
        further = bool(self.tried) and address not in self.tried
        if not further:
            self.tried.clear()
        self.tried.add(address)
        return further


def patch(name: str, module: "ModuleType") -> None:
    """Watch the doors in `module`: one of `hooks.DOORS`. Idempotent."""
    doors: tuple[tuple[Any, str, Callable[[Any], Any]], ...] = ()
    if name == "socket":
        doors = (
            (module, "getaddrinfo", _looking_up),
            (module.socket, "connect", _connecting),
            (module.socket, "connect_ex", _connecting),
        )
    elif name == "asyncio.base_events":
        doors = ((module.BaseEventLoop, "getaddrinfo", _looking_up_async),)
    elif name == "ssl":
        doors = (
            (module.SSLContext, "wrap_socket", _wrapping_socket),
            (module.SSLContext, "wrap_bio", _wrapping_bio),
        )
    elif name == "uvloop":
        doors = (
            (module.Loop, "getaddrinfo", _looking_up_async),
            (module.Loop, "create_connection", _connecting_in_c),
        )
    elif name == "subprocess":
        doors = ((module.Popen, "__init__", _starting),)
    for owner, attribute, make in doors:
        original = getattr(owner, attribute)
        if hasattr(original, _MARK):
            continue
        replacement = make(original)
        for fact in ("__name__", "__qualname__", "__doc__", "__module__"):
            setattr(replacement, fact, getattr(original, fact, None))
        replacement.__wrapped__ = original  # for inspect.signature
        setattr(replacement, _MARK, original)
        _patched.append((owner, attribute, attribute in vars(owner)))
        setattr(owner, attribute, replacement)


def unpatch() -> None:
    """Take the guard off, except where somebody else patched on top of it: there it judges nothing any more."""
    while _patched:
        owner, attribute, own = _patched.pop()
        original = getattr(vars(owner).get(attribute), _MARK, None)
        if original is None:
            continue
        if own:
            setattr(owner, attribute, original)
        else:  # it was inherited
            delattr(owner, attribute)
    _looked_up.clear()
    _handshakes_due.clear()


def _looking_up(original: "Any") -> "Any":
    def getaddrinfo(host: "Any", port: "Any", *rest: "Any", **named: "Any") -> "Any":
        if isinstance(host, (_Judged, _JudgedBytes)):
            return original(host, port, *rest, **named)
        name, session = _called(host, port)
        if session is not None:
            _refuse_in_replay(session, name)
        try:
            found = original(host, port, *rest, **named)
        except OSError:
            _no_such_host(session, name)
            raise
        _remember(found, name, session)
        return found

    return getaddrinfo


def _looking_up_async(original: "Any") -> "Any":
    async def getaddrinfo(self: "Any", host: "Any", port: "Any", **named: "Any") -> "Any":
        name, session = _called(host, port)
        if session is not None:
            _refuse_in_replay(session, name)
        try:
            found = await original(self, _judged(host), port, **named)
        except OSError:
            _no_such_host(session, name)
            raise
        _remember(found, name, session)
        return found

    return getaddrinfo


def _judged(host: "Any") -> "Any":
    return _Judged(host) if isinstance(host, str) else _JudgedBytes(host) if isinstance(host, bytes) else host


def _connecting(original: "Any") -> "Any":
    def connect(self: "Any", address: "Any", /) -> "Any":
        if type(address) is tuple and len(address) > 1 and type(address[0]) is str:
            _arrive(address[:2])
        return original(self, address)

    return connect


def _connecting_in_c(original: "Any") -> "Any":
    async def create_connection(
        self: "Any", factory: "Any", host: "Any" = None, port: "Any" = None, **named: "Any"
    ) -> "Any":
        if host is not None:
            _arrive((host, port))
        return await original(self, factory, host, port, **named)

    return create_connection


def _arrive(address: "tuple[Any, Any]") -> None:
    look_up = _looked_up.get(address)
    name, session = _called(look_up.host if look_up else address[0], address[1])
    if session is None:
        return
    _refuse_in_replay(session, name)
    if look_up is None or not look_up.is_further_try(address):
        _handshakes_due[name] = _handshakes_due.get(name, 0) + 1
        _escaped(name)


def _wrapping_socket(original: "Any") -> "Any":
    def wrap_socket(self: "Any", sock: "Any", *rest: "Any", **named: "Any") -> "Any":
        host = named.get("server_hostname") or (rest[3] if len(rest) > 3 else None)
        name, session = _called(host, 443)
        # One that is not connected yet is judged when it is.
        if session is not None and _is_connected(sock):
            _refuse_in_replay(session, name)
            _shaken(name)
        return original(self, sock, *rest, **named)

    return wrap_socket


def _wrapping_bio(original: "Any") -> "Any":
    def wrap_bio(self: "Any", incoming: "Any", outgoing: "Any", *rest: "Any", **named: "Any") -> "Any":
        host = named.get("server_hostname") or (rest[1] if len(rest) > 1 else None)
        name, session = _called(host, 443)
        if session is not None:
            _refuse_in_replay(session, name, in_a_callback=True)
            _shaken(name)
        return original(self, incoming, outgoing, *rest, **named)

    return wrap_bio


def _starting(original: "Any") -> "Any":
    def __init__(self: "Any", args: "Any", *rest: "Any", **named: "Any") -> None:
        try:
            from . import children

            executable = named.get("executable") or (rest[1] if len(rest) > 1 else None)
            children.started(args, executable, named.get("env") or (rest[9] if len(rest) > 9 else None))
        except Exception as problem:  # noqa: BLE001 - never between a program and its child
            _broken(problem)
        original(self, args, *rest, **named)

    return __init__


def _called(host: "Any", port: "Any") -> "tuple[str, Session | None]":
    """The name of a host and, when it is one that a session here watches over, that session. Never raises."""
    try:
        if isinstance(host, bytes):
            host = host.decode("ascii", "replace")
        if not isinstance(host, str):
            return "", None
        session = (_sessions or _loaded()).guarding()
        if session is None:
            return "", None
        if type(port) is not int:
            port = int(port) if str(port).isdigit() else 0  # "https", None
        return host, session if session.registry.expects(host, port or 443) else None
    except Exception as problem:  # noqa: BLE001 - never between a program and its network
        _broken(problem)
        return "", None


def _loaded() -> "Any":
    global _sessions
    from . import session

    _sessions = session
    return session


def _remember(found: "Any", name: str, session: "Session | None") -> None:
    """Know the addresses that a look-up found; or forget them, as different hosts share an address at a CDN."""
    if not name or (session is None and not _looked_up):
        return
    look_up = _LookUp(name) if session is not None else None
    if len(_looked_up) > _MOST_ADDRESSES:
        _looked_up.clear()
    for *_, address in found:
        if look_up is not None:
            _looked_up[address[:2]] = look_up
        elif address[0] != name:  # looking up an address says nothing about whose it is
            _looked_up.pop(address[:2], None)


def _no_such_host(session: "Session | None", name: str) -> None:
    if session is not None:
        _escaped(name)


def _shaken(name: str) -> None:
    due = _handshakes_due.get(name, 0)
    if due:
        _handshakes_due[name] = due - 1
    else:
        _escaped(name)


def _is_connected(sock: "Any") -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def _escaped(host: str) -> None:
    """Count and tell one call that goes out past us. Never raises."""
    try:
        from . import tally
        from .culprit import find
        from .notices import say_once

        by = find()
        if by.is_websocket:
            tally.count("bypassed", reason=f"a WebSocket, {by}", call={"url": f"https://{host}"})
            text = f"a WebSocket to {host} is not recorded and cannot be replayed ({by})"
        else:
            tally.count("escaped", reason=str(by), call={"url": f"https://{host}"})
            text = (
                f"{by} reached {host} past cachy: what this client sends is neither recorded nor replayed"
                " (guard = false: say nothing)"
            )
        if by.library not in _told:
            _told.add(by.library)
            say_once(text)
    except Exception as problem:  # noqa: BLE001 - as above
        _broken(problem)


def _refuse_in_replay(session: "Session", host: str, in_a_callback: bool = False) -> None:
    """Raise Miss in replay mode, else nothing."""
    if session.engine.settings.mode != "replay":
        return
    from . import tally
    from .culprit import find

    by = find()
    tally.count("missed", reason=str(by), call={"url": f"https://{host}"})
    raise _miss(session, host, by, in_a_callback)


def _miss(session: "Session", host: str, by: "Culprit", in_a_callback: bool) -> BaseException:
    from .errors import Miss, fit_for_here

    why = "CI is set" if session.engine.settings.mode_is_from_ci else "mode replay"
    what = (
        "a WebSocket, which cannot be replayed"
        if by.is_websocket
        else "a client that cachy does not see into"
    )
    text = (
        f"{host} was to be reached by {what}: {by} ({why}, nothing was sent)\n"
        "  run it with CACHY=auto, in `with cachy.bypass():`, or with guard = false"
    )
    facts = {"method": "CONNECT", "url": f"https://{host}", "store": session.engine.store.url}
    # asyncio starts TLS in a callback, where a BaseException would leave the connecting task waiting for ever.
    kind: Any = (
        type("Miss", (Miss, ConnectionRefusedError), {"__module__": "cachy"}) if in_a_callback else Miss
    )
    return fit_for_here(kind(text, **facts))


def _broken(problem: Exception) -> None:
    try:
        from .notices import in_brief, say_once

        say_once(f"the guard could not judge a connection ({in_brief(problem)})")
    except Exception:  # noqa: BLE001 - while Python shuts down nothing can be imported any more
        pass
