"""urllib3 itself, 1.26 and 2: what goes out, what comes back, and that the pool stays the program's own."""

from __future__ import annotations

import gzip
import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from environments import clean

import cachy

urllib3 = pytest.importorskip("urllib3")

EVENTS = [b'data: {"n":1}\n\n', b'data: {"n":2}\n\n', b"data: [DONE]\n\n"]
IS_OLD = urllib3.__version__.startswith("1.")


@pytest.fixture
def http() -> Iterator[Any]:
    with urllib3.PoolManager() as manager:
        yield manager


def lines_of(store: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in store.read_text("utf-8").splitlines()] if store.exists() else []


def events(handler: Any) -> None:
    handler.head(content_type="text/event-stream", transfer_encoding="chunked")
    for event in EVENTS:
        handler.chunk(event)
    handler.end()


def until_closed(handler: Any) -> None:
    """The body ends with the connection: neither a length nor chunks."""
    handler.close_connection = True
    handler.head(content_type="text/event-stream", connection="close")
    handler.wfile.write(b"".join(EVENTS))


def of_known_length(handler: Any) -> None:
    handler.whole(b"".join(EVENTS), content_type="text/event-stream")


FRAMINGS = [events, until_closed, of_known_length]

READS: dict[str, Any] = {
    "data": lambda r: r.data,
    "read": lambda r: (r.read(), r.read()),
    "sips": lambda r: [r.read(5) for _ in range(20)],
    "stream": lambda r: b"".join(r.stream(7)),
    "iterate": list,
    "readinto": lambda r: (r.readinto(space := bytearray(11)), bytes(space), r.read()),
    "lines": lambda r: (setattr(r, "auto_close", False), list(io.TextIOWrapper(io.BufferedReader(r)))),
    "http.client": lambda r: (r._fp.read(3), r._fp.readline(), r._fp.read()),
    "drain": lambda r: r.drain_conn(),
}
if not IS_OLD:
    READS["read1"] = lambda r: b"".join(iter(r.read1, b""))


def facts(response: Any) -> dict[str, Any]:
    raw = response._original_response
    return {
        "status": response.status,
        "reason": response.reason,
        "version": response.version,
        "version_string": getattr(response, "version_string", None),
        "type": response.headers["Content-Type"],
        "info": response.info()["content-type"],
        "length": response.headers.get("content-length"),
        "chunked": response.chunked,
        "remaining": response.length_remaining,
        "url": response.geturl(),
        "retries": response.retries,
        "closed": (response.closed, response.isclosed(), raw.isclosed()),
        "released": response.connection is None,
        "raw": (type(raw).__name__, raw.status, raw.getcode(), raw.msg["content-type"], raw.reason),
        "redirect": response.get_redirect_location(),
        "class": type(response),
    }


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("how", READS)
def test_every_way_of_reading(server: Any, using: Any, store: Any, http: Any, how: str, framing: Any) -> None:
    """A replayed answer gives what the live one gave, however it is read, and ends in the same state."""
    url = server.on("/s", framing)

    def take() -> Any:
        response = http.request("POST", url, body=b"{}", preload_content=False)
        try:
            return READS[how](response), facts(response)
        finally:
            response.close()

    without = take()
    with using():
        live = take()
        replayed = take()
    # The length and chunks of an answer that ended with its connection are not known to a recording.
    ignored = ["remaining", *(["length", "chunked"] if framing is until_closed else [])]
    if how == "http.client":
        ignored.append("released")  # that the body has ended there, urllib3 does not notice
    for name in ignored:
        for _, seen in (without, live, replayed):
            del seen[name]
    assert live == without
    assert replayed == live
    assert len(server.calls) == 2
    assert lines_of(store)[0]["response"]["text"] == b"".join(EVENTS).decode()


@pytest.mark.parametrize("framing", FRAMINGS)
def test_preloaded(server: Any, using: Any, store: Any, http: Any, framing: Any) -> None:
    """The usual way, where the whole body is read before the program gets the answer."""
    url = server.on("/s", framing)
    with using():
        seen = [http.request("POST", url, body=b"{}") for _ in range(2)]
    live, replayed = seen
    assert live.data == replayed.data == b"".join(EVENTS)
    assert facts(live)["closed"] == facts(replayed)["closed"]
    assert live.connection is replayed.connection is None
    assert len(server.calls) == 1
    assert lines_of(store)[0]["response"]["text"] == b"".join(EVENTS).decode()


def test_chunks_come_back_as_they_came(server: Any, using: Any, store: Any, http: Any) -> None:
    """What was one chunk live is one when it is replayed, even when the live consumer read byte by byte."""
    url = server.on("/s", events)
    with using():
        live = http.request("POST", url, preload_content=False)
        assert b"".join(live.stream(1)) == b"".join(EVENTS)
        replayed = http.request("POST", url, preload_content=False)
        assert list(replayed.stream(65536)) == EVENTS
    assert [length for _, length in lines_of(store)[0]["response"]["chunks"]] == [len(e) for e in EVENTS]


def test_the_first_chunk_arrives_before_the_second_is_sent(server: Any, using: Any, http: Any) -> None:
    """While recording, each piece reaches the user when it arrives."""
    received = threading.Event()

    def answer(handler: Any) -> None:
        handler.head(content_type="text/event-stream", transfer_encoding="chunked")
        handler.chunk(EVENTS[0])
        assert received.wait(10)  # never, if the client waits for the whole stream
        for event in EVENTS[1:]:
            handler.chunk(event)
        handler.end()

    url = server.on("/s", answer)
    with using():
        pieces = http.request("POST", url, preload_content=False).stream()
        assert next(pieces) == EVENTS[0]
        received.set()
        assert list(pieces) == EVENTS[1:]


def test_an_encoded_answer(server: Any, using: Any, store: Any, http: Any) -> None:
    """A gzip answer is stored decoded and replayed as the same text without its encoding."""
    text = json.dumps({"text": "hello " * 200}).encode()
    url = server.on("/z", lambda h: h.whole(gzip.compress(text), content_encoding="gzip"))
    with using():
        live, replayed = (http.request("GET", url) for _ in range(2))
    assert live.data == replayed.data == text
    assert "content-encoding" not in replayed.headers
    assert lines_of(store)[0]["response"]["text"] == text.decode()
    assert len(server.calls) == 1


def test_an_encoding_that_nobody_knows(server: Any, using: Any, store: Any, http: Any, capfd: Any) -> None:
    """What could not be given back as it was is not recorded, and the program has its answer."""
    url = server.on("/z", lambda h: h.whole(b"???", content_encoding="rot13"))
    with using():
        assert [http.request("GET", url).data for _ in range(2)] == [b"???"] * 2
    assert len(server.calls) == 2
    assert lines_of(store) == []


@pytest.mark.parametrize("bare", [False, True], ids=["manager", "pool"])
def test_redirects(server: Any, using: Any, bare: bool) -> None:
    """urllib3 follows a recorded redirect as it follows a live one, and says so."""
    server.on("/from", lambda h: h.whole(b"", status=302, location="/to"))

    def call() -> Any:
        if bare:
            with urllib3.connection_from_url(server.url) as pool:
                response = pool.request("GET", "/from")
        else:
            with urllib3.PoolManager() as manager:
                response = manager.request("GET", server.url + "/from")
        return response.data, response.geturl(), response.retries.history

    with using():
        live, replayed = call(), call()
    assert live == replayed
    assert live[0] == b'{"call":2}'
    assert len(server.calls) == 2


def test_retries(server: Any, using: Any, store: Any, http: Any) -> None:
    """urllib3's own retries go on: each attempt is a call, only the good answer is recorded."""
    statuses = iter([503, 503])
    url = server.on("/v1", lambda h: h.whole(b"{}", status=next(statuses, 200)))
    again = urllib3.Retry(status=3, status_forcelist=[503], backoff_factor=0)
    with using():
        live, replayed = (http.request("GET", url, retries=again) for _ in range(2))
    assert [len(r.retries.history) for r in (live, replayed)] == [2, 0]
    assert len(server.calls) == 3
    assert [line["response"]["status"] for line in lines_of(store)] == [200]


def test_an_error_is_the_programs_own(server: Any, using: Any, http: Any) -> None:
    """A call that fails raises what it raises without cachy, with the pool it was made on."""
    with using(hosts=["127.0.0.1:*"]), pytest.raises(urllib3.exceptions.MaxRetryError) as caught:
        http.request("GET", "http://127.0.0.1:1/v1", retries=urllib3.Retry(1, backoff_factor=0))
    assert isinstance(caught.value.pool, urllib3.HTTPConnectionPool)
    assert str(caught.value).startswith("HTTPConnectionPool(host='127.0.0.1', port=1): Max retries exceeded")
    assert isinstance(caught.value.reason, urllib3.exceptions.NewConnectionError)


def test_a_cut_answer_is_not_recorded(server: Any, using: Any, store: Any, http: Any) -> None:
    """A connection that breaks in mid-answer raises urllib3's error, and leaves no recording."""

    def chunks(handler: Any) -> None:
        handler.close_connection = True
        handler.head(content_type="text/event-stream", transfer_encoding="chunked")
        handler.chunk(EVENTS[0])

    def sized(handler: Any) -> None:
        handler.close_connection = True
        handler.head(content_type="application/json", content_length="100")
        handler.wfile.write(b"{")

    with using():
        for path, answer in (("/chunks", chunks), ("/sized", sized)):
            for preload in (True, False):
                url = server.on(path, answer)
                with pytest.raises(urllib3.exceptions.HTTPError):
                    _ = http.request("GET", url, preload_content=preload, retries=False).data
    assert lines_of(store) == []
    assert len(server.calls) == 4


def test_no_body(server: Any, using: Any, http: Any) -> None:
    """HEAD and 204 answers have none, live and replayed."""
    server.on("/none", lambda h: h.head(204))
    server.on("/head", lambda h: h.head(200, content_length="11", content_type="text/plain"))
    with using():
        for method, path in (("HEAD", "/head"), ("DELETE", "/none")):
            live, replayed = (http.request(method, server.url + path) for _ in range(2))
            assert live.data == replayed.data == b""
            assert live.headers.get("content-length") == replayed.headers.get("content-length")
            assert replayed.isclosed()
    # What is asked to be forgotten is asked each time.
    assert [call.method for call in server.calls] == ["HEAD", "DELETE", "DELETE"]


def test_proxies(server: Any, using: Any) -> None:
    """A call through a proxy is keyed by where it goes, and replays without the proxy, through a tunnel too."""
    with using(hosts=["api.example.test"]):
        with urllib3.ProxyManager(server.url) as proxy:
            live = proxy.request("POST", "http://api.example.test/v1?a=1", body=b"{}")
        with urllib3.ProxyManager("http://127.0.0.1:1") as gone:
            assert gone.request("POST", "http://api.example.test/v1?a=1", body=b"{}").data == live.data
            assert gone.request("POST", "https://api.example.test/v1?a=1", body=b"{}").data == live.data
    with using("replay", hosts=["api.example.test"]), urllib3.PoolManager() as direct:
        assert direct.request("POST", "https://api.example.test/v1?a=1", body=b"{}").data == live.data
    assert [call.path for call in server.calls] == ["http://api.example.test/v1?a=1"]


def test_the_pool_is_untouched_by_a_hit(server: Any, using: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A hit takes no connection from the pool and puts none in; urllib3 logs it as any call."""
    caplog.set_level(logging.DEBUG, "urllib3")
    with urllib3.HTTPConnectionPool(
        "127.0.0.1", int(server.url.rpartition(":")[2]), maxsize=1, block=True
    ) as pool:
        with using():
            assert pool.request("GET", "/v1").data
        kept = pool.pool.get_nowait()  # the only one: who needs another waits for ever
        with using():
            for preload in (True, False):
                assert pool.request("GET", "/v1", preload_content=preload).data == b'{"call":1}'
        assert pool.pool.empty()
        pool.pool.put(kept)
        assert pool.num_connections == 1
    assert caplog.text.count('"GET /v1 HTTP/1.1" 200') == 3


def test_live_connections_go_back_to_the_pool(server: Any, using: Any) -> None:
    """Recording does not keep a connection from being used again."""
    with urllib3.HTTPConnectionPool("127.0.0.1", int(server.url.rpartition(":")[2]), maxsize=1) as pool:
        url = server.on("/s", events) and "/s"
        with using("record"):
            for preload in (True, False, False):
                response = pool.request("POST", url, preload_content=preload)
                assert response.data == b"".join(EVENTS)
            response.release_conn()
        assert pool.num_connections == 1


def test_a_miss_is_not_retried(server: Any, using: Any, http: Any) -> None:
    """In replay mode what is not recorded raises Miss at once, and nothing is sent."""
    with using("replay"), pytest.raises(cachy.Miss):
        http.request("POST", server.url + "/v1", body=b"{}", retries=5)
    assert server.calls == []


def test_a_partial_answer(server: Any, using: Any, store: Any) -> None:
    """Leaving early stops the server; the beginning replays in replay mode to who reads no further."""

    def endless(handler: Any) -> None:
        handler.head(content_type="text/event-stream", transfer_encoding="chunked")
        for n in range(100_000):
            handler.chunk(b'data: {"choices":[{"delta":{"content":"%d"}}]}\n\n' % n)

    url = server.on("/v1/chat/completions", endless)

    def read(times: int) -> list[bytes]:
        with urllib3.PoolManager() as manager:
            response = manager.request("POST", url, body=b'{"stream":true}', preload_content=False)
            pieces = response.stream()
            try:
                return [next(pieces) for _ in range(times)]
            finally:
                response.close()

    with using():
        live = read(2)
        assert server.hung_up.wait(10)
    assert [line["response"]["partial"] for line in lines_of(store)] == [True]
    with using("replay"):
        assert read(2) == live
        with pytest.raises(cachy.Miss, match="read no further"):
            read(3)


def test_what_is_no_url(server: Any, using: Any) -> None:
    """urllib3 says so itself; in replay mode it is refused, as nothing may be sent then."""
    with urllib3.connection_from_url(server.url) as pool:
        for url in ("http://[::1/v1", "http://127.0.0.1:port/v1"):
            with using(), pytest.raises(urllib3.exceptions.HTTPError):
                pool.urlopen("GET", url)
            with using("replay"), pytest.raises(cachy.Miss, match="nothing was sent"):
                pool.urlopen("GET", url)
    assert server.calls == []


def test_unknown_hosts_are_not_touched(server: Any, using: Any, store: Any, http: Any) -> None:
    """A host that nobody named is called as without cachy, and its answer is urllib3's own."""
    with using(hosts=["api.example.test"]):
        answers = [http.request("GET", server.url + "/v1").data for _ in range(2)]
    assert answers == [b'{"call":1}', b'{"call":2}']
    assert not store.exists()


def test_patched_once_and_undone(using: Any) -> None:
    """Entering twice patches once; `disable` puts the pool's own method back."""
    pool = urllib3.HTTPConnectionPool
    with using():
        once = pool.urlopen
        with using():
            assert pool.urlopen is once
        assert once.__module__ == "cachy.transports.urllib3"
    cachy.disable()
    assert pool.urlopen.__module__ == "urllib3.connectionpool"


UNPATCHABLE = """
import urllib3.connectionpool
del urllib3.connectionpool.HTTPConnectionPool._get_conn
import cachy
assert cachy.enable("replay", summary=False)
try:
    urllib3.PoolManager().request("GET", "http://127.0.0.1:1/")
except cachy.Miss as miss:
    print(miss)
"""


def test_a_urllib3_that_cannot_be_patched() -> None:
    """Where the adapter does not find what it needs, calls are refused in replay mode."""
    done = subprocess.run(
        [sys.executable, "-c", UNPATCHABLE], env=clean(), capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("urllib3 could not be hooked (AttributeError: "), done.stderr
