"""Makes a call twice through one HTTP client and says what came of it. Run by `cachy doctor` in a Python of its own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

_PATH = "/v1/chat/completions"
_BODY: dict[str, Any] = {"model": "doctor", "messages": [{"role": "user", "content": "How are you?"}]}
_HEADERS = {"content-type": "application/json"}

Ways = dict[str, Callable[[str], str]]
"""From the name of a way to call to a function that calls a URL and returns the body."""


def _httpx(name: str) -> Ways:
    import asyncio

    client: Any = import_module(name)

    async def later(url: str) -> str:
        async with client.AsyncClient(timeout=30) as session:
            return str((await session.post(url, json={**_BODY, "seed": 2})).text)

    return {
        "sync": lambda url: str(client.post(url, json=_BODY, timeout=30).text),
        "async": lambda url: asyncio.run(later(url)),
    }


def _aiohttp() -> Ways:
    import asyncio

    import aiohttp

    async def later(url: str) -> str:
        async with aiohttp.ClientSession() as session, session.post(url, json=_BODY) as answer:
            return await answer.text()

    return {"async": lambda url: asyncio.run(later(url))}


def _urllib3() -> Ways:
    import urllib3

    def call(url: str) -> str:
        with urllib3.PoolManager() as pool:
            answer = pool.request("POST", url, body=json.dumps(_BODY), headers=_HEADERS, timeout=30)
            return answer.data.decode()

    return {"sync": call}


def _requests() -> Ways:
    import requests

    return {"sync": lambda url: str(requests.post(url, json=_BODY, timeout=30).text)}


def _botocore() -> Ways:
    botocore: Any = import_module("botocore.httpsession")
    requests: Any = import_module("botocore.awsrequest")

    def call(url: str) -> str:
        request = requests.AWSRequest("POST", url, data=json.dumps(_BODY).encode(), headers=_HEADERS)
        return str(botocore.URLLib3Session(timeout=30).send(request.prepare()).text)

    return {"sync": call}


def _lm15() -> Ways:
    import lm15

    def call(url: str) -> str:
        model = lm15.OpenAIChatLM(api_key="none", base_url=url.removesuffix("/chat/completions"))
        question = lm15.Request(model="doctor", messages=(lm15.Message.user("How are you?"),))
        return repr(model.complete(question))

    return {"sync": call}


def _grpc() -> Ways:
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    grpc: Any = import_module("grpc")
    name = "/doctor.Doctor/"

    def answer(message: bytes, _: Any) -> bytes:
        _arrived.append(message)
        return os.urandom(4)

    handlers = {way: grpc.unary_unary_rpc_method_handler(answer) for way in ("sync", "async")}
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("doctor.Doctor", handlers),))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    _serving.append(server)

    def call(_: str) -> str:
        with grpc.insecure_channel(address) as channel:
            return str(channel.unary_unary(f"{name}sync")(b"How are you?", timeout=30).hex())

    async def later() -> str:
        async with grpc.aio.insecure_channel(address) as channel:
            return str((await channel.unary_unary(f"{name}async")(b"How are you?", timeout=30)).hex())

    return {"sync": call, "async": lambda _: asyncio.run(later())}


_serving: list[Any] = []
"""Servers of the probe's own, which would stop if nobody held them."""
_arrived: list[bytes] = []
"""The calls that came to them."""

PROBES: dict[str, Callable[[], Ways]] = {
    "httpx": lambda: _httpx("httpx"),
    "httpx2": lambda: _httpx("httpx2"),
    "aiohttp": _aiohttp,
    "urllib3": _urllib3,
    "requests": _requests,
    "botocore": _botocore,
    "lm15": _lm15,
    "grpc": _grpc,
}
"""The ways of each client, by the name of its module."""


def main(name: str, url: str) -> None:
    """Print one line of JSON: `patched`, for each way the `answers` of two equal calls, and how many of them have
    `arrived` where it was not `url` that was called; or the `problem`."""
    try:
        ways = PROBES[name]()
        from cachy import transports

        answers = {way: [call(url + _PATH) for _ in range(2)] for way, call in ways.items()}
        facts = {"patched": bool(transports._patched), "answers": answers, "arrived": len(_arrived)}
        print(json.dumps(facts))
    except Exception as problem:  # noqa: BLE001 - whatever a broken client raises is what is to be told
        print(json.dumps({"problem": f"{type(problem).__name__}: {problem}"[:200]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
