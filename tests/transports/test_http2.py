"""HTTP/2: a real server, one connection with many streams."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

hypercorn = pytest.importorskip("hypercorn.asyncio")
pytest.importorskip("h2")

EVENTS = [b'data: {"n":1}\n\n', b'data: {"n":2}\n\n', b"data: [DONE]\n\n"]


class App:
    """Echoes a body; streams events at /s, for ever at /endless until the client leaves."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.left = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.bodies.append(body)
        kind = b"application/json" if scope["path"] == "/v1" else b"text/event-stream"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        if scope["path"] == "/endless":
            await self._endless(receive, send)
            return
        for piece in EVENTS if scope["path"] == "/s" else [b'{"size":%d}' % len(body)]:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    async def _endless(self, receive: Any, send: Any) -> None:
        leaving = asyncio.ensure_future(receive())
        while not leaving.done():
            await send({"type": "http.response.body", "body": EVENTS[0], "more_body": True})
            await asyncio.sleep(0.01)
        self.left.set()


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[App, str]]:
    """The app and its URL, without TLS: the clients begin with HTTP/2 at once."""
    app, started = App(), threading.Event()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    port = listener.getsockname()[1]
    config = hypercorn.Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.loglevel = "ERROR"
    loop, ending = asyncio.new_event_loop(), asyncio.Event()

    async def main() -> None:
        started.set()
        await hypercorn.serve(app, config, shutdown_trigger=ending.wait, mode="asgi")

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    assert started.wait(10)
    yield app, f"http://127.0.0.1:{port}"
    loop.call_soon_threadsafe(ending.set)
    thread.join(10)
    loop.close()


@pytest.fixture
def app(served: tuple[App, str]) -> App:
    served[0].bodies.clear()
    return served[0]


def test_calls_over_http2(lib: Any, served: tuple[App, str], app: App, using: Any) -> None:
    """JSON and event streams are recorded and replayed with their protocol version, bytes and chunks."""
    url = served[1]

    def calls() -> list[Any]:
        with lib.Client(http1=False, http2=True) as client:
            answer = client.post(url + "/v1", content=(piece for piece in [b"a" * 1000, b"b"]))
            with client.stream("POST", url + "/s", json={}) as stream:
                events = list(stream.iter_raw())
            return [
                answer.http_version,
                answer.reason_phrase,
                answer.json(),
                stream.http_version,
                b"".join(events),
            ]

    with using():
        live = calls()
        assert calls() == live == ["HTTP/2", "OK", {"size": 1001}, "HTTP/2", b"".join(EVENTS)]
    assert app.bodies == [b"a" * 1000 + b"b", b"{}"]


def test_many_streams_of_one_connection(lib: Any, served: tuple[App, str], app: App, using: Any) -> None:
    """Concurrent calls of one async client each get their own answer, live and replayed."""
    url = served[1]

    async def calls() -> list[Any]:
        async with lib.AsyncClient(http1=False, http2=True) as client:
            answers = await asyncio.gather(
                *(client.post(url + "/v1", content=b"x" * n) for n in range(1, 21))
            )
            return [answer.json()["size"] for answer in answers]

    with using():
        assert asyncio.run(calls()) == list(range(1, 21))
        assert asyncio.run(calls()) == list(range(1, 21))
    assert len(app.bodies) == 20


def test_leaving_early_is_no_whole_answer(
    lib: Any, served: tuple[App, str], app: App, using: Any, store: Any
) -> None:
    """A consumer that leaves can go on using the connection; the server learns of it no later than without us."""
    url = served[1]
    app.left.clear()
    with using(), lib.Client(http1=False, http2=True) as client:
        with client.stream("POST", url + "/endless", json={}) as stream:
            assert next(stream.iter_raw())
        assert '"partial":true' in store.read_text()
        assert client.post(url + "/v1", content=b"xy").json() == {"size": 2}
    # httpcore does not reset a single stream of HTTP/2; it does tell when the connection is closed.
    assert app.left.wait(10)
