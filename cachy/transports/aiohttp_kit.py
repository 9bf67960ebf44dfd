"""What the adapter of aiohttp needs of the module: request bodies that can be read again (see `aiohttp_bodies`),
connections that answer from a recording (see `aiohttp_replay`), and the copy that is kept of a live answer.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Iterable
from functools import lru_cache
from types import ModuleType
from typing import Any

from ..calls import Forward
from ..engine import Replay
from ..exchange import Body, Headers, Request, Response
from ..notices import in_brief, say_once
from ..streaming import Tee
from .aiohttp_bodies import Collector, Payload
from .aiohttp_replay import Connection, Protocol, Reader
from .headers import own_reason, raw_header, reason_for
from .patching import once_for_each_module

_ESCAPED = "surrogateescape"  # how aiohttp reads headers


class Kit:
    """What the adapter needs of one module, and the classes made from its own."""

    def __init__(self, module: ModuleType) -> None:
        self.module: Any = module
        self.empty = self.module.EMPTY_PAYLOAD
        self._body: Any = type("RecordedBody", (Payload, self.module.Payload), {})
        self._collector: Any = type("BodyCollector", (Collector, self.module.abc.AbstractStreamWriter), {})
        self._connection: Any = type("ReplayedConnection", (Connection, self.module.connector.Connection), {})
        self._protocol: Any = type(
            "ReplayedProtocol", (Protocol, self.module.client_proto.ResponseHandler), {}
        )
        self.reader: Any = type("ReplayedStream", (Reader, self.module.StreamReader), {})

    def warn(self, problem: Exception) -> None:
        say_once(f"aiohttp could not be wrapped ({in_brief(problem)}); its calls go out live")

    # Request bodies

    async def body(self, request: Any) -> Body:
        """The body of `request`, which is read at most once: what cannot be read again is replaced."""
        payload = request.body
        if isinstance(payload, self._body):
            return payload.recorded  # type: ignore[no-any-return]
        if isinstance(payload, bytes | bytearray):
            return Body(bytes(payload))
        if (
            isinstance(payload, self.module.BytesPayload)
            and type(payload).write is self.module.BytesPayload.write
        ):
            return Body(bytes(payload._value))
        collector, size = self._collector(), payload.size  # asked now: writing may close the file
        try:
            await payload.write(collector)
        except OSError as problem:  # as aiohttp has it when reading fails while it sends
            raise self.module.ClientOSError(
                problem.errno, f"Can not write request body for {request.url}"
            ) from problem
        except Exception as problem:
            raise self.module.ClientConnectionError(
                "Failed to send bytes into the underlying connection"
            ) from problem
        body: Body = collector.writer.body()
        self._give(request, self._body(payload, size, body))
        return body

    @staticmethod
    def _give(request: Any, payload: Any) -> None:
        # No setter: the one of `ClientRequest.body` would write the headers anew.
        setattr(request, "_body" if hasattr(request, "_body") else "body", payload)

    def payload(self, body: Body) -> Any:
        """What to give aiohttp to send a body of ours."""
        return self._body(self.module.BytesPayload(b""), body.size, body)

    def change(self, request: Any, wanted: Request) -> None:
        """Let `request` be another one with the same method."""
        request.url = type(request.url)(wanted.url, encoded=True)
        request.headers.clear()
        request.headers.extend(wanted.headers)
        if "content-length" in request.headers:
            request.chunked = None
        self._give(request, self.payload(wanted.body))

    async def call(self, wanted: Request, like: Any, timeout: Any) -> Response:
        """Make a call of ours in the session of another request, in the way of that one."""
        options: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
        if hasattr(self.module, "ClientHandlerType"):
            options["middlewares"] = ()  # what they do was done when the program made this request
        url = type(like.url)(wanted.url, encoded=True)
        async with like._session.request(
            wanted.method, url, headers=wanted.headers, data=self.payload(wanted.body), ssl=like.ssl,
            proxy=like.proxy, allow_redirects=False, raise_for_status=False, **options,
        ) as response:  # fmt: skip
            body = await response.read()
        headers = tuple((n.decode("latin-1").lower(), v.decode("latin-1")) for n, v in response.raw_headers)
        return Response(response.status, headers, body)

    # Answers from a recording

    def replayed(self, verdict: Replay, connector: Any, request: Any) -> Any:
        """A connection over which the recorded answer arrives."""
        loop = asyncio.get_running_loop()
        protocol = self._protocol(loop, self, verdict)
        if request._continue is not None:
            protocol.feed_data((self.message(Response(100)), self.empty), 0)
        return self._connection(connector, request.connection_key, protocol, loop)

    def message(self, recorded: Response) -> Any:
        """The head of an answer as aiohttp's parser gives it."""
        raw, headers = _headers(recorded.headers)
        major, _, minor = recorded.http_version.partition("/")[2].partition(".")
        return self.module.http.RawResponseMessage(
            version=self.module.HttpVersion(int(major or 1), int(minor or 0)),
            code=recorded.status,
            reason=raw_header(reason_for(recorded.status, recorded.reason)).decode("utf-8", _ESCAPED),
            headers=headers,
            raw_headers=raw,
            should_close=False,
            compression=None,
            upgrade=False,
            chunked="content-length" not in headers,
        )

    # Live answers

    def watch(self, verdict: Forward, connection: Any, request: Any) -> None:
        """Keep a copy of the answer that is about to come over `connection`.

        The two objects of this one call are told to call us in the middle of what they do; nothing of it outlives
        that, and neither calls to other hosts nor the pool see it.
        """
        decodes = True
        protocol = connection.protocol
        set_response_params, send = protocol.set_response_params, request.send

        def watched_params(**params: Any) -> None:
            nonlocal decodes
            del protocol.set_response_params
            decodes = params.get("auto_decompress", True)
            set_response_params(**params)

        async def watched_send(connection: Any) -> Any:
            del request.send
            try:
                response = await send(connection)
            except BaseException:
                verdict.failed()
                raise
            start = response.start

            async def watched_start(connection: Any) -> Any:
                del response.start
                try:
                    started = await start(connection)
                except BaseException:
                    verdict.failed()
                    raise
                self._tee(verdict, response, connection, decodes)
                return started

            response.start = watched_start
            return response

        protocol.set_response_params, request.send = watched_params, watched_send

    def _tee(self, verdict: Forward, response: Any, connection: Any, decoded: bool) -> None:
        try:
            version = f"HTTP/{response.version.major}.{response.version.minor}"
            said = (response.reason or "").encode("utf-8", _ESCAPED).decode("latin-1")
            reason = own_reason(response.status, said)
            headers = tuple(
                (n.decode("latin-1").lower(), v.decode("latin-1")) for n, v in response.raw_headers
            )
            tee = verdict.answered(
                response.status, headers, _as_is if decoded else self._decode, version, reason
            )
            if tee is not None:
                self._attach(tee, response.content, connection)
        except Exception as problem:  # noqa: BLE001 - the user's call is worth more than our copy of it
            verdict.failed()
            self.warn(problem)

    def _attach(self, tee: Tee, content: Any, connection: Any) -> None:
        """Feed `tee` with what arrives, whoever reads it and how: a stream has a dozen methods to read it with."""

        def ended() -> None:
            problem = content.exception()
            if content.is_eof():
                tee.finish()
            elif problem is None or type(problem) is self.module.ClientConnectionError:
                tee.leave()  # that exact class is what a stream gets when its response is closed
            else:
                tee.fail(problem)

        if content is self.empty:
            tee.finish()
            return
        for piece in content._buffer:
            tee.feed(piece)
        if content.is_eof() or content.exception() is not None:
            ended()
            return
        content._buffer = _Watched(content._buffer, tee)
        content.on_eof(ended)
        connection.add_callback(ended)

    def _decode(self, headers: Headers, raw: list[bytes]) -> Iterable[tuple[int, bytes]]:
        """Decode, with aiohttp's own decoders, what a session with `auto_decompress=False` hands out as it came."""
        encoding = next((value.lower() for name, value in headers if name == "content-encoding"), "")
        if encoding not in ("gzip", "deflate", "br", "zstd") or not raw:
            yield from enumerate(raw)
            return
        out = _Decoded()
        decoder = self.module.http_parser.DeflateBuffer(out, encoding)
        for index, piece in enumerate(raw):
            decoder.feed_data(piece, len(piece))
            yield index, out.take()
        decoder.feed_eof()
        yield len(raw) - 1, out.take()


@lru_cache(maxsize=64)
def _headers(recorded: Headers) -> tuple[Any, Any]:
    """Headers as aiohttp has them: as they came, and by name. Neither can be changed."""
    multidict: Any = sys.modules["multidict"]  # aiohttp has imported it
    raw = tuple([(raw_header(name), raw_header(value)) for name, value in recorded])
    pairs = [(name.decode("utf-8", _ESCAPED), value.decode("utf-8", _ESCAPED)) for name, value in raw]
    return raw, multidict.CIMultiDictProxy(multidict.CIMultiDict(pairs))


def _as_is(_headers: Headers, raw: list[bytes]) -> Iterable[tuple[int, bytes]]:
    return enumerate(raw)


class _Decoded:
    """Where a decoder of aiohttp puts what it has decoded."""

    _low_water = sys.maxsize  # no limit on how much comes out of one piece
    total_compressed_bytes = 0

    def __init__(self) -> None:
        self._data = b""

    def feed_data(self, data: bytes, size: int = 0) -> None:
        self._data += data

    def feed_eof(self) -> None:
        pass

    def take(self) -> bytes:
        data, self._data = self._data, b""
        return data


class _Watched(deque[bytes]):
    """The buffer of a live answer's stream: each piece that arrives is copied."""

    def __init__(self, arrived: Iterable[bytes], tee: Tee) -> None:
        super().__init__(arrived)
        self._tee = tee

    def append(self, piece: bytes) -> None:
        self._tee.feed(piece)
        super().append(piece)


kit_of = once_for_each_module(Kit)
