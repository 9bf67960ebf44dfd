"""aiohttp: the module is an argument, never imported.

`BaseConnector.connect` is wrapped, which every call asks for a connection just before it sends: what it returns
for a recorded call is a connection over which the recording arrives. Everything around it stays the client's own:
redirects, cookies, auth, middlewares, trace hooks, timeouts, `raise_for_status`, and the classes of requests and
responses, whoever made them. A session of any age is covered, and a connector that never gets here (a stub that
a test puts in its place) is left alone.
"""

from __future__ import annotations

from functools import wraps
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .. import session as sessions
from ..engine import Replay, Wait
from ..errors import Miss, fit_for_here
from ..exchange import Request
from ..notices import in_brief
from ..session import Session
from .aiohttp_kit import Kit, kit_of
from .event_loops import landing

if TYPE_CHECKING:
    from ..calls import Forward
    from ..providers import Claim

_MARK = "__cachy_original__"


def patch(module: ModuleType) -> None:
    """Patch the connectors of `module` (aiohttp). Idempotent."""
    original = module.BaseConnector.connect
    if not hasattr(original, _MARK):
        replacement = _connecting(original, kit_of(module))
        setattr(replacement, _MARK, original)
        module.BaseConnector.connect = replacement


def unpatch(module: ModuleType) -> None:
    """Put the connectors back as they were before `patch`, unless somebody else patched on top of us."""
    original = getattr(module.BaseConnector.connect, _MARK, None)
    if original is not None:
        module.BaseConnector.connect = original


def _connecting(original: Any, kit: Kit) -> Any:
    @wraps(original)
    async def connect(self: Any, req: Any, *args: Any, **kwargs: Any) -> Any:
        session = sessions.current()
        claim = None if session is None else _claim(kit, session, req)
        if session is None or claim is None:
            return await original(self, req, *args, **kwargs)
        verdict = await _ask(kit, session, claim, req)
        if isinstance(verdict, Replay):
            return kit.replayed(verdict, self, req)
        try:
            connection = await original(self, req, *args, **kwargs)
        except BaseException:
            verdict.failed()
            raise
        kit.watch(verdict, connection, req)
        return connection

    return connect


def _claim(kit: Kit, session: Session, request: Any) -> Claim | None:
    try:
        url = request.url
        place = session.registry.place(url.scheme, url.host or "", url.port)
        if place is None or "upgrade" in request.headers:
            return None  # a host that is not ours; a WebSocket, which cannot be replayed
        return place.claim(url.path)
    except Exception as problem:
        if session.engine.settings.mode == "replay":
            # Going on would mean a live call, which replay mode promises never to make.
            raise fit_for_here(
                Miss(f"aiohttp could not be wrapped ({in_brief(problem)}); nothing was sent")
            ) from problem
        kit.warn(problem)
        return None


async def _ask(kit: Kit, session: Session, claim: Claim, request: Any) -> Replay | Forward:
    body = await kit.body(request)
    headers = tuple([(name.lower(), value) for name, value in request.headers.items()])
    asked = Request(request.method, str(request.url), headers, body)
    while isinstance(verdict := session.engine.ask(asked, claim), Wait):
        await landing(verdict.flight, 1.0)
    return verdict
