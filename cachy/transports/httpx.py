"""httpx and httpx2, one adapter for both: the module is an argument, never imported.

`Client._transport_for_url` is wrapped, so that what it returns can answer from a recording. Everything around
it stays the client's own: redirects, auth, cookies, event hooks, logging, `elapsed`, custom transports. Should
that private method be gone one day, the transport classes themselves are patched.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .. import session as sessions
from ..engine import Forward, Replay
from ..exchange import Body, BodyWriter, Headers, Request
from ..session import Session
from ..streaming import Tee, pieces, waits

if TYPE_CHECKING:
    from ..providers import Claim

_LEFT_ALONE = ("MockTransport", "ASGITransport", "WSGITransport")
_MARK = "__cachy_original__"

_sleep = time.sleep  # copied: a program's tests may mock it


def patch(module: ModuleType) -> None:
    """Patch the client classes of `module` (httpx or httpx2). Idempotent per class: after
    `httpx2.alias_httpx()` both names are one module."""
    kit = _kit(module)
    if hasattr(module.Client, "_transport_for_url") and hasattr(module.AsyncClient, "_transport_for_url"):
        _replace(module.Client, "_transport_for_url", lambda original: _choosing(original, kit, Transport))
        _replace(module.AsyncClient, "_transport_for_url", lambda original: _choosing(original, kit, AsyncTransport))
    else:
        _replace(module.HTTPTransport, "handle_request", lambda original: _handling(original, kit))
        _replace(module.AsyncHTTPTransport, "handle_async_request", lambda original: _handling_async(original, kit))


def unpatch(module: ModuleType) -> None:
    """Put the classes back as they were before `patch`, unless somebody else patched on top of us."""
    for owner, name in (
        (module.Client, "_transport_for_url"),
        (module.AsyncClient, "_transport_for_url"),
        (module.HTTPTransport, "handle_request"),
        (module.AsyncHTTPTransport, "handle_async_request"),
    ):
        original = getattr(owner.__dict__.get(name), _MARK, None)
        if original is not None:
            setattr(owner, name, original)


def _replace(owner: type, name: str, make: Callable[[Any], Any]) -> None:
    original = owner.__dict__.get(name) or getattr(owner, name)
    if not hasattr(original, _MARK):
        replacement = make(original)
        replacement.__name__ = name
        replacement.__qualname__ = getattr(original, "__qualname__", name)
        setattr(replacement, _MARK, original)
        setattr(owner, name, replacement)


def _claim_for(session: Session, url: Any) -> Claim | None:
    return session.registry.claim(url.scheme, url.host, url.port, url.path)


def _choosing(original: Any, kit: _Kit, wrapper: type[Transport] | type[AsyncTransport]) -> Any:
    def _transport_for_url(self: Any, url: Any) -> Any:
        inner = original.__get__(self, type(self))(url)
        session = sessions.current()
        if session is None:
            return inner
        try:
            claim = None if isinstance(inner, kit.left_alone) else _claim_for(session, url)
            return inner if claim is None else wrapper(inner, _kit=kit, _session=session, _claim=claim)
        except Exception as problem:  # noqa: BLE001 - never between a program and its call
            kit.warn(problem)
            return inner

    return _transport_for_url


def _handling(original: Any, kit: _Kit) -> Any:
    def handle_request(self: Any, request: Any) -> Any:
        live = original.__get__(self, type(self))
        session = sessions.current()
        return live(request) if session is None else _send(kit, session, request, live)

    return handle_request


def _handling_async(original: Any, kit: _Kit) -> Any:
    async def handle_async_request(self: Any, request: Any) -> Any:
        live = original.__get__(self, type(self))
        session = sessions.current()
        return await (live(request) if session is None else _send_async(kit, session, request, live))

    return handle_async_request


class Transport:
    """An httpx or httpx2 transport that records and replays what passes through `inner`.

    `httpx.Client(transport=cachy.Transport(httpx.HTTPTransport()))` gives one client a recorder of its own,
    with nothing patched. It uses the session that is active when a call is made: `cachy.enable`, `cachy.using`.
    """

    def __init__(
        self, inner: Any, *, _kit: _Kit | None = None, _session: Session | None = None, _claim: Claim | None = None
    ) -> None:
        self.inner = inner
        self._kit = _kit or _kit_of(inner)
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
        return getattr(self.inner, name)


class AsyncTransport:
    """`Transport` for `AsyncClient`, on asyncio and trio."""

    def __init__(
        self, inner: Any, *, _kit: _Kit | None = None, _session: Session | None = None, _claim: Claim | None = None
    ) -> None:
        self.inner = inner
        self._kit = _kit or _kit_of(inner)
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
        return getattr(self.inner, name)


def _send(
    kit: _Kit, session: Session, request: Any, live: Callable[[Any], Any], claim: Claim | None = None
) -> Any:
    claim = claim or _claim_for(session, request.url)
    if claim is None:
        return live(request)
    body = kit.body_at_hand(request)
    if body is None:
        body = Body.gather(request.stream)
        request.stream = kit.body_stream(body)
    verdict = session.engine.ask(_neutral(request, body), claim)
    if isinstance(verdict, Replay):
        return kit.replayed(verdict)
    try:
        response = live(request)
    except BaseException:
        verdict.failed()
        raise
    return kit.teed(verdict, response, kit.tee)


async def _send_async(
    kit: _Kit, session: Session, request: Any, live: Callable[[Any], Any], claim: Claim | None = None
) -> Any:
    claim = claim or _claim_for(session, request.url)
    if claim is None:
        return await live(request)
    body = kit.body_at_hand(request)
    if body is None:
        writer = BodyWriter()
        async for chunk in request.stream:
            writer.write(chunk)
        body = writer.body()
        request.stream = kit.body_stream(body)
    verdict = session.engine.ask(_neutral(request, body), claim)
    if isinstance(verdict, Replay):
        # A live call always lets other tasks run; a program may depend on it.
        await _pause(0)
        return kit.replayed(verdict)
    try:
        response = await live(request)
    except BaseException:
        verdict.failed()
        raise
    return kit.teed(verdict, response, kit.async_tee)


def _neutral(request: Any, body: Body) -> Request:
    raw = request.headers.raw
    headers = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in raw)
    return Request(request.method.upper(), str(request.url), headers, body)


async def _pause(seconds: float) -> None:
    """Sleep on whichever event loop is running; zero seconds is one turn of the loop."""
    # trio first: in its guest mode there is a running asyncio loop too, and it is the wrong one.
    trio = sys.modules.get("trio")
    if trio is not None:
        try:
            trio.lowlevel.current_task()
        except RuntimeError:
            pass
        else:
            await trio.sleep(seconds)
            return
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        await asyncio.sleep(seconds)


class _Kit:
    """What the adapter needs of one module, and the stream classes made from its base classes."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.left_alone = tuple(getattr(module, name) for name in _LEFT_ALONE if hasattr(module, name))
        both = (module.SyncByteStream, module.AsyncByteStream)
        self.body_stream: Any = type("RecordedBody", (_BodyStream, *both), {})
        self._replay_stream: Any = type("ReplayedStream", (_ReplayStream, *both), {})
        self.tee: Any = type("RecordingStream", (_TeeStream, module.SyncByteStream), {})
        self.async_tee: Any = type("AsyncRecordingStream", (_AsyncTeeStream, module.AsyncByteStream), {})

    def warn(self, problem: Exception) -> None:
        from ..notices import in_brief, say_once

        say_once(f"{self.module.__name__} could not be wrapped ({in_brief(problem)}); its calls go out live")

    @staticmethod
    def body_at_hand(request: Any) -> Body | None:
        """The body when it lies in memory already, None when it has to be read from a stream."""
        try:
            return Body(request.content)
        except Exception:  # noqa: BLE001 - RequestNotRead: it is httpx's own class, of either module
            return None

    def replayed(self, verdict: Replay) -> Any:
        recorded = verdict.response
        extensions = {"http_version": recorded.http_version.encode("ascii", "replace")}
        if recorded.http_version.startswith("HTTP/1"):
            phrase = recorded.reason or self.module.codes.get_reason_phrase(recorded.status)
            extensions["reason_phrase"] = phrase.encode("ascii", "replace")
        return self.module.Response(
            recorded.status,
            headers=[(name.encode("latin-1"), value.encode("utf-8")) for name, value in recorded.headers],
            stream=self._replay_stream(verdict),
            extensions=extensions,
        )

    def teed(self, verdict: Forward, response: Any, wrap: Any) -> Any:
        """`response`, its stream wrapped (by `self.tee` or `self.async_tee`) so that a copy is kept."""
        headers = tuple((n.decode("latin-1").lower(), v.decode("latin-1")) for n, v in response.headers.raw)
        version = response.extensions.get("http_version", b"HTTP/1.1").decode("ascii", "replace")
        reason = response.extensions.get("reason_phrase", b"").decode("ascii", "replace")
        if reason == self.module.codes.get_reason_phrase(response.status_code):
            reason = ""
        at_hand = hasattr(response, "_content")  # a custom transport's answer that was never a stream
        decode = _as_is if at_hand else self._decode
        tee = verdict.answered(response.status_code, headers, decode, version, reason)
        if tee is None:
            return response
        if at_hand:
            tee.feed(response.content)
            tee.finish()
        else:
            response.stream = wrap(response.stream, tee)
        return response

    def _decode(self, headers: Headers, raw: list[bytes]) -> Iterable[tuple[int, bytes]]:
        """Decode with the client's own decoders (gzip, br, zstd, ...), keeping track of the pieces."""
        encodings = [value for name, value in headers if name == "content-encoding"]
        if not encodings or not raw:
            yield from enumerate(raw)
            return
        index = 0

        def feed() -> Iterator[bytes]:
            nonlocal index
            for index, piece in enumerate(raw):  # noqa: B007, B020 - read below, while the generator waits
                yield piece

        answer = self.module.Response(200, headers=[("content-encoding", ", ".join(encodings))], content=feed())
        for decoded in answer.iter_bytes():
            yield index, decoded


def _as_is(_headers: Headers, raw: list[bytes]) -> Iterable[tuple[int, bytes]]:
    return enumerate(raw)


class _BodyStream:
    """A request body that was read once to make its key, given out again as often as the client asks."""

    def __init__(self, body: Body) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        return self._body.chunks()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._body.chunks():
            yield chunk


class _ReplayStream:
    """The body of a recorded answer, piece by piece as it once arrived."""

    def __init__(self, verdict: Replay) -> None:
        self._response = verdict.response
        self._pace = verdict.pace

    def __iter__(self) -> Iterator[bytes]:
        return self._paced() if self._pace else iter(pieces(self._response))

    def _paced(self) -> Iterator[bytes]:
        for seconds, piece in zip(waits(self._response, self._pace), pieces(self._response), strict=False):
            _sleep(seconds)
            yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if not self._pace:
            for piece in pieces(self._response):
                yield piece
            return
        for seconds, piece in zip(waits(self._response, self._pace), pieces(self._response), strict=False):
            await _pause(seconds)
            yield piece


class _TeeStream:
    """The stream of a live answer, handed on piece by piece while a copy is kept."""

    def __init__(self, stream: Any, tee: Tee) -> None:
        self._stream = stream
        self._tee = tee

    def __iter__(self) -> Iterator[bytes]:
        tee = self._tee
        try:
            for piece in self._stream:
                tee.feed(piece)
                yield piece
        except BaseException as problem:
            tee.fail(problem)
            raise
        tee.finish()

    def close(self) -> None:
        try:
            self._stream.close()  # first: an early close stops the provider's generation at once
        finally:
            self._tee.leave()


class _AsyncTeeStream:
    """`_TeeStream` for async clients."""

    def __init__(self, stream: Any, tee: Tee) -> None:
        self._stream = stream
        self._tee = tee

    async def __aiter__(self) -> AsyncIterator[bytes]:
        tee = self._tee
        stream = self._stream.__aiter__()
        try:
            async for piece in stream:
                tee.feed(piece)
                yield piece
        except BaseException as problem:
            tee.fail(problem)
            raise
        finally:
            # An async generator left half-way is otherwise closed by the garbage collector, in another task.
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()
        tee.finish()

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self._tee.leave()


_kits: dict[int, _Kit] = {}


def _kit(module: ModuleType) -> _Kit:
    kit = _kits.get(id(module))
    if kit is None or kit.module is not module:
        kit = _kits[id(module)] = _Kit(module)
    return kit


def _kit_of(transport: Any) -> _Kit:
    """The kit of the module whose base transport `transport` derives from."""
    for name in ("httpx2", "httpx"):
        module = sys.modules.get(name)
        if module is not None and isinstance(transport, (module.BaseTransport, module.AsyncBaseTransport)):
            return _kit(module)
    raise TypeError(f"{type(transport).__name__} is not a transport of httpx or httpx2")
