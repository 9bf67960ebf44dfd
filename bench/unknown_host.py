"""What a call to a host that cachy does not know costs with cachy active, over the same client unpatched.

    python bench/unknown_host.py [--rounds 300] [--calls 20] [client ...]

A server in a process of its own answers over kept-alive connections; the CPU time of this process is taken, patched
and unpatched in turn, with the same client object; the ratio of the quick rounds is printed. Goal: at most 1.02.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import cachy
from cachy import transports

BODY = b'{"answer":"' + b"word " * 600 + b'"}'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY)
QUESTION = {"model": "m", "messages": [{"role": "user", "content": "word " * 180}]}


def serve(told: Any) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length or 0))
                writer.write(HEAD + BODY)
        except (asyncio.IncompleteReadError, ConnectionResetError):
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


Call = Callable[[], Awaitable[Any]]


def httpx_sync(lib: Any, url: str) -> tuple[Call, Call]:
    client = lib.Client()

    async def call() -> None:
        client.post(url, json=QUESTION).json()

    async def close() -> None:
        client.close()

    return call, close


def httpx_async(lib: Any, url: str) -> tuple[Call, Call]:
    client = lib.AsyncClient()

    async def call() -> None:
        (await client.post(url, json=QUESTION)).json()

    return call, client.aclose


def on_aiohttp(lib: Any, url: str) -> tuple[Call, Call]:
    session = lib.ClientSession()

    async def call() -> None:
        async with session.post(url, json=QUESTION) as response:
            await response.json()

    return call, session.close


def on_urllib3(lib: Any, url: str) -> tuple[Call, Call]:
    manager = lib.PoolManager()

    async def call() -> None:
        manager.request("POST", url, json=QUESTION).json()

    async def close() -> None:
        manager.clear()

    return call, close


def on_requests(lib: Any, url: str) -> tuple[Call, Call]:
    import requests

    session = requests.Session()

    async def call() -> None:
        session.post(url, json=QUESTION).json()

    async def close() -> None:
        session.close()

    return call, close


CLIENTS: dict[str, tuple[str, Callable[[Any, str], tuple[Call, Call]]]] = {
    "httpx": ("httpx", httpx_sync),
    "httpx async": ("httpx", httpx_async),
    "httpx2": ("httpx2", httpx_sync),
    "httpx2 async": ("httpx2", httpx_async),
    "aiohttp": ("aiohttp", on_aiohttp),
    "urllib3": ("urllib3", on_urllib3),
    "requests": ("urllib3", on_requests),
}
"""Each client: the module to patch, and what makes one of its clients: how to call and how to close."""


async def measured(name: str, url: str, rounds: int, calls: int) -> tuple[float, float]:
    """The ratio, and the microseconds of an unpatched call."""
    module_name, make = CLIENTS[name]
    module = importlib.import_module(module_name)
    call, close = make(module, url)
    times: dict[bool, list[float]] = {False: [], True: []}
    for number in range(rounds + 1):
        for patched in (False, True) if number % 2 else (True, False):
            transports.unpatch()
            if patched:
                transports.patch(module_name, module)
            for _ in range(5):  # Python's own caches of a class are empty when it was changed
                await call()
            start = time.process_time()
            for _ in range(calls):
                await call()
            if number:  # the first round warms up
                times[patched].append(time.process_time() - start)
    await close()
    return least(times[True]) / least(times[False]), least(times[False]) / calls * 1e6


def least(times: list[float]) -> float:
    """The tenth percentile: what else the machine does makes calls slower, never faster."""
    return statistics.quantiles(times, n=10)[0]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clients", nargs="*", metavar="client", help=", ".join(CLIENTS))
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--calls", type=int, default=20)
    options = parser.parse_args()
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{here.recv()}/v1/chat/completions"
    with tempfile.TemporaryDirectory() as folder:
        cachy.enable("auto", store=Path(folder) / "calls.jsonl", summary=False)
        print("| client | patched / unpatched | µs unpatched |\n|---|---|---|")
        for name in options.clients or CLIENTS:
            if importlib.util.find_spec(CLIENTS[name][0]):
                ratio, each = asyncio.run(measured(name, url, options.rounds, options.calls))
                print(f"| {name} | {ratio:.3f} | {each:.0f} |", flush=True)
        cachy.disable()
    server.terminate()


if __name__ == "__main__":
    main()
