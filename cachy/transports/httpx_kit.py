"""What the adapter of httpx and httpx2 needs of each module: request bodies, answers, and the stream classes that
have to derive from the module's own.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from functools import lru_cache
from types import ModuleType
from typing import Any

from ..calls import Forward
from ..engine import Replay
from ..exchange import Body, Headers, Request, Response
from ..keys import REMEMBERED
from ..notices import in_brief, say_once
from ..streaming import Incomplete
from .headers import own_reason, raw_header, reason_for
from .patching import once_for_each_module
from .streams import AsyncTeeStream, ReplayStream, TeeStream

_Raw = tuple[tuple[bytes, bytes], ...]

_LEFT_ALONE = ("MockTransport", "ASGITransport", "WSGITransport")


class Kit:
    """What the adapter needs of one module, and the stream classes made from its base classes."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.left_alone = tuple(getattr(module, name) for name in _LEFT_ALONE if hasattr(module, name))
        both = (module.SyncByteStream, module.AsyncByteStream)
        self.body_stream: Any = type("RecordedBody", (_BodyStream, *both), {})
        self._replay_stream: Any = type("ReplayedStream", (ReplayStream, *both), {})
        self.tee: Any = type("RecordingStream", (TeeStream, module.SyncByteStream), {})
        self.async_tee: Any = type("AsyncRecordingStream", (AsyncTeeStream, module.AsyncByteStream), {})

    def warn(self, problem: Exception) -> None:
        say_once(f"{self.module.__name__} could not be wrapped ({in_brief(problem)}); its calls go out live")

    @staticmethod
    def below(live: Any) -> Iterator[Any]:
        """The methods that a live call runs through, outermost first: the transport's, then its connection pool's."""
        yield live
        pool = getattr(getattr(live, "__self__", None), "_pool", None)
        yield getattr(pool, "handle_async_request", None) or getattr(pool, "handle_request", None)

    @staticmethod
    def asked(request: Any) -> Request | None:
        """The neutral request; None when its body has to be read from a stream first."""
        try:
            content = request.content
        except Exception:  # noqa: BLE001 - RequestNotRead: it is httpx's own class, of either module
            return None
        new = _neutral if len(content) > REMEMBERED else _neutral_again
        return new(request.method, _url(request), tuple(request.headers.raw), content)

    @staticmethod
    def neutral(request: Any, body: Body) -> Request:
        """The neutral request with a body that was read from its stream."""
        return Request(request.method, _url(request), _headers(request.headers.raw), body)

    def request(self, neutral: Request, like: Any) -> Any:
        """A request of the module's own, with the timeouts and the like of another one."""
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in neutral.headers]
        stream = self.body_stream(neutral.body)
        extensions = dict(like.extensions)
        return self.module.Request(
            neutral.method, neutral.url, headers=headers, stream=stream, extensions=extensions
        )

    @staticmethod
    def answer(response: Any) -> Response:
        """An answer that has been read to its end."""
        headers = _answered(response)
        return Response(response.status_code, headers, response.content)

    def replayed(self, verdict: Replay) -> Any:
        recorded = verdict.response
        headers, extensions = _head(
            self.module, recorded.status, recorded.headers, recorded.reason, recorded.http_version
        )
        return self.module.Response(
            recorded.status,
            headers=headers,
            stream=self._replay_stream(verdict),
            extensions=extensions.copy(),
        )

    def teed(self, verdict: Forward, response: Any, wrap: Any) -> Any:
        """`response`, its stream wrapped (by `self.tee` or `self.async_tee`) so that a copy is kept."""
        headers = _answered(response)
        version = response.extensions.get("http_version", b"HTTP/1.1").decode("ascii", "replace")
        said = response.extensions.get("reason_phrase")  # HTTP/2 has none
        reason = None if said is None else own_reason(response.status_code, said.decode("latin-1"))
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
        index, over = 0, False

        def feed() -> Iterator[bytes]:
            nonlocal index, over
            for index, piece in enumerate(raw):  # noqa: B007 - read below, while the generator waits
                yield piece
            over = True

        answer = self.module.Response(
            200, headers=[("content-encoding", ", ".join(encodings))], content=feed()
        )
        try:
            for decoded in answer.iter_bytes():
                yield index, decoded
        except self.module.DecodingError as problem:
            raise Incomplete(str(problem)) if over else problem from None


def _url(request: Any) -> str:
    target = request.extensions.get("target")
    if target is None:
        return str(request.url)
    # What goes into the request line in the place of the URL's path.
    path = target if isinstance(target, str) else target.decode("latin-1")
    return f"{request.url.scheme}://{request.url.netloc.decode('ascii')}/{path.lstrip('/')}"


def _neutral(method: str, url: str, headers: _Raw, content: bytes) -> Request:
    return Request(method, url, _headers(headers), Body(content))


# Test suites, notebooks and loops ask the same again and again; the very same object brings its canonical form along.
_neutral_again = lru_cache(maxsize=256)(_neutral)


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> Headers:
    return tuple(map(_header, raw))


def _answered(response: Any) -> Headers:
    """The headers of an answer, which nobody remembers: they are new each time."""
    return tuple((n.decode("latin-1").lower(), v.decode("latin-1")) for n, v in response.headers.raw)


@lru_cache(maxsize=256)
def _header(raw: tuple[bytes, bytes]) -> tuple[str, str]:
    # A client sends nearly the same headers with every request.
    return raw[0].lower().decode("latin-1"), raw[1].decode("latin-1")


@lru_cache(maxsize=64)
def _head(
    module: ModuleType, status: int, headers: Headers, reason: str | None, http_version: str
) -> tuple[Any, dict[str, bytes]]:
    """Headers, which a response copies quicker than it makes them, and extensions."""
    made = module.Headers([(raw_header(name), raw_header(value)) for name, value in headers])
    extensions = {"http_version": http_version.encode("ascii", "replace")}
    if http_version.startswith("HTTP/1"):
        extensions["reason_phrase"] = raw_header(reason_for(status, reason))
    return made, extensions


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


kit_of_module = once_for_each_module(Kit)


def kit_of_transport(transport: Any) -> Kit:
    """The kit of the module whose base transport `transport` derives from."""
    for name in ("httpx2", "httpx"):
        module = sys.modules.get(name)
        if module is not None and isinstance(transport, (module.BaseTransport, module.AsyncBaseTransport)):
            return kit_of_module(module)
    raise TypeError(f"{type(transport).__name__} is not a transport of httpx or httpx2")
