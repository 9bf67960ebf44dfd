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
from ..aside import in_charge
from ..calls import Forward
from ..engine import Replay, Wait
from ..errors import Miss, fit_for_here
from ..exchange import Request, Response
from ..notices import in_brief
from ..session import Session
from . import first_calls
from .aiohttp_kit import Kit, kit_of
from .patching import replace, restore
from .waiting import waited_async

if TYPE_CHECKING:
    from ..providers import Claim
    from ..uploads import Calls


def patch(module: ModuleType) -> None:
    """Patch the connectors of `module` (aiohttp). Idempotent."""
    kit = kit_of(module)
    replace(module.BaseConnector, "connect", lambda original: _connecting(original, kit))


def unpatch(module: ModuleType) -> None:
    """Put the connectors back as they were before `patch`, unless somebody else patched on top of us."""
    restore(module.BaseConnector, "connect")


def _connecting(original: Any, kit: Kit) -> Any:
    @wraps(original)
    def connect(self: Any, req: Any, *args: Any, **kwargs: Any) -> Any:
        session = sessions.current()
        claim = None if session is None else _claim(kit, session, req)
        if session is None or claim is None:
            return original(self, req, *args, **kwargs)  # no coroutine of ours around what is none of ours
        return answered(session, claim, self, req, *args, **kwargs)

    async def answered(session: Session, claim: Claim, self: Any, req: Any, *args: Any, **kwargs: Any) -> Any:
        # Mocks and recorders sit where a session makes its requests, which is above us.
        if rival := in_charge((kit.module.ClientSession._request,)):
            with sessions.left_to(rival, session):
                return await original(self, req, *args, **kwargs)
        timeout = kwargs.get("timeout")
        verdict = await _ask(kit, session, claim, req, getattr(timeout, "sock_read", None))
        if isinstance(verdict, Replay):
            return kit.replayed(verdict, self, req)
        try:
            if verdict.first is not None:
                refused = await _after(verdict.first, kit, req, timeout)
                if refused is not None:
                    verdict.failed()
                    return kit.replayed(Replay(refused, 0.0), self, req)
            with sessions.bypass():  # the guard knows by it that the connection is ours
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


async def _ask(
    kit: Kit, session: Session, claim: Claim, request: Any, patience: float | None
) -> Replay | Forward:
    """`patience`: the seconds to wait for the answer of somebody else's call; as long as for one's own."""
    body = await kit.body(request)
    headers = tuple([(name.lower(), value) for name, value in request.headers.items()])
    asked = Request(request.method, str(request.url), headers, body)
    verdict = session.engine.ask(asked, claim)
    if isinstance(verdict, Wait):
        return await waited_async(session.engine, asked, claim, verdict, patience)
    return verdict


async def _after(first: Calls, kit: Kit, request: Any, timeout: Any) -> Response | None:
    """Make the calls that come before `request`, and make it the one to send now; or return the answer that ended
    it all."""
    last: Response | None = None

    async def send(wanted: Request) -> Response:
        nonlocal last
        with sessions.bypass():
            last = await kit.call(wanted, request, timeout)
        return last

    at_last = await first_calls.make_async(first, send)
    if at_last is None:
        return last
    kit.change(request, at_last)
    return None
