"""requests: what a program sees of an answer, recorded and replayed."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import cachy
from cachy import flights

requests = pytest.importorskip("requests")

EVENTS = [b'data: {"n":1}\n\n', b'data: {"n":2}\n\n', b"data: [DONE]\n\n"]
CHUNKS_PASS_US_BY = tuple(map(int, requests.__version__.split(".")[:2])) < (2, 29)
"""These versions send chunked bodies on a connection that they take out of the pool themselves."""


def events(handler: Any) -> None:
    handler.head(content_type="text/event-stream", transfer_encoding="chunked")
    for event in EVENTS:
        handler.chunk(event)
    handler.end()


def test_a_replay_is_like_the_live_answer(server: Any, using: Any) -> None:
    """Whatever a program looks at is there, and says the same."""
    url = server.on("/a", lambda h: h.whole('{"x":"é"}'.encode(), x_request_id="r-1", set_cookie="s=1"))

    def look(response: Any) -> dict[str, Any]:
        return {
            "status": (
                response.status_code,
                response.reason,
                response.ok,
                response.is_redirect,
                bool(response),
            ),
            "headers": [response.headers[n] for n in ("Content-Type", "x-request-id", "content-length")],
            "content": (response.content, response.text, response.json()),
            "encoding": (response.encoding, response.apparent_encoding),
            "url": (response.url, response.request.url, response.request.method),
            "elapsed": response.elapsed.total_seconds() > 0,
            "history": (response.history, response.next, response.links),
            "connection": type(response.connection),
            "raw": (type(response.raw), response.raw.status, response.raw.version, response.raw.closed),
            "pickled": pickle.loads(pickle.dumps(response)).content,
            "repr": repr(response),
        }

    with using():
        live, replayed = (requests.get(url, params={"q": "1"}) for _ in range(2))
    assert look(live) == look(replayed)
    assert live.cookies["s"] == "1"  # cookies are not recorded
    assert not replayed.cookies
    assert len(server.calls) == 1


READS: dict[str, Any] = {
    "content": lambda r: r.content,
    "iter_content": lambda r: list(r.iter_content(None)),
    "bytes": lambda r: list(r.iter_content(1)),
    "text": lambda r: list(r.iter_content(4, decode_unicode=True)),
    "iter_lines": lambda r: list(r.iter_lines()),
    "lines of text": lambda r: list(r.iter_lines(decode_unicode=True, delimiter="\n\n")),
    "raw": lambda r: (r.raw.read(6), r.raw.read(), r.raw.tell()),
    "raw stream": lambda r: list(r.raw.stream(3)),
    "raw lines": list,
}


@pytest.mark.parametrize("how", READS)
def test_streams(server: Any, using: Any, how: str) -> None:
    """A stream gives the same pieces live, recorded and replayed, in each way of taking them."""
    url = server.on("/s", events)

    def take() -> Any:
        with requests.post(url, json={"stream": True}, stream=True) as response:
            response.encoding = "utf-8"
            return READS[how](response)

    without = take()
    with using():
        assert take() == without
        assert take() == without
    assert len(server.calls) == 2


def test_the_first_line_arrives_before_the_second_is_sent(server: Any, using: Any) -> None:
    """While recording, each event reaches the user when it arrives."""
    received = threading.Event()

    def answer(handler: Any) -> None:
        handler.head(content_type="text/event-stream", transfer_encoding="chunked")
        handler.chunk(EVENTS[0])
        assert received.wait(10)
        for event in EVENTS[1:]:
            handler.chunk(event)
        handler.end()

    url = server.on("/s", answer)
    with using(), requests.post(url, json={}, stream=True) as response:
        lines = response.iter_lines()
        assert next(lines) == EVENTS[0].strip()
        received.set()
        assert b"data: [DONE]" in list(lines)


def test_a_compressed_stream(server: Any, using: Any, store: Any) -> None:
    """requests asks for gzip: the program reads the same text, the store is readable."""
    text = json.dumps({"text": "hello " * 200}).encode()
    url = server.on("/z", lambda h: h.whole(gzip.compress(text), content_encoding="gzip"))
    with using():
        for _ in range(2):
            with requests.get(url, stream=True) as response:
                assert b"".join(response.iter_content(100)) == text
    assert len(server.calls) == 1
    assert json.loads(store.read_text("utf-8"))["response"]["text"] == text.decode()


def chunks() -> Iterator[bytes]:
    for n in range(1000):
        yield b"%d," % n


BODIES: dict[str, Any] = {
    "json": lambda: {"json": {"a": 1}},
    "form": lambda: {"data": {"a": "1", "b": "é"}},
    "text": lambda: {"data": "plain text"},
    "bytes": lambda: {"data": b"bytes"},
    "file": lambda: {"data": io.BytesIO(b"file" * 50_000)},
    "generator": lambda: {"data": chunks()},
    "multipart": lambda: {"files": {"file": ("a.txt", io.BytesIO(b"part" * 1000))}, "data": {"purpose": "x"}},
}


@pytest.mark.parametrize("kind", BODIES)
def test_the_server_receives_every_byte_of_any_body(server: Any, using: Any, kind: str) -> None:
    """Each kind of body arrives as it does without cachy, framed in the same way; a second one like it is a hit."""
    if kind == "generator" and CHUNKS_PASS_US_BY:
        pytest.skip("requests 2.28 and older send chunked bodies past the pool")
    requests.post(server.url + "/v1", **BODIES[kind]())
    with using():
        for _ in range(2):
            requests.post(server.url + "/v1", **BODIES[kind]())
    without, recorded = server.calls
    boundary = without.headers.get("content-type", "").partition("boundary=")[2].encode()
    other = recorded.headers.get("content-type", "").partition("boundary=")[2].encode()
    assert recorded.body == (without.body.replace(boundary, other) if boundary else without.body)
    assert recorded.body
    for name in ("content-length", "transfer-encoding"):
        assert recorded.headers.get(name) == without.headers.get(name)


def test_a_session_does_its_own_work(server: Any, using: Any, store: Any) -> None:
    """Redirects, cookies, auth and hooks work around a hit as they do live; no secret is written."""
    server.on("/from", lambda h: h.whole(b"", status=302, location="/to"))
    seen: list[Any] = []

    def call() -> Any:
        with requests.Session() as session:
            session.headers["x-api-key"] = "first-secret-key"
            session.cookies.set("c", "cookie-secret")
            session.auth = ("user", "password-secret")
            session.hooks["response"].append(lambda r, *a, **k: seen.append(r.status_code))
            return session.get(server.url + "/from")

    with using():
        live = call()
        first, seen[:] = list(seen), []
        replayed = call()
    assert seen == first == [302, 200]
    assert [r.status_code for r in replayed.history] == [302]
    assert (replayed.url, replayed.json()) == (live.url, live.json())
    assert len(server.calls) == 2
    assert "secret" not in store.read_text("utf-8")


def test_proxies(server: Any, using: Any) -> None:
    """A call through a proxy is keyed by where it goes; a replay needs no proxy, not even a tunnel."""
    with using(hosts=["api.example.test"]):
        live = requests.post("http://api.example.test/v1", json={}, proxies={"http": server.url})
        gone = {"http": "http://127.0.0.1:1", "https": "http://127.0.0.1:1"}
        for url in ("http://api.example.test/v1", "https://api.example.test/v1"):
            assert requests.post(url, json={}, proxies=gone).json() == live.json()
    assert len(server.calls) == 1


def test_retries(server: Any, using: Any) -> None:
    """An adapter's retries go on; only the good answer is recorded."""
    statuses = iter([503, 503])
    url = server.on("/v1", lambda h: h.whole(b"{}", status=next(statuses, 200)))

    def call() -> Any:
        from urllib3.util import Retry

        with requests.Session() as session:
            retry = Retry(status=3, status_forcelist=[503], backoff_factor=0)
            session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))
            return session.get(url).status_code

    with using():
        assert [call(), call()] == [200, 200]
    assert len(server.calls) == 3


def test_errors_are_requests_own(using: Any) -> None:
    """A server that is not there raises ConnectionError, as without cachy."""
    with using(), pytest.raises(requests.ConnectionError, match="Max retries exceeded"):
        requests.get("http://127.0.0.1:1/v1")


def test_leaving_early(server: Any, using: Any, store: Any) -> None:
    """Leaving the block stops the server; the beginning is a partial recording."""

    def endless(handler: Any) -> None:
        handler.head(content_type="text/event-stream", transfer_encoding="chunked")
        for n in range(100_000):
            handler.chunk(b'data: {"choices":[{"delta":{"content":"%d"}}]}\n\n' % n)

    url = server.on("/v1/chat/completions", endless)

    def first() -> Any:
        with requests.post(url, json={"stream": True}, stream=True) as response:
            return next(response.iter_lines())

    with using():
        live = first()
        assert server.hung_up.wait(10)
    assert json.loads(store.read_text("utf-8"))["response"]["partial"] is True
    with using("replay"):
        assert first() == live
        with pytest.raises(cachy.Miss, match="read no further"):
            requests.post(url, json={"stream": True})


def test_leaving_after_the_end_marker(server: Any, using: Any) -> None:
    """Who stops at the provider's end marker has read the whole answer: the next one is a hit."""
    release = threading.Event()

    def answer(handler: Any) -> None:
        handler.head(content_type="text/event-stream", transfer_encoding="chunked")
        handler.chunk(b'data: {"choices":[{"index":0,"delta":{"content":"4"}}]}\n\ndata: [DONE]\n\n')
        release.wait(20)

    url = server.on("/v1/chat/completions", answer)
    with using():
        for _ in range(2):
            with requests.post(url, json={"stream": True}, stream=True) as response:
                for line in response.iter_lines(chunk_size=1):
                    if line == b"data: [DONE]":
                        break
    release.set()
    assert len(server.calls) == 1


def test_single_flight(server: Any, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that ask the same at once make one call."""
    waiting, gate = threading.Semaphore(0), threading.Event()
    wait = flights.Flight.wait

    def counting(self: Any, seconds: float) -> None:
        waiting.release()
        wait(self, seconds)

    def answer(handler: Any) -> None:
        assert gate.wait(20)
        handler.whole(b'{"n":1}')

    monkeypatch.setattr(flights.Flight, "wait", counting)
    url = server.on("/v1", answer)
    cachy.enable("auto", store=store, hosts=["127.0.0.1:*"], summary=False)
    try:
        with ThreadPoolExecutor(5) as pool:
            asked = [pool.submit(requests.post, url, json={"q": 1}) for _ in range(5)]
            for _ in range(4):
                assert waiting.acquire(timeout=20)
            gate.set()
            assert [one.result().json() for one in asked] == [{"n": 1}] * 5
    finally:
        cachy.disable()
    assert len(server.calls) == 1


def test_token_exchanges_go_out(server: Any, using: Any, store: Any) -> None:
    """What Google's auth library asks for before a call is never recorded, and each time the server's own."""
    url = server.on("/token", lambda h: h.whole(b'{"access_token":"ya29.secret","expires_in":3600}'))
    with using():
        for _ in range(2):
            assert requests.post(url, data={"grant_type": "x", "assertion": "y"}).json()["expires_in"] == 3600
    assert len(server.calls) == 2
    assert not store.exists()
