"""The same program live, recorded and replayed, with answers that servers seldom give: it sees no difference."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from typing import Any

import pytest

JSON = b'{"n": 1}'


def head(status: bytes, *headers: bytes) -> bytes:
    return b"".join(line + b"\r\n" for line in (b"HTTP/1.1 " + status, *headers, b""))


OF_JSON = (b"Content-Type: application/json", b"Content-Length: %d" % len(JSON))
ANSWERS = {
    "a status without words": head(b"200 ", *OF_JSON) + JSON,  # Tomcat's
    "a status in words of its own": head(b"200 Tr\xe8s bien", *OF_JSON) + JSON,
    "a status in words of UTF-8": head("200 Très bien".encode(), *OF_JSON) + JSON,
    "an old server": head(b"200 OK", *OF_JSON).replace(b"HTTP/1.1", b"HTTP/1.0") + JSON,
}


def in_httpx(name: str) -> Callable[[str], Any]:
    def ask(url: str) -> Any:
        lib = importlib.import_module(name)
        response = lib.get(url)
        return response.status_code, response.reason_phrase, response.http_version, response.content

    return ask


def in_requests(url: str) -> Any:
    requests = pytest.importorskip("requests")
    response = requests.get(url)
    version = response.raw.version, getattr(response.raw, "version_string", "")
    return response.status_code, response.reason, version, response.content


def in_aiohttp(url: str) -> Any:
    aiohttp = pytest.importorskip("aiohttp")

    async def main() -> Any:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status, response.reason, response.version, await response.read()

    return asyncio.run(main())


def in_lm15(url: str) -> Any:
    transports = pytest.importorskip("lm15.transports")
    request = transports.TransportRequest("GET", url, [], b"")
    with transports.StdlibTransport() as transport, transport.stream(request) as response:
        return response.status, response.reason, response.http_version, response.read()


CLIENTS: dict[str, Callable[[str], Any]] = {
    "httpx": in_httpx("httpx"),
    "httpx2": in_httpx("httpx2"),
    "requests": in_requests,
    "aiohttp": in_aiohttp,
    "lm15": in_lm15,
}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("kind", ANSWERS)
def test_live_recorded_replayed(server: Any, using: Any, kind: str, client: str) -> None:
    if client == "httpx2":
        pytest.importorskip("httpx2")
    ask = CLIENTS[client]
    url = server.on("/odd", lambda handler: handler.wfile.write(ANSWERS[kind]))
    live = ask(url)
    with using():
        recorded = ask(url)
    with using("replay"):
        replayed = ask(url)
    assert recorded == live
    assert replayed == live
    assert len(server.calls) == 2
