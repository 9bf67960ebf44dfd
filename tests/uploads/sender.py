"""Sends one large file in a process of its own and tells its peak memory: `sender.py MODE STORE URL CLIENT SHAPE MB`.

MODE is a mode of cachy, or `none`: without it. CLIENT is `httpx-sync`, `httpx2-async` and the like. SHAPE is
`generator` (a request body that is generated), `file` (the file of a multipart form), `pieces` (Google's protocol,
8 MiB each) or `whole` (the same in one request). `--change BYTE` makes it another file from that byte on.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import json
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from typing import IO, Any

MIB = 1 << 20
PIECE = 8 * MIB


def peak() -> int:
    """The largest amount of memory, in bytes, that this program has had."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except OSError:
        import resource

        # Not on Linux: there it counts what the parent had when it started this process.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Generated:
    """A file of `size` bytes that are made up when they are asked for."""

    def __init__(self, size: int, change: int | None) -> None:
        self.size = size
        self.change = size if change is None else change

    def block(self, start: int, end: int) -> bytes:
        at = min(max(self.change, start), end)
        return b"a" * (at - start) + b"b" * (end - at)

    def blocks(self) -> Iterator[bytes]:
        for start in range(0, self.size, MIB):
            yield self.block(start, min(start + MIB, self.size))

    async def blocks_async(self) -> AsyncIterator[bytes]:
        for block in self.blocks():
            yield block

    def on_disk(self) -> IO[bytes]:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        file.writelines(self.blocks())
        file.seek(0)
        return file


def requests(file: Generated, shape: str, is_async: bool, url: str) -> Iterator[dict[str, Any]]:
    """The requests of an upload; is sent the answer to each."""
    blocks = file.blocks_async if is_async else file.blocks
    if shape == "generator":
        yield {"url": url + "/v1/files", "content": blocks()}
        return
    if shape == "file":
        yield {"url": url + "/v1/files", "files": {"file": ("f", file.on_disk())}}
        return
    headers = {"x-goog-upload-command": "start", "x-goog-upload-header-content-length": str(file.size),
               "x-goog-upload-header-content-type": "video/mp4"}  # fmt: skip
    answer = yield {"url": url + "/upload/v1beta/files", "headers": headers, "json": {}}
    session = answer.headers["x-goog-upload-url"]
    size = PIECE if shape == "pieces" else file.size
    for start in range(0, file.size, size):
        end = min(start + size, file.size)
        command = "upload, finalize" if end == file.size else "upload"
        headers = {"x-goog-upload-command": command, "x-goog-upload-offset": str(start)}
        content = file.block(start, end) if shape == "pieces" else blocks()
        yield {"url": session, "headers": headers, "content": content}
        gc.collect()  # httpx leaves each request, its 8 MiB included, to the garbage collector: with or without us


def send(client: Any, plan: Any) -> Any:
    answer = None
    try:
        while True:
            answer = client.post(**plan.send(answer))
            answer.raise_for_status()
    except StopIteration:
        return answer


async def send_async(client: Any, plan: Any) -> Any:
    answer = None
    try:
        while True:
            answer = await client.post(**plan.send(answer))
            answer.raise_for_status()
    except StopIteration:
        return answer


async def run_async(module: Any, plan: Any) -> Any:
    async with module.AsyncClient(timeout=None) as client:
        return await send_async(client, plan)


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("mode", "store", "url", "client", "shape"):
        parser.add_argument(name)
    parser.add_argument("mb", type=int)
    parser.add_argument("--change", type=int)
    args = parser.parse_args()
    if args.mode != "none":
        import cachy

        cachy.enable(args.mode, store=args.store, hosts=["127.0.0.1:*"], summary=False)
    name, _, way = args.client.partition("-")
    module = importlib.import_module(name)
    plan = requests(Generated(args.mb * MIB, args.change), args.shape, way == "async", args.url)
    started = time.perf_counter()
    if way == "async":
        answer = asyncio.run(run_async(module, plan))
    else:
        with module.Client(timeout=None) as client:
            answer = send(client, plan)
    seconds = time.perf_counter() - started
    print(json.dumps({"peak": peak(), "seconds": seconds, "answer": answer.text}))


if __name__ == "__main__":
    main()
