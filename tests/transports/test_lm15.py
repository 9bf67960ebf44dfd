"""lm15 (DSPy's own client), sync and async: what its SDK sees, recorded and replayed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

import cachy

lm15 = pytest.importorskip("lm15")
transports = pytest.importorskip("lm15.transports")

PIECES = ["fo", "ur"]


def event(delta: dict[str, Any], end: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": end}
    chunk = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


EVENTS = [event({"content": piece}) for piece in PIECES] + [event({}, "stop"), b"data: [DONE]\n\n"]


def chat(handler: Any) -> None:
    if json.loads(handler.scripted.calls[-1].body).get("stream"):
        handler.head(content_type="text/event-stream", transfer_encoding="chunked")
        for each in EVENTS:
            handler.chunk(each)
        handler.end()
        return
    message = {"role": "assistant", "content": "four"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    answer = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    handler.whole(json.dumps({**answer, "usage": {"prompt_tokens": 3, "completion_tokens": 1}}).encode())


def question() -> Any:
    return lm15.Request(model="m", messages=(lm15.Message.user("2+2?"),))


def sync(url: str, stream: bool) -> Any:
    lm = lm15.OpenAIChatLM(api_key="sk-test-0123456789", base_url=url + "/v1")
    if stream:
        return [repr(item) for item in lm.stream(question())]
    return repr(lm.complete(question()))


def asynchronous(url: str, stream: bool) -> Any:
    async def main() -> Any:
        lm = lm15.AsyncOpenAIChatLM(api_key="sk-test-0123456789", base_url=url + "/v1")
        if stream:
            return [repr(item) async for item in lm.stream(question())]
        return repr(await lm.complete(question()))

    return asyncio.run(main())


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("ask", [sync, asynchronous])
def test_what_the_sdk_sees(server: Any, using: Any, store: Any, ask: Any, stream: bool) -> None:
    """Answers and events are the same without cachy, live and replayed, by the other kind of client too."""
    server.on("/v1/chat/completions", chat)
    without = ask(server.url, stream)
    with using(hosts={"127.0.0.1:*": "openai"}):
        live, replayed = ask(server.url, stream), ask(server.url, stream)
    with using("replay", hosts={"127.0.0.1:*": "openai"}):
        other = (asynchronous if ask is sync else sync)(server.url, stream)
    assert live == replayed == other == without
    assert len(server.calls) == 2
    assert "sk-test" not in store.read_text("utf-8")


def get(url: str, most: int | None = None) -> Any:
    with (
        transports.StdlibTransport() as transport,
        transport.stream(transports.TransportRequest("POST", url, body=b"{}")) as response,
    ):
        facts = response.status, response.reason, response.http_version, response.header("Content-Type")
        return facts, [piece for piece, _ in zip(response, range(most or 99), strict=False)]


async def aget(url: str, most: int | None = None) -> Any:
    async with (
        transports.StdlibAsyncTransport() as transport,
        transport.stream(transports.TransportRequest("POST", url, body=b"{}")) as response,
    ):
        facts = response.status, response.reason, response.http_version, response.header("Content-Type")
        found = []
        async for piece in response:
            found.append(piece)
            if len(found) == most:
                break
        return facts, found


def aget_now(url: str, most: int | None = None) -> Any:
    return asyncio.run(aget(url, most))


@pytest.mark.parametrize("take", [get, aget_now])
def test_each_chunk_when_it_arrives(server: Any, using: Any, take: Any) -> None:
    """A live stream is handed on as it comes; a replay gives the same pieces."""

    def answer(handler: Any) -> None:
        handler.head(content_type="text/event-stream", transfer_encoding="chunked")
        for each in EVENTS:
            handler.chunk(each)
            handler.scripted.hung_up.wait(0.02)  # one piece in each read of the client
        handler.end()

    url = server.on("/v1/chat/completions", answer)
    with using():
        live = take(url)
        assert take(url) == live
    assert live == ((200, "OK", "HTTP/1.1", "text/event-stream"), EVENTS)
    assert len(server.calls) == 1


@pytest.mark.parametrize("take", [get, aget_now])
def test_leaving_early(server: Any, using: Any, store: Any, take: Any) -> None:
    """Who leaves stops the server; the beginning replays in replay mode to who reads no further."""

    def endless(handler: Any) -> None:
        handler.head(content_type="text/event-stream", transfer_encoding="chunked")
        for n in range(100_000):
            handler.chunk(event({"content": str(n)}))

    url = server.on("/v1/chat/completions", endless)
    with using():
        live = take(url, 2)
        assert server.hung_up.wait(10)
    assert json.loads(store.read_text("utf-8"))["response"]["partial"] is True
    with using("replay"):
        assert take(url, 2)[0] == live[0]
        with pytest.raises(cachy.Miss, match="read no further"):
            take(url)


@pytest.mark.parametrize("take", [get, aget_now])
def test_errors_are_its_own(server: Any, using: Any, store: Any, take: Any) -> None:
    """A server that is not there, a broken answer and an error status: as without cachy, nothing recorded."""

    def cut(handler: Any) -> None:
        handler.close_connection = True
        handler.head(content_type="text/event-stream", transfer_encoding="chunked")
        handler.chunk(EVENTS[0])

    with using():
        with pytest.raises(transports.ConnectError):
            take("http://127.0.0.1:1/v1")
        with pytest.raises(transports.TransportError):
            take(server.on("/cut", cut))
        assert take(server.on("/busy", lambda h: h.whole(b"{}", status=503)))[0][0] == 503
    assert not store.exists() or store.read_text("utf-8") == ""


@pytest.mark.parametrize("take", [get, aget_now])
def test_a_miss_and_a_host_that_nobody_named(server: Any, using: Any, take: Any) -> None:
    """In replay mode nothing is sent; a host that is not listed is called each time."""
    with using("replay"), pytest.raises(cachy.Miss):
        take(server.url + "/v1")
    assert server.calls == []
    with using(hosts=["api.example.test"]):
        take(server.url + "/v1")
        take(server.url + "/v1")
    assert len(server.calls) == 2


def test_one_recording_with_httpx(server: Any, using: Any) -> None:
    """The same request through httpx is the same recording."""
    import httpx

    with using():
        live = get(server.url + "/v1")[1]
        assert httpx.post(server.url + "/v1", content=b"{}").content == b"".join(live)
    assert len(server.calls) == 1
