"""Recording and replaying through httpx and httpx2: what goes out and what comes back."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import threading
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import cachy

EVENTS = [b'data: {"n":1}\n\n', b'data: {"n":2}\n\n', b"data: [DONE]\n\n"]


def lines_of(store: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in store.read_text().splitlines()] if store.exists() else []


def stream_events(handler: Any) -> None:
    handler.head(content_type="text/event-stream", transfer_encoding="chunked")
    for event in EVENTS:
        handler.chunk(event)
    handler.end()


def test_second_call_is_replayed(lib: Any, server: Any, using: Any, store: Any) -> None:
    """One call reaches the server, both answers are the same, one line is in the store."""
    with using():
        answers = [lib.post(server.url + "/v1", json={"a": 1}).json() for _ in range(2)]
    assert answers == [{"call": 1}, {"call": 1}]
    assert len(server.calls) == len(lines_of(store)) == 1


def test_a_replay_is_like_the_live_answer(lib: Any, server: Any, using: Any) -> None:
    """Status, headers worth having, bytes, version, reason, counters and flags are those of the live answer."""
    url = server.on("/a", lambda h: h.whole(b'{"x":"\xc3\xa9"}', x_request_id="r-1", set_cookie="s=1"))

    def look(response: Any) -> Any:
        return {
            "status": response.status_code,
            "type": response.headers["content-type"],
            "id": response.headers["x-request-id"],
            "length": response.headers["content-length"],
            "content": response.content,
            "text": response.text,
            "json": response.json(),
            "version": response.http_version,
            "reason": response.reason_phrase,
            "closed": response.is_closed,
            "consumed": response.is_stream_consumed,
            "downloaded": response.num_bytes_downloaded,
            "elapsed": response.elapsed.total_seconds() >= 0,
            "url": str(response.url),
            "method": response.request.method,
            "encoding": response.encoding,
            "history": response.history,
        }

    with using():
        live, replayed = lib.get(url), lib.get(url)
    assert look(live) == look(replayed)
    assert "set-cookie" in live.headers
    assert "set-cookie" not in replayed.headers
    assert len(server.calls) == 1


def test_streams_are_replayed_chunk_for_chunk(lib: Any, server: Any, using: Any, store: Any) -> None:
    """`iter_raw`, `iter_bytes`, `iter_text` and `iter_lines` give the pieces that the live stream gave."""
    url = server.on("/s", stream_events)

    def take(how: str) -> list[Any]:
        with lib.Client() as client, client.stream("POST", url, json={"stream": True}) as response:
            return list(getattr(response, how)())

    with using():
        live = take("iter_raw")
        assert live == EVENTS
        assert take("iter_raw") == live
        assert take("iter_bytes") == live
        assert "".join(take("iter_text")).encode() == b"".join(EVENTS)
        assert [line for line in take("iter_lines") if line] == [event.decode().strip() for event in EVENTS]
    assert len(server.calls) == 1
    assert [length for _, length in lines_of(store)[0]["response"]["chunks"]] == [
        len(event) for event in EVENTS
    ]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_async_clients_on_both_event_loops(lib: Any, server: Any, using: Any, backend: str) -> None:
    """AsyncClient records and replays, plain and streaming, on asyncio and trio."""
    url = server.on("/s", stream_events)

    async def main() -> Any:
        async with lib.AsyncClient() as client:
            plain = (await client.post(server.url + "/v1", json={})).json()
            async with client.stream("POST", url, json={}) as response:
                return plain, [piece async for piece in response.aiter_raw()]

    def run() -> Any:
        if backend == "asyncio":
            return asyncio.run(main())
        import trio

        return trio.run(main)

    with using():
        live, replayed = run(), run()
    assert live == replayed == ({"call": 1}, EVENTS)
    assert len(server.calls) == 2


def test_an_async_hit_lets_other_tasks_run(lib: Any, server: Any, using: Any) -> None:
    """A loop of hits does not starve the other tasks of the event loop."""

    async def main() -> int:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        async with lib.AsyncClient() as client:
            await client.get(server.url + "/v1")
            task = asyncio.ensure_future(tick())
            for _ in range(10):
                await client.get(server.url + "/v1")
            task.cancel()
        return ticks

    with using():
        assert asyncio.run(main()) >= 10
    assert len(server.calls) == 1


def bodies(kind: str) -> Any:
    if kind == "generator":
        return {"content": (piece for piece in [b"one ", b"two ", b"three"])}
    if kind == "file":
        return {"content": io.BytesIO(b"file " * 1000)}
    if kind == "multipart":
        return {
            "files": {"file": ("a.txt", io.BytesIO(b"part " * 1000), "text/plain")},
            "data": {"purpose": "x"},
        }
    if kind == "unseekable":

        class Pipe(io.BytesIO):
            def seekable(self) -> bool:
                return False

            def seek(self, *_: Any) -> int:
                raise io.UnsupportedOperation("seek")

            def tell(self) -> int:
                raise io.UnsupportedOperation("tell")

            def fileno(self) -> int:
                raise io.UnsupportedOperation("fileno")

        return {"files": {"file": ("a.txt", Pipe(b"piped " * 1000), "text/plain")}}
    if kind == "form":
        return {"data": {"b": "2", "a": "1"}}
    return {"content": b"bytes"}


@pytest.mark.parametrize("kind", ["generator", "file", "multipart", "unseekable", "form", "bytes"])
def test_the_server_receives_every_byte_of_any_body(lib: Any, server: Any, using: Any, kind: str) -> None:
    """Each kind of body arrives as it does without cachy, and a second one like it is a hit."""
    plain = lib.post(server.url + "/plain", **bodies(kind))
    assert plain.status_code == 200
    with using():
        for _ in range(2):
            assert lib.post(server.url + "/v1", **bodies(kind)).status_code == 200
    without, recorded = server.calls
    boundary = without.headers.get("content-type", "").partition("boundary=")[2].encode()
    other = recorded.headers.get("content-type", "").partition("boundary=")[2].encode()
    assert recorded.body == (without.body.replace(boundary, other) if boundary else without.body)
    assert recorded.body
    for name in ("content-length", "transfer-encoding"):
        assert recorded.headers.get(name) == without.headers.get(name)


def test_async_generator_and_multipart_bodies(lib: Any, server: Any, using: Any) -> None:
    """An async body is sent whole and hits the second time."""

    async def body() -> AsyncIterator[bytes]:
        for piece in (b"a", b"b" * 1000, b"c"):
            yield piece

    async def main() -> None:
        async with lib.AsyncClient() as client:
            for _ in range(2):
                await client.post(server.url + "/v1", content=body())
                await client.post(server.url + "/v2", files={"f": ("x", b"content" * 100)})

    with using():
        asyncio.run(main())
    assert [call.path for call in server.calls] == ["/v1", "/v2"]
    assert server.calls[0].body == b"a" + b"b" * 1000 + b"c"
    assert b"content" * 100 in server.calls[1].body


def test_a_large_upload_goes_through_a_file(
    lib: Any, server: Any, using: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body above the spill size is sent whole and recognised the second time."""
    monkeypatch.setattr("cachy.exchange.SPILL_BYTES", 10_000)

    def body() -> Iterator[bytes]:
        for n in range(40):
            yield bytes([n]) * 1000

    with using():
        for _ in range(2):
            lib.post(server.url + "/v1", content=body())
    assert [call.body for call in server.calls] == [b"".join(body())]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_encoded_answers_are_stored_decoded(
    lib: Any, server: Any, using: Any, store: Any, encoding: str
) -> None:
    """A compressed answer is readable in the store and replays as the same text, without its encoding."""
    text = json.dumps({"text": "hello " * 200}).encode()
    with lib.Client() as client:
        if encoding not in client.headers["accept-encoding"]:
            pytest.skip(f"this {lib.__name__} cannot decode {encoding}")
    if encoding == "br":
        packed = pytest.importorskip("brotli").compress(text)
    elif encoding == "zstd":
        packed = pytest.importorskip("zstandard").compress(text)
    else:
        packed = gzip.compress(text) if encoding == "gzip" else zlib.compress(text)
    url = server.on("/z", lambda h: h.whole(packed, content_encoding=encoding))
    with using():
        live, replayed = lib.get(url), lib.get(url)
    assert live.json() == replayed.json() == json.loads(text)
    assert live.headers["content-encoding"] == encoding
    assert "content-encoding" not in replayed.headers
    assert lines_of(store)[0]["response"]["text"] == text.decode()
    assert len(server.calls) == 1


def test_an_encoded_stream_keeps_its_chunks(lib: Any, server: Any, using: Any) -> None:
    """A gzip event stream gives the same decoded pieces live and replayed."""

    def answer(handler: Any) -> None:
        handler.head(content_type="text/event-stream", content_encoding="gzip", transfer_encoding="chunked")
        packer = zlib.compressobj(wbits=31)
        for event in EVENTS:
            handler.chunk(packer.compress(event) + packer.flush(zlib.Z_SYNC_FLUSH))
        handler.chunk(packer.flush())
        handler.end()

    url = server.on("/z", answer)

    def take() -> list[bytes]:
        with lib.stream("GET", url) as response:
            return list(response.iter_bytes())

    with using():
        live = take()
        assert live == EVENTS
        assert take() == live
    assert len(server.calls) == 1


def test_around_a_hit_the_client_does_its_own_work(lib: Any, server: Any, using: Any) -> None:
    """Redirects, auth flows, event hooks and cookies of the request work on a hit as they do live."""
    server.on("/from", lambda h: h.whole(b"", status=302, location="/to"))
    seen: list[str] = []
    hooks = {
        "request": [lambda r: seen.append("> " + r.url.path)],
        "response": [lambda r: seen.append("< " + r.url.path)],
    }

    class Signed(lib.Auth):  # type: ignore[misc, name-defined]
        def auth_flow(self, request: Any) -> Any:
            request.headers["authorization"] = "Bearer first-secret-token"
            response = yield request
            seen.append(f"auth {response.status_code}")

    def call() -> Any:
        with lib.Client(
            event_hooks=hooks, follow_redirects=True, auth=Signed(), cookies={"c": "1"}
        ) as client:
            return client.get(server.url + "/from")

    with using():
        live = call()
        first, seen[:] = list(seen), []
        replayed = call()
    assert seen == first
    assert "> /from" in seen
    assert "< /to" in seen
    assert "auth 200" in seen
    assert [r.status_code for r in replayed.history] == [r.status_code for r in live.history] == [302]
    assert replayed.json() == live.json()
    assert len(server.calls) == 2


@pytest.mark.parametrize("by_way_of", ["/sign-in?to=/page", '/sign-in?to="the page"', "/page"])
def test_a_page_that_redirects_until_it_gets_a_cookie(
    lib: Any, server: Any, using: Any, by_way_of: str
) -> None:
    """The redirect is not replayed to who comes back from where it has led; later runs have the page at once."""

    def page(handler: Any) -> None:
        if "cookie" in handler.headers:
            handler.whole(b'"the page"')
        elif by_way_of == "/page":
            handler.head(302, location=by_way_of, set_cookie="ok=1; Path=/", content_length="0")
        else:
            handler.head(302, location=by_way_of, content_length="0")

    url = server.on("/page", page)
    server.on(
        "/sign-in", lambda h: h.head(302, location="/page", set_cookie="ok=1; Path=/", content_length="0")
    )

    def ask() -> Any:
        with lib.Client(follow_redirects=True) as client:
            return client.get(url).json()

    with using():
        assert ask() == "the page"
        called = len(server.calls)
        assert ask() == "the page"
    for mode in ("auto", "replay"):
        with using(mode):
            assert ask() == "the page"
    assert len(server.calls) == called


def test_a_redirect_to_a_signed_address(lib: Any, server: Any, using: Any, store: Any) -> None:
    """What a host that is not recorded lies behind has a new signature in every run that may call."""

    def page(handler: Any) -> None:
        signature = f"X-Amz-Signature={len(server.calls):032d}"
        where = server.url.replace("127.0.0.1", "localhost")
        handler.head(302, location=f"{where}/blob?{signature}", content_length="0")

    def blob(handler: Any) -> None:
        signed = handler.path == f"/blob?X-Amz-Signature={len(server.calls) - 1:032d}"
        handler.whole(b'"the file"' if signed else b'"denied"', 200 if signed else 403)

    url = server.on("/page", page)
    server.on("/blob", blob)
    for _ in range(3):
        with using(), lib.Client(follow_redirects=True) as client:
            assert client.get(url).json() == "the file"
    assert f"{1:032d}" not in store.read_text()
    with using("replay"), lib.Client() as client:
        assert client.get(url).status_code == 302


def test_cookies_of_a_live_answer_reach_the_jar(lib: Any, server: Any, using: Any, store: Any) -> None:
    """Recording does not take a cookie from the client, and does not write it down."""
    url = server.on("/c", lambda h: h.whole(b"{}", set_cookie="session=abc123"))
    with using(), lib.Client() as client:
        client.get(url)
        assert client.cookies["session"] == "abc123"
    assert "abc123" not in store.read_text()


def test_the_first_chunk_arrives_before_the_second_is_sent(lib: Any, server: Any, using: Any) -> None:
    """While recording, each piece reaches the user when it arrives, not when the stream has ended."""
    received = threading.Event()

    def answer(handler: Any) -> None:
        handler.head(content_type="text/event-stream", transfer_encoding="chunked")
        handler.chunk(EVENTS[0])
        assert received.wait(10)  # never, if the client waits for the whole stream
        for event in EVENTS[1:]:
            handler.chunk(event)
        handler.end()

    url = server.on("/s", answer)
    with using(), lib.stream("GET", url) as response:
        pieces = response.iter_raw()
        assert next(pieces) == EVENTS[0]
        received.set()
        assert list(pieces) == EVENTS[1:]


def endless(handler: Any) -> None:
    handler.head(content_type="text/event-stream", transfer_encoding="chunked")
    for n in range(100_000):
        handler.chunk(b'data: {"choices":[{"delta":{"content":"%d"}}]}\n\n' % n)


def test_leaving_early_stops_the_provider_and_is_no_whole_answer(
    lib: Any, server: Any, using: Any, store: Any
) -> None:
    """A consumer that stops closes the connection at once; what it left half-read is never a whole answer."""
    url = server.on("/v1/chat/completions", endless)
    with using():
        with lib.stream("POST", url, json={"stream": True}) as response:
            next(response.iter_lines())
        assert server.hung_up.wait(10)
    assert [line["response"]["partial"] for line in lines_of(store)] == [True]


def test_leaving_early_in_async_code(lib: Any, server: Any, using: Any, store: Any) -> None:
    """The same for an async consumer that breaks out of its loop, and for a cancelled task."""
    url = server.on("/v1/chat/completions", endless)

    async def leave() -> None:
        async with lib.AsyncClient() as client, client.stream("POST", url, json={"stream": True}) as response:
            async for _ in response.aiter_lines():
                break

    async def cancelled() -> None:
        async def read() -> None:
            async with (
                lib.AsyncClient() as client,
                client.stream("POST", url, json={"stream": True}) as response,
            ):
                async for _ in response.aiter_bytes():
                    started.set()
                    await asyncio.sleep(0)

        started = asyncio.Event()
        task = asyncio.ensure_future(read())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with using():
        for consumer in (leave, cancelled):
            server.hung_up.clear()
            asyncio.run(consumer())
            assert server.hung_up.wait(10)
    assert all(line["response"]["partial"] for line in lines_of(store))


def test_leaving_after_the_end_marker_is_a_whole_answer(
    lib: Any, server: Any, using: Any, store: Any
) -> None:
    """SDKs stop at `[DONE]` and close; the provider had said all, so it is recorded."""
    release = threading.Event()

    def answer(handler: Any) -> None:
        handler.head(content_type="text/event-stream", transfer_encoding="chunked")
        for event in EVENTS:
            handler.chunk(event)
        release.wait(10)
        handler.end()

    url = server.on("/v1/chat/completions", answer)
    with using(hosts={"127.0.0.1:*": "openai"}):
        with lib.stream("POST", url, json={"stream": True}) as response:
            for line in response.iter_lines():
                if "[DONE]" in line:
                    break
        release.set()
        assert len(lines_of(store)) == 1
        with lib.stream("POST", url, json={"stream": True}) as response:
            assert b"".join(response.iter_raw()) == b"".join(EVENTS)
    assert len(server.calls) == 1


def test_a_connection_cut_in_mid_stream(lib: Any, server: Any, using: Any, store: Any) -> None:
    """The user sees the client's own error, and the fragment is not recorded."""

    def answer(handler: Any) -> None:
        handler.head(content_type="text/event-stream", transfer_encoding="chunked")
        handler.chunk(EVENTS[0])
        handler.wfile.write(b"ff\r\nhalf")
        handler.wfile.flush()
        handler.connection.shutdown(2)
        handler.close_connection = True

    url = server.on("/s", answer)
    with using(), pytest.raises(lib.RemoteProtocolError), lib.stream("GET", url) as response:
        list(response.iter_raw())
    assert lines_of(store) == []


@pytest.mark.parametrize("status", [400, 401, 404, 409, 429, 500, 503])
def test_errors_are_not_frozen(lib: Any, server: Any, using: Any, store: Any, status: int) -> None:
    """An error reaches the user and is asked for again the next time."""
    url = server.on("/e", lambda h: h.whole(b'{"error":"x"}', status=status))
    with using():
        assert [lib.get(url).status_code for _ in range(2)] == [status, status]
    assert len(server.calls) == 2
    assert lines_of(store) == []


def test_record_status_records_a_chosen_error(lib: Any, server: Any, using: Any) -> None:
    """A project may record an error on purpose, for tests of its failure path."""
    url = server.on("/e", lambda h: h.whole(b'{"error":"x"}', status=400))
    with using(record_status=[400]):
        assert [lib.get(url).status_code for _ in range(2)] == [400, 400]
    assert len(server.calls) == 1


@pytest.mark.parametrize("body", [b'{"cut":', b"<html>garbage"])
def test_a_broken_json_answer_is_not_recorded(
    lib: Any, server: Any, using: Any, store: Any, body: bytes
) -> None:
    """An answer of a model that promises JSON and is not is handed on and asked for again."""
    url = server.on("/v1/chat/completions", lambda h: h.whole(body))
    with using():
        assert [lib.post(url, json={"model": "m"}).content for _ in range(2)] == [body, body]
    assert len(server.calls) == 2
    assert lines_of(store) == []


def test_replay_mode_never_calls(lib: Any, server: Any, using: Any) -> None:
    """A miss raises at once, says what was asked, and nothing reaches the server."""
    with using("replay"), pytest.raises(cachy.Miss) as caught:
        lib.post(server.url + "/v1/chat/completions?key=SECRET-KEY", json={"model": "m", "messages": []})
    assert server.calls == []
    assert caught.value.method == "POST"
    assert "/v1/chat/completions" in str(caught.value)
    assert "SECRET-KEY" not in str(caught.value)
    assert "test_httpx_calls.py" in str(caught.value)


def test_a_miss_names_the_field_that_differs(lib: Any, server: Any, using: Any) -> None:
    """Beside a recording that is nearly the same, the first line of the miss names the difference."""
    url = server.url + "/v1/chat/completions"
    with using():
        lib.post(
            url, json={"model": "m", "messages": [{"content": "about 2026-11-22 say something"}], "n": 1}
        )
        lib.post(url, json={"model": "other", "messages": [{"content": "nothing alike"}]})
    with using("replay"), pytest.raises(cachy.Miss) as caught:
        lib.post(
            url, json={"model": "m", "messages": [{"content": "about 2026-11-23 say something"}], "n": 1}
        )
    first = str(caught.value).splitlines()[0]
    assert first.startswith("messages[0].content not as in recording")
    assert any("2026-11-23" in line for line in caught.value.differences)
    assert len(caught.value.differences) == 1


def test_a_miss_finds_the_same_question_elsewhere(lib: Any, server: Any, using: Any) -> None:
    """The same body asked at another path (a model, a version of the API) is told of, a different one is not."""
    with using(), lib.Client() as client:
        client.post(server.url + "/v1beta/models/gemini:generateContent", json={"contents": "Hello"})
    with using("replay"), lib.Client() as client:
        for body, first in (("Hello", "path not as in recording "), ("Bye", "nothing like it is recorded ")):
            with pytest.raises(cachy.Miss) as caught:
                client.post(server.url + "/v1/models/gemini:generateContent", json={"contents": body})
            assert str(caught.value).startswith(first)


def test_on_miss_respond_answers_424(lib: Any, server: Any, using: Any) -> None:
    """With `on-miss = "respond"` the program sees an API error that SDKs do not retry."""
    with using("replay", on_miss="respond"):
        response = lib.post(server.url + "/v1", json={})
    assert response.status_code == 424
    assert response.headers["x-should-retry"] == "false"
    assert "nothing like it is recorded" in response.json()["error"]["message"]
    assert server.calls == []


def test_telemetry_is_neither_recorded_nor_sent_in_replay_mode(
    lib: Any, server: Any, using: Any, store: Any
) -> None:
    """A trace exporter goes by in auto mode; in replay mode it is answered, not sent and not killed by a Miss."""
    url = server.url + "/v1/traces/ingest"
    with using():
        assert lib.post(url, json={}).status_code == 200
    with using("replay"):
        assert lib.post(url, json={}).status_code == 424
    assert len(server.calls) == 1
    assert lines_of(store) == []


def test_record_mode_replaces(lib: Any, server: Any, using: Any) -> None:
    """`record` always calls; afterwards the new answer is replayed."""
    url = server.url + "/v1"
    with using():
        assert lib.get(url).json() == {"call": 1}
    with using("record"):
        assert lib.get(url).json() == {"call": 2}
    with using("replay"):
        assert lib.get(url).json() == {"call": 2}


def test_delete_is_forwarded_in_auto_and_replayed_in_replay(lib: Any, server: Any, using: Any) -> None:
    """A live run really deletes each time; an offline run gets the recorded answer."""
    url = server.url + "/v1/files/f1"
    with using():
        assert [lib.delete(url).json()["call"] for _ in range(2)] == [1, 2]
    with using("replay"):
        assert lib.delete(url).json()["call"] == 2
    assert len(server.calls) == 2


def test_unknown_hosts_are_not_touched(lib: Any, server: Any, using: Any, store: Any) -> None:
    """A call to a host that nobody named goes by, its generator body unread by us."""
    with using(hosts=[]):
        assert [lib.post(server.url, content=iter([b"x"])).json() for _ in range(2)] == [
            {"call": 1},
            {"call": 2},
        ]
    assert lines_of(store) == []


def test_pace_recorded_keeps_the_order_and_bytes(lib: Any, server: Any, using: Any) -> None:
    """With `pace = "recorded"` a stream replays the same pieces (with the waits in between)."""
    url = server.on("/s", stream_events)
    with using(pace="recorded"):
        for _ in range(2):
            with lib.stream("GET", url) as response:
                assert list(response.iter_raw()) == EVENTS
    assert len(server.calls) == 1
