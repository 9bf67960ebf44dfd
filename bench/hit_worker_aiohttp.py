"""One measurement of bench/hit.py with aiohttp: `hit_worker.py --client aiohttp`.

aiohttp has nothing like `MockTransport`. The floor is a connector whose connections lead to a server in this process
that is no more than a canned answer: aiohttp writes the request, parses the answer and reads it, with no socket.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from hit_worker import PROMPT, body_of, open_tool, serve


class Canned(asyncio.Transport):
    """Answers each request, when its body has come, with the same bytes."""

    def __init__(self, protocol: Any, answer: bytes) -> None:
        super().__init__()
        self._protocol = protocol
        self._answer = answer
        self._left: int | None = None

    def write(self, data: Any) -> None:
        if self._left is None:
            head, _, rest = bytes(data).partition(b"\r\n\r\n")
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            self._left, data = int(length or 0), rest
        self._left -= len(data)
        if self._left <= 0:
            self._left = None
            asyncio.get_running_loop().call_soon(self._protocol.data_received, self._answer)

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass

    pause_reading = resume_reading = abort = close


class Floor(aiohttp.BaseConnector):
    answer = b""

    async def connect(self, req: Any, *_: Any, **__: Any) -> Any:
        loop = asyncio.get_running_loop()
        protocol = ResponseHandler(loop)
        protocol.connection_made(Canned(protocol, self.answer))
        return Unpooled(self, req.connection_key, protocol, loop)


class Untouched(aiohttp.ClientSession):
    """A session as it was before a tool patched the class."""

    _request = aiohttp.ClientSession._request


class Unpooled(Connection):
    def close(self) -> None:
        self._protocol = None

    release = close

    def __del__(self) -> None:
        pass


def measure(args: argparse.Namespace) -> float:
    content_type, body = body_of(args.body)
    server = serve(args.body)
    host = f"127.0.0.1:{server.server_port}"
    url = f"http://{host}/v1/chat/completions"
    pieces = [body] if args.body == "json" else [part + b"\n\n" for part in body.split(b"\n\n") if part]
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    Floor.answer = head + chunks + b"0\r\n\r\n"
    # Bytes, not `json=`: vcrpy does not recognise a body that aiohttp writes out itself.
    json_type = {"content-type": "application/json"}
    contents: list[dict[str, Any]] = [
        {"data": json.dumps({**PROMPT, "seed": seed}).encode(), "headers": json_type}
        for seed in range(args.prompts)
    ]
    turns = itertools.cycle(contents)

    async def call(session: Any) -> None:
        async with session.post(url, **next(turns)) as response:
            if args.body == "json":
                assert "id" in await response.json()
            else:
                assert sum([len(piece) async for piece, _ in response.content.iter_chunks()]) == len(body)

    async def main() -> list[tuple[float, float]]:
        found = []
        async with aiohttp.ClientSession() as session, Untouched(connector=Floor()) as floor:
            for _ in contents:
                await call(session)
            server.shutdown()
            server.server_close()
            for _ in range(args.rounds):
                times = []
                for which in (floor, session):
                    start = time.perf_counter()
                    for _ in range(args.calls):
                        await call(which)
                    times.append(time.perf_counter() - start)
                found.append((times[0], times[1]))
        return found

    with tempfile.TemporaryDirectory() as name:
        open_tool(args.tool, aiohttp, Path(name), args.recordings, args.body, host)
        pairs = asyncio.run(main())
    assert server.calls == len(contents), f"{server.calls} live calls: these were not hits"
    return statistics.median(tool / floor for floor, tool in pairs)
