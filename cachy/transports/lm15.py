"""lm15, which DSPy's own client stands on: it speaks HTTP over sockets by itself, sync and asyncio.

`stream` of its transports is wrapped: a request with all its bytes goes in, an answer to iterate over comes out.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .. import session as sessions
from ..engine import Replay, Wait
from ..exchange import Body, Headers, Request
from .headers import own_reason, reason_for
from .patching import replace, restore
from .streams import AsyncTeeStream, ReplayStream, TeeStream
from .waiting import pause, waited, waited_async

if TYPE_CHECKING:
    from ..calls import Forward
    from ..providers import Claim
    from ..session import Session
    from ..streaming import Tee


def patch(module: ModuleType) -> None:
    """Patch the transports of `module` (lm15.transports). Idempotent."""
    replace(module.StdlibTransport, "stream", lambda original: _streaming(original, module))
    replace(module.StdlibAsyncTransport, "_do_stream", lambda original: _streaming_async(original, module))


def unpatch(module: ModuleType) -> None:
    """Put the transports back as they were before `patch`, unless somebody else patched on top of us."""
    restore(module.StdlibTransport, "stream")
    restore(module.StdlibAsyncTransport, "_do_stream")


def _streaming(original: Any, module: ModuleType) -> Any:
    def stream(self: Any, request: Any) -> Any:
        live = original.__get__(self, type(self))
        session = sessions.current()
        claim = None if session is None else _claim_for(session, request)
        if session is None or claim is None:
            return live(request)
        asked = _neutral(request)
        verdict = session.engine.ask(asked, claim)
        if isinstance(verdict, Wait):
            verdict = waited(session.engine, asked, claim, verdict, _patience(self, request))
        if isinstance(verdict, Replay):
            chunks = iter(ReplayStream(verdict))
            return module.TransportResponse(**_head(verdict), chunks=chunks, release=lambda _consumed: None)
        try:
            with sessions.bypass():
                response = live(request)
        except BaseException:
            verdict.failed()
            raise
        tee = _answered(verdict, response)
        if tee is None:
            return response

        def release(_consumed: bool) -> None:
            try:
                response.close()
            finally:
                tee.leave()

        return type(response)(
            status=response.status,
            reason=response.reason,
            headers=response.headers,
            http_version=response.http_version,
            chunks=iter(TeeStream(response, tee)),
            release=release,
        )

    return stream


def _streaming_async(original: Any, module: ModuleType) -> Any:
    async def _do_stream(self: Any, request: Any) -> Any:
        live = original.__get__(self, type(self))
        session = sessions.current()
        claim = None if session is None else _claim_for(session, request)
        if session is None or claim is None:
            return await live(request)
        asked = _neutral(request)
        verdict = session.engine.ask(asked, claim)
        if isinstance(verdict, Wait):
            verdict = await waited_async(session.engine, asked, claim, verdict, _patience(self, request))
        if isinstance(verdict, Replay):
            # A live call always lets other tasks run; a program may depend on it.
            await pause(0)
            chunks = ReplayStream(verdict).__aiter__()
            return module.AsyncTransportResponse(**_head(verdict), chunks=chunks, release=_released)
        try:
            with sessions.bypass():
                response = await live(request)
        except BaseException:
            verdict.failed()
            raise
        tee = _answered(verdict, response)
        if tee is None:
            return response

        async def release(_consumed: bool) -> None:
            try:
                await response.aclose()
            finally:
                tee.leave()

        return type(response)(
            status=response.status,
            reason=response.reason,
            headers=response.headers,
            http_version=response.http_version,
            chunks=AsyncTeeStream(response, tee).__aiter__(),
            release=release,
        )

    return _do_stream


async def _released(_consumed: bool) -> None:
    pass


def _claim_for(session: Session, request: Any) -> Claim | None:
    try:
        parts = urlsplit(request.url)
        return session.registry.claim(parts.scheme, parts.hostname or "", parts.port, parts.path)
    except ValueError:  # no URL at all: lm15 is going to say so
        return None


def _patience(transport: Any, request: Any) -> float | None:
    """The seconds to wait for the answer of somebody else's call: as long as for one's own."""
    own = request.read_timeout
    return getattr(transport, "_read_timeout", None) if own is None else own


def _neutral(request: Any) -> Request:
    headers = tuple((name.lower(), value) for name, value in request.headers)
    return Request(request.method.upper(), request.url, headers, Body(bytes(request.body or b"")))


def _head(verdict: Replay) -> dict[str, Any]:
    recorded = verdict.response
    return {
        "status": recorded.status,
        "reason": reason_for(recorded.status, recorded.reason),
        "headers": list(recorded.headers),
        "http_version": "HTTP/1.0" if recorded.http_version == "HTTP/1.0" else "HTTP/1.1",
    }


def _answered(verdict: Forward, response: Any) -> Tee | None:
    headers = tuple((name.lower(), value) for name, value in response.headers)
    reason = own_reason(response.status, response.reason)
    return verdict.answered(response.status, headers, _as_is, response.http_version, reason)


def _as_is(_headers: Headers, raw: list[bytes]) -> Iterable[tuple[int, bytes]]:
    return enumerate(raw)  # lm15 hands out what is decoded
