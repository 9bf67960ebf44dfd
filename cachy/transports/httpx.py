"""httpx and httpx2, one adapter for both: the module is an argument, never imported.

`Client._transport_for_url` is wrapped, so that what it returns can answer from a recording. Everything around
it stays the client's own: redirects, auth, cookies, event hooks, logging, `elapsed`, custom transports. Should
that private method be gone one day, the transport classes themselves are patched.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .. import session as sessions
from ..aside import in_charge
from ..engine import Replay, Wait
from ..errors import Miss, fit_for_here
from ..exchange import Body, BodyWriter, Request, Response
from ..notices import in_brief
from ..session import Session
from . import first_calls
from .httpx_kit import Kit, kit_of_module, kit_of_transport
from .patching import replace, restore
from .waiting import pause, waited, waited_async

if TYPE_CHECKING:
    import httpx
    import httpx2  # type: ignore[import-not-found, unused-ignore]  # not for Python 3.10

    from ..providers import Claim
    from ..uploads import Calls

    # For type checkers alone: the clients of either take them. Where httpx2 is not installed, its class is Any.
    class _Sync(httpx.BaseTransport, httpx2.BaseTransport):  # type: ignore[misc, unused-ignore]
        pass

    class _Async(httpx.AsyncBaseTransport, httpx2.AsyncBaseTransport):  # type: ignore[misc, unused-ignore]
        pass
else:
    _Sync = _Async = object


def patch(module: ModuleType) -> None:
    """Patch the client classes of `module` (httpx or httpx2). Idempotent per class: after
    `httpx2.alias_httpx()` both names are one module."""
    kit = kit_of_module(module)
    if hasattr(module.Client, "_transport_for_url") and hasattr(module.AsyncClient, "_transport_for_url"):
        replace(module.Client, "_transport_for_url", lambda original: _choosing(original, kit, Transport))
        replace(
            module.AsyncClient,
            "_transport_for_url",
            lambda original: _choosing(original, kit, AsyncTransport),
        )
    else:
        replace(module.HTTPTransport, "handle_request", lambda original: _handling(original, kit))
        replace(
            module.AsyncHTTPTransport, "handle_async_request", lambda original: _handling_async(original, kit)
        )


def unpatch(module: ModuleType) -> None:
    """Put the classes back as they were before `patch`, unless somebody else patched on top of us."""
    for owner, name in (
        (module.Client, "_transport_for_url"),
        (module.AsyncClient, "_transport_for_url"),
        (module.HTTPTransport, "handle_request"),
        (module.AsyncHTTPTransport, "handle_async_request"),
    ):
        restore(owner, name)


def _claim_for(session: Session, url: Any) -> Claim | None:
    # A client makes the path anew each time it is asked for; mostly the host alone tells.
    place = session.registry.place(url.scheme, url.host, url.port)
    return None if place is None else place.whole or place.claim(url.path)


def _choosing(original: Any, kit: Kit, wrapper: type[Transport] | type[AsyncTransport]) -> Any:
    def _transport_for_url(self: Any, url: Any) -> Any:
        inner = original(self, url)
        session = sessions.current()
        if session is None:
            return inner
        try:
            claim = None if isinstance(inner, kit.left_alone) else _claim_for(session, url)
            return inner if claim is None else wrapper(inner, kit, session, claim)
        except Exception as problem:
            if session.engine.settings.mode == "replay":
                # Going on would mean a live call, which replay mode promises never to make.
                why = f"{kit.module.__name__} could not be wrapped ({in_brief(problem)}); nothing was sent"
                raise fit_for_here(Miss(why)) from problem
            kit.warn(problem)
            return inner

    return _transport_for_url


def _handling(original: Any, kit: Kit) -> Any:
    def handle_request(self: Any, request: Any) -> Any:
        live = original.__get__(self, type(self))
        session = sessions.current()
        return live(request) if session is None else _send(kit, session, request, live)

    return handle_request


def _handling_async(original: Any, kit: Kit) -> Any:
    async def handle_async_request(self: Any, request: Any) -> Any:
        live = original.__get__(self, type(self))
        session = sessions.current()
        return await (live(request) if session is None else _send_async(kit, session, request, live))

    return handle_async_request


class Transport(_Sync):
    """An httpx or httpx2 transport that records and replays what passes through `inner`.

    `httpx.Client(transport=cachy.Transport(httpx.HTTPTransport()))` gives one client a recorder of its own,
    with nothing patched. It uses the session that is active when a call is made: `cachy.enable`, `cachy.using`.
    """

    def __init__(
        self,
        inner: Any,
        _kit: Kit | None = None,
        _session: Session | None = None,
        _claim: Claim | None = None,
    ) -> None:
        self.inner = inner
        self._kit = _kit or kit_of_transport(inner)
        # The patch has found these out already; a transport made by hand asks at each call.
        self._session = _session
        self._claim = _claim

    def handle_request(self, request: Any) -> Any:
        """Answer `request`. Raises `cachy.Miss` in replay mode, else what `inner` raises."""
        session = self._session or sessions.current()
        live = self.inner.handle_request
        return live(request) if session is None else _send(self._kit, session, request, live, self._claim)

    def close(self) -> None:
        self.inner.close()

    def __enter__(self) -> Transport:
        self.inner.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        self.inner.__exit__(*exc)

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # a copy that is being made has none yet
            raise AttributeError(name)
        return getattr(self.inner, name)


class AsyncTransport(_Async):
    """`Transport` for `AsyncClient`, on asyncio and trio."""

    def __init__(
        self,
        inner: Any,
        _kit: Kit | None = None,
        _session: Session | None = None,
        _claim: Claim | None = None,
    ) -> None:
        self.inner = inner
        self._kit = _kit or kit_of_transport(inner)
        # The patch has found these out already; a transport made by hand asks at each call.
        self._session = _session
        self._claim = _claim

    async def handle_async_request(self, request: Any) -> Any:
        """Answer `request`. Raises `cachy.Miss` in replay mode, else what `inner` raises."""
        session = self._session or sessions.current()
        live = self.inner.handle_async_request
        if session is None:
            return await live(request)
        return await _send_async(self._kit, session, request, live, self._claim)

    async def aclose(self) -> None:
        await self.inner.aclose()

    async def __aenter__(self) -> AsyncTransport:
        await self.inner.__aenter__()
        return self

    async def __aexit__(self, *exc: Any) -> None:
        await self.inner.__aexit__(*exc)

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # a copy that is being made has none yet
            raise AttributeError(name)
        return getattr(self.inner, name)


def _send(
    kit: Kit, session: Session, request: Any, live: Callable[[Any], Any], claim: Claim | None = None
) -> Any:
    claim = claim or _claim_for(session, request.url)
    if claim is None:
        return live(request)
    if rival := in_charge(kit.below(live)):
        with sessions.left_to(rival, session):
            return live(request)
    asked = kit.asked(request)
    if asked is None:
        body = Body.gather(request.stream)
        request.stream = kit.body_stream(body)
        asked = kit.neutral(request, body)
    verdict = session.engine.ask(asked, claim)
    if isinstance(verdict, Wait):
        verdict = waited(session.engine, asked, claim, verdict, _patience(request))
    if isinstance(verdict, Replay):
        return kit.replayed(verdict)
    try:
        with sessions.bypass():  # a transport may ride on another client that is patched
            if verdict.first is not None:
                request = _after(verdict.first, kit, request, live)
                if isinstance(request, kit.module.Response):
                    verdict.failed()
                    return request
            response = live(request)
    except BaseException:
        verdict.failed()
        raise
    return kit.teed(verdict, response, kit.tee)


def _after(first: Calls, kit: Kit, request: Any, live: Callable[[Any], Any]) -> Any:
    """Make the calls that come before `request`; returns what to send now, or the answer that ended it all."""
    last: Any = None

    def send(wanted: Request) -> Response:
        nonlocal last
        last = live(kit.request(wanted, request))
        try:
            last.read()
        finally:
            last.close()
        return kit.answer(last)

    at_last = first_calls.make(first, send)
    return last if at_last is None else kit.request(at_last, request)


async def _send_async(
    kit: Kit, session: Session, request: Any, live: Callable[[Any], Any], claim: Claim | None = None
) -> Any:
    claim = claim or _claim_for(session, request.url)
    if claim is None:
        return await live(request)
    if rival := in_charge(kit.below(live)):
        with sessions.left_to(rival, session):
            return await live(request)
    asked = kit.asked(request)
    if asked is None:
        writer = BodyWriter()
        async for chunk in request.stream:
            writer.write(chunk)
        body = writer.body()
        request.stream = kit.body_stream(body)
        asked = kit.neutral(request, body)
    verdict = session.engine.ask(asked, claim)
    if isinstance(verdict, Wait):
        verdict = await waited_async(session.engine, asked, claim, verdict, _patience(request))
    if isinstance(verdict, Replay):
        # A live call always lets other tasks run; a program may depend on it.
        await pause(0)
        return kit.replayed(verdict)
    try:
        with sessions.bypass():  # a transport may ride on another client that is patched: aiohttp, mostly
            if verdict.first is not None:
                request = await _after_async(verdict.first, kit, request, live)
                if isinstance(request, kit.module.Response):
                    verdict.failed()
                    return request
            response = await live(request)
    except BaseException:
        verdict.failed()
        raise
    return kit.teed(verdict, response, kit.async_tee)


async def _after_async(first: Calls, kit: Kit, request: Any, live: Callable[[Any], Any]) -> Any:
    last: Any = None

    async def send(wanted: Request) -> Response:
        nonlocal last
        last = await live(kit.request(wanted, request))
        try:
            await last.aread()
        finally:
            await last.aclose()
        return kit.answer(last)

    at_last = await first_calls.make_async(first, send)
    return last if at_last is None else kit.request(at_last, request)


def _patience(request: Any) -> float | None:
    """The seconds to wait for the answer of somebody else's call: as long as for one's own."""
    return (request.extensions.get("timeout") or {}).get("read")
