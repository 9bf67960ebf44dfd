"""One recording for all: the same request through any client is one key and one call."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

Way = Callable[..., bytes]
"""Asks a URL with a JSON body (`plain`) or a raw one, and returns the bytes of the answer."""

QUESTION = {
    "model": "gpt-5.2",
    "messages": [{"role": "user", "content": "Which city? 你好 1.0"}],
    "top_p": 1.0,
}
EVENTS = [b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n', b"data: [DONE]\n\n"]
HEADERS = {"Authorization": "Bearer sk-test-1f8Kd0ZqWm3Vb7Xc9Lp2Rt5Yh4Nj6"}


def sync_httpx(name: str) -> Way:
    def ask(url: str, body: Any, streamed: bool) -> bytes:
        lib: Any = importlib.import_module(name)
        with lib.Client(headers=HEADERS) as client:
            if not streamed:
                return client.post(url, json=body).content  # type: ignore[no-any-return]
            with client.stream("POST", url, json=body) as response:
                return b"".join(response.iter_bytes())

    return ask


def async_httpx(name: str) -> Way:
    def ask(url: str, body: Any, streamed: bool) -> bytes:
        async def main() -> bytes:
            lib: Any = importlib.import_module(name)
            async with lib.AsyncClient(headers=HEADERS) as client:
                if not streamed:
                    return (await client.post(url, json=body)).content  # type: ignore[no-any-return]
                async with client.stream("POST", url, json=body) as response:
                    return b"".join([piece async for piece in response.aiter_bytes()])

        return asyncio.run(main())

    return ask


def over_aiohttp(url: str, body: Any, streamed: bool) -> bytes:
    async def main() -> bytes:
        import aiohttp

        async with (
            aiohttp.ClientSession(headers=HEADERS) as session,
            session.post(url, json=body) as response,
        ):
            if not streamed:
                return await response.read()
            return b"".join([piece async for piece in response.content.iter_any()])

    return asyncio.run(main())


def over_requests(url: str, body: Any, streamed: bool) -> bytes:
    import requests

    with requests.post(url, json=body, headers=HEADERS, stream=streamed) as response:
        return b"".join(response.iter_content(16)) if streamed else response.content


def over_urllib3(url: str, body: Any, streamed: bool) -> bytes:
    import urllib3

    content = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    headers = {**HEADERS, "content-type": "application/json; charset=utf-8"}
    with urllib3.PoolManager() as manager:
        response = manager.request("POST", url, body=content, headers=headers, preload_content=not streamed)
        return b"".join(response.stream(16)) if streamed else bytes(response.data)


def request_of_lm15(url: str, body: Any) -> Any:
    from lm15.transports import TransportRequest

    headers = [*HEADERS.items(), ("Content-Type", "application/json")]
    # It takes a URL as it is to be sent.
    return TransportRequest("POST", quote(url, safe="%/:=&?~+"), headers, json.dumps(body).encode())


def over_lm15(url: str, body: Any, streamed: bool) -> bytes:
    from lm15.transports import StdlibTransport

    with StdlibTransport() as transport, transport.stream(request_of_lm15(url, body)) as response:
        return b"".join(response) if streamed else response.read()


def over_lm15_async(url: str, body: Any, streamed: bool) -> bytes:
    async def main() -> bytes:
        from lm15.transports import StdlibAsyncTransport

        async with (
            StdlibAsyncTransport() as transport,
            transport.stream(request_of_lm15(url, body)) as response,
        ):
            return b"".join([piece async for piece in response]) if streamed else await response.read()

    return asyncio.run(main())


CLIENTS: dict[str, tuple[str, Way]] = {
    "httpx": ("httpx", sync_httpx("httpx")),
    "httpx-async": ("httpx", async_httpx("httpx")),
    "httpx2": ("httpx2", sync_httpx("httpx2")),
    "httpx2-async": ("httpx2", async_httpx("httpx2")),
    "aiohttp": ("aiohttp", over_aiohttp),
    "urllib3": ("urllib3", over_urllib3),
    "requests": ("requests", over_requests),
    "lm15": ("lm15", over_lm15),
    "lm15-async": ("lm15", over_lm15_async),
}
"""Each client: the package that it needs, and how it asks. Add a line, and it is tested against all others."""

WAYS = {name: way for name, (needs, way) in CLIENTS.items() if importlib.util.find_spec(needs)}


@pytest.mark.parametrize("live", WAYS)
def test_json(live: str, server: Any, using: Any, store: Any) -> None:
    """A chat completion that one client recorded is replayed through each, as a stream and whole."""
    whole = '{"choices":[{"index":0,"message":{"content":"é"},"finish_reason":"stop"}]}'.encode()
    url = server.on("/v1/chat/completions", lambda h: h.whole(whole))
    with using():
        answer = WAYS[live](url, QUESTION, False)
        assert answer == whole
    with using("replay"):
        for way in WAYS.values():
            assert way(url, QUESTION, False) == way(url, QUESTION, True) == answer
    assert len(server.calls) == len(store.read_text().splitlines()) == 1


@pytest.mark.parametrize("live", WAYS)
def test_streams(live: str, server: Any, using: Any, store: Any) -> None:
    """An event stream that one client recorded, read as it came, is replayed through each, whole or as it came."""

    def answer(handler: Any) -> None:
        handler.head(content_type="text/event-stream", transfer_encoding="chunked")
        for event in EVENTS:
            handler.chunk(event)
        handler.end()

    url = server.on("/v1/chat/completions", answer)
    body = {**QUESTION, "stream": True}
    with using():
        assert WAYS[live](url, body, True) == b"".join(EVENTS)
    with using("replay"):
        for way in WAYS.values():
            assert way(url, body, True) == way(url, body, False) == b"".join(EVENTS)
    assert len(server.calls) == len(store.read_text().splitlines()) == 1


@pytest.mark.parametrize("live", WAYS)
def test_paths_and_queries(live: str, server: Any, using: Any, store: Any) -> None:
    """However a client writes a URL (escapes, spaces, plus signs, order, the key in it), it is one URL."""
    url = (
        server.url + "/v1/models/gemini%2Fx é:generate~Content?b=2&a=x+y%20z&a=é%2F&key=SECRET-KEY-1234567890"
    )
    with using():
        WAYS[live](url, {}, False)
        for way in WAYS.values():
            way(url, {}, False)
    assert len(server.calls) == 1
    assert "SECRET-KEY" not in store.read_text()


def test_every_client_is_here() -> None:
    """Each client with an adapter is in the matrix; DSPy's copy of lm15 is lm15, and gRPC is no plain HTTP."""
    from cachy.transports import ADAPTERS

    names = {name.rpartition("_vendor.")[2].partition(".")[0] for name in ADAPTERS} - {"grpc"}
    assert names <= {needs for needs, _ in CLIENTS.values()}


def test_another_word_is_another_call(server: Any, using: Any) -> None:
    """No client's answer is given to a request that differs in a word."""
    url = server.url + "/v1/chat/completions"
    with using():
        answers = {
            json.dumps([name, word]): way(url, {"messages": [{"content": word}]}, False)
            for name, way in WAYS.items()
            for word in ("one", "two")
        }
    assert len(server.calls) == 2
    assert len(set(answers.values())) == 2
