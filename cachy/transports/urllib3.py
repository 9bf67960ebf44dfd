"""urllib3, 1.26 and 2: with it requests, botocore, and all else that is built on its connection pools.

`HTTPConnectionPool.urlopen` is wrapped, and runs as it is: redirects, retries, timeouts, proxies, logging and
pools stay urllib3's own. It only runs on a stand-in for the pool: one that gives it a connection to the recording
instead of one to the server, or one that listens to the answer of the real one.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .. import session as sessions
from ..aside import in_charge
from ..calls import Forward
from ..engine import Replay, Wait
from ..errors import Miss, fit_for_here
from ..exchange import Body, Headers, Request, Response
from ..notices import in_brief
from ..providers.hosts import written
from ..streaming import Incomplete
from . import first_calls, wire
from .patching import replace, restore
from .waiting import waited

if TYPE_CHECKING:
    from ..providers import Claim
    from ..session import Session
    from ..uploads import Calls

_BLOCK = 64 * 1024


def patch(module: ModuleType) -> None:
    """Patch the connection pools of `module` (urllib3). Idempotent."""
    pool = module.connectionpool.HTTPConnectionPool
    for name in ("_get_conn", "_put_conn", "_prepare_proxy", "_make_request"):
        getattr(pool, name)  # without these a stand-in would reach the server, so better not at all
    replace(pool, "urlopen", lambda original: _opening(original, _Kit(module)))


def unpatch(module: ModuleType) -> None:
    """Put the pools back as they were before `patch`, unless somebody else patched on top of us."""
    restore(module.connectionpool.HTTPConnectionPool, "urlopen")


class _Kit:
    """What the adapter needs of one module."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.is_old = not hasattr(module.response, "BaseHTTPResponse")
        """Whether it is 1.26, where a connection gives out `http.client`'s own answers."""

    def answer(self, raw: http.client.HTTPResponse, method: str, url: str, options: dict[str, Any]) -> Any:
        """The answer that the connections of this module give out."""
        if self.is_old:
            return raw
        response = self.module.response.HTTPResponse(
            body=raw,
            headers=self.module.HTTPHeaderDict(raw.msg.items()),
            status=raw.status,
            version=raw.version,
            reason=raw.reason,
            original_response=raw,
            request_method=method,
            request_url=url,
            **options,
        )
        # What the connection speaks, whatever the server said.
        response.version_string = _Connection._http_vsn_str
        return response

    def decode(self, headers: Headers, raw: list[bytes]) -> Iterator[tuple[int, bytes]]:
        """Decode with the client's own decoders (gzip, br, zstd, ...), keeping track of the pieces."""
        given = ",".join(value for name, value in headers if name == "content-encoding").lower()
        encodings = [name for part in given.split(",") if (name := part.strip()) not in ("", "identity")]
        if not encodings or not raw:
            yield from enumerate(raw)
            return
        known = self.module.response.HTTPResponse.CONTENT_DECODERS
        if any(name not in known for name in encodings):
            raise ValueError(f"content-encoding {given} is not known here")
        decoder = self.module.response._get_decoder(", ".join(encodings))
        for index, piece in enumerate(raw):
            yield index, decoder.decompress(piece)
        try:
            yield len(raw) - 1, decoder.flush()
        except Exception as problem:  # noqa: BLE001 - each encoding has errors of its own
            raise Incomplete(str(problem)) from None


def _opening(original: Any, kit: _Kit) -> Any:
    def urlopen(
        self: Any, method: str, url: str, body: Any = None, headers: Any = None, *args: Any, **options: Any
    ) -> Any:
        session = sessions.current()
        claim = None if session is None else _claim_for(session, self, url)
        if session is None or claim is None:
            return original(self, method, url, body, headers, *args, **options)
        if rival := in_charge((self.urlopen, self._get_conn, self._make_request, self.ConnectionCls)):
            with sessions.left_to(rival, session):
                return original(self, method, url, body, headers, *args, **options)
        encoding = "latin-1" if kit.is_old and not options.get("chunked") else "utf-8"
        kept, body = _read(body, encoding)
        given = wire.headers_of(self.headers if headers is None else headers)
        asked = Request(method.upper(), _absolute(self, url), given, kept)
        verdict = session.engine.ask(asked, claim)
        if isinstance(verdict, Wait):
            verdict = waited(session.engine, asked, claim, verdict, _patience(self, options))
        pool: _StandIn
        if isinstance(verdict, Replay):
            pool = _Replaying(self, kit, verdict)
        else:
            pool = _Recording(self, kit, verdict)
        try:
            if isinstance(verdict, Forward) and verdict.first is not None:
                timeout = {"timeout": options["timeout"]} if "timeout" in options else {}
                sent, refused = _after(verdict.first, original.__get__(self, type(self)), timeout)
                if sent is None:
                    pool.done()
                    pool = _Replaying(self, kit, Replay(refused, 0.0))
                else:
                    url, body, headers = _parts(sent)
                    options["assert_same_host"] = False
            return original.__get__(pool, type(self))(method, url, body, headers, *args, **options)
        finally:
            pool.done()

    return urlopen


def _patience(pool: Any, options: dict[str, Any]) -> float | None:
    """The seconds to wait for the answer of somebody else's call: as long as for one's own."""
    try:
        limits = pool._get_timeout(options.get("timeout", pool.timeout))
        limits.start_connect()
        seconds = limits.read_timeout
    except Exception:  # noqa: BLE001 - no time limit at all: urllib3 is going to say so
        return None
    return seconds if isinstance(seconds, int | float) else None


def _after(first: Calls, live: Any, options: dict[str, Any]) -> tuple[Request | None, Response]:
    """Make the calls that come before one of the program's own; returns what to send now (None: they have ended it
    all) and the last answer."""
    last = Response(0)

    def send(wanted: Request) -> Response:
        nonlocal last
        url, body, headers = _parts(wanted)
        with sessions.bypass():
            response = live(
                wanted.method, url, body, headers, redirect=False, assert_same_host=False, **options
            )
        last = Response(response.status, wire.headers_of(response.headers), response.data)
        return last

    return first_calls.make(first, send), last


def _parts(request: Request) -> tuple[str, Any, dict[str, str]]:
    """Path, body and headers to send a request with, on a pool that leads to its host."""
    parts = request.split()
    framing = ("content-length", "transfer-encoding")
    headers = {name: value for name, value in request.headers if name not in framing}
    headers["content-length"] = str(request.body.size)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return path, _Again(request.body), headers


def _claim_for(session: Session, pool: Any, url: str) -> Claim | None:
    try:
        if url.startswith("/"):
            place = session.registry.place(pool.scheme, pool.host, pool.port)
            return None if place is None else place.claim(url.partition("?")[0])
        parts = urlsplit(url)  # for a proxy
        return session.registry.claim(parts.scheme, parts.hostname or "", parts.port, parts.path)
    except Exception as problem:
        if session.engine.settings.mode == "replay":
            # Going on would mean a live call, which replay mode promises never to make.
            why = f"it cannot be told whose call this is ({in_brief(problem)}); nothing was sent"
            raise fit_for_here(Miss(why)) from problem
        return None  # no URL at all: urllib3 is going to say so


def _absolute(pool: Any, url: str) -> str:
    return (
        f"{pool.scheme}://{written(pool.scheme, pool.host, pool.port)}{url}" if url.startswith("/") else url
    )


def _read(body: Any, encoding: str) -> tuple[Body, Any]:
    """The body, and what to send in its place when it can be read but once."""
    if body is None or isinstance(body, bytes):
        return Body(body or b""), body
    if isinstance(body, str):
        return Body(body.encode(encoding)), body
    if not hasattr(body, "read"):
        try:
            return Body(bytes(memoryview(body))), body
        except TypeError:
            pass  # an iterable
    kept = Body.gather(_pieces(body, encoding))
    return kept, _Again(kept)


def _pieces(body: Any, encoding: str) -> Iterator[bytes]:
    source = iter(lambda: body.read(_BLOCK) or None, None) if hasattr(body, "read") else body
    for piece in source:
        yield piece.encode(encoding) if isinstance(piece, str) else bytes(piece)


class _Again:
    """A body that was read once to make its key, given out again as often as it is sent."""

    def __init__(self, body: Body) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        return self._body.chunks()


class _StandIn:
    """The pool as one run of its `urlopen` sees it."""

    def __init__(self, pool: Any, kit: _Kit) -> None:
        self._real = pool
        self._kit = kit

    def done(self) -> None:
        """That run has ended."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self._real)  # an exception may carry it to somebody who looks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def __str__(self) -> str:
        return str(self._real)

    def __repr__(self) -> str:
        return repr(self._real)


class _Replaying(_StandIn):
    """Its connections lead to the recording; nothing is taken from the real pool, nothing put back."""

    def __init__(self, pool: Any, kit: _Kit, verdict: Replay) -> None:
        super().__init__(pool, kit)
        self._verdict = verdict

    def _get_conn(self, *_: Any, **__: Any) -> _Connection:
        return _Connection(self._kit, self._verdict)

    def _put_conn(self, conn: Any) -> None:
        pass

    def _prepare_proxy(self, conn: Any) -> None:
        pass

    def _make_request(self, conn: Any, *args: Any, **options: Any) -> Any:
        if not self._kit.is_old:
            options["response_conn"] = None  # or the answer would put it into the real pool
        return self._real._make_request(conn, *args, **options)


class _Connection:
    """A connection to the recording. What it does not take from here no pool asks of one that is connected."""

    sock = timeout = proxy = None
    _http_vsn_str = "HTTP/1.1"
    is_closed = False
    is_connected = is_verified = proxy_is_verified = has_connected_to_proxy = True

    def __init__(self, kit: _Kit, verdict: Replay) -> None:
        self._kit = kit
        self._verdict = verdict
        self._asked: tuple[str, str, dict[str, Any]] = ("", "", {})

    def connect(self) -> None:
        pass

    def close(self) -> None:
        pass

    def request(self, method: str, url: str, *_: Any, **options: Any) -> None:
        names = ("preload_content", "decode_content", "enforce_content_length")
        self._asked = (method, url, {name: options[name] for name in names if name in options})

    request_chunked = request

    def getresponse(self, **_: Any) -> Any:
        method, url, options = self._asked
        return self._kit.answer(wire.replayed(self._verdict, method), method, url, options)


class _Recording(_StandIn):
    """The answers of its connections are listened to."""

    def __init__(self, pool: Any, kit: _Kit, verdict: Forward) -> None:
        super().__init__(pool, kit)
        self._verdict: Forward | None = verdict

    def done(self) -> None:
        verdict, self._verdict = self._verdict, None
        if verdict is not None:
            verdict.failed()

    def _prepare_proxy(self, conn: Any) -> None:
        with sessions.bypass():
            self._real._prepare_proxy(conn)

    def _make_request(self, conn: Any, *args: Any, **options: Any) -> Any:
        preload = options.get("preload_content")
        if preload:
            options["preload_content"] = False
        try:
            with sessions.bypass():
                response = self._real._make_request(conn, *args, **options)
        except BaseException:
            self.done()  # now: urllib3 may try again
            raise
        self._listen(response)
        if preload:
            # As its constructor does it.
            response._body = response.read(decode_content=options.get("decode_content", True))
        return response

    def _listen(self, response: Any) -> None:
        raw = response if self._kit.is_old else getattr(response, "_original_response", None)
        if isinstance(raw, http.client.HTTPResponse) and self._verdict is not None:
            wire.listen(raw, self._verdict, self._kit.decode)
            self._verdict = None
