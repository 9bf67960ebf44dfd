"""One measurement of bench/hit.py: the cost of a hit with one tool, over the same client's own floor.

The floor is the client with `MockTransport`: build the request, send it, read the answer. Both are timed in turn
in this process, so the machine's moods hit both; the median of the ratios is printed as JSON.

With `--prompts 1` the same call is made again and again, as a loop or a notebook does; with more, that many take
turns, so that what a tool remembers of the last ones is no help when they are more than it remembers.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import itertools
import json
import statistics
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

FLOOR = "127.0.0.2"  # a host that no tool cares for: some patch the client with `MockTransport` too
PROMPT = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "word " * 180}], "temperature": 0.2}

_held: list[Any] = []  # a cassette that nobody holds ends when the garbage collector runs


def body_of(kind: str) -> tuple[str, bytes]:
    if kind == "json":
        answer = {"id": "chatcmpl-1", "object": "chat.completion", "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "answer " * 400}}]}  # fmt: skip
        return "application/json", json.dumps(answer, indent=2).encode()
    event = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {"content": " word"}}],
    }
    events = "".join(f"data: {json.dumps(event)}\n\n" for _ in range(360)) + "data: [DONE]\n\n"
    return "text/event-stream", events.encode()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    calls = 0


def serve(kind: str) -> Server:
    content_type, body = body_of(kind)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            server.calls += 1
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(200)
            self.send_header("content-type", content_type)
            self.send_header("cache-control", "max-age=86400")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            pieces = [body] if kind == "json" else [part + b"\n\n" for part in body.split(b"\n\n") if part]
            for piece in pieces:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def fill_cachy(store: Path, count: int, body: bytes) -> None:
    from cachy.exchange import Response
    from cachy.recording import Recording

    with store.open("ab") as file:
        for n in range(count):
            request = {
                "method": "POST",
                "host": "api.openai.com",
                "path": "/v1/chat/completions",
                "body": {"json": {"n": n}},
            }
            answer = Response(200, (("content-type", "application/json"),), body)
            file.write(
                Recording(f"{n:032x}", "2026-11-23T08:00:00Z", "openai", request, answer).to_line() + b"\n"
            )


def open_tool(tool: str, lib: Any, folder: Path, count: int, kind: str, host: str) -> tuple[Any, Any]:
    """(sync client, async client) with the tool active and `count` other recordings in its store."""
    content_type, body = body_of(kind)
    if tool == "cachy":
        import cachy

        fill_cachy(folder / "calls.jsonl", count, body)
        cachy.enable("auto", store=folder / "calls.jsonl", hosts={host: "openai"}, summary=False)
    elif tool == "pycachy":
        import cachy

        with (folder / "cachy.jsonl").open("w") as file:
            for n in range(count):
                line = {
                    "key": f"{n:08x}",
                    "response": f"{n}{body.decode()}",
                    "headers": {"content-type": content_type},
                    "status_code": 200,
                    "binary": False,
                }
                file.write(json.dumps(line) + "\n")
        cachy.enable_cachy(cache_dir=folder, doms=(host,))
    elif tool.startswith("vcrpy"):
        import vcr

        path = folder / ("c.json" if tool.endswith("json") else "c.yaml")
        with vcr.use_cassette(
            str(path), serializer=path.suffix[1:], record_mode="all", match_on=["method", "uri", "body"]
        ) as cassette:
            pass
        recorder = vcr.VCR(
            serializer=path.suffix[1:],
            record_mode="new_episodes",
            match_on=["method", "uri", "body"],
            ignore_hosts=[FLOOR],
        )
        context = recorder.use_cassette(str(path), allow_playback_repeats=True)
        _held.append(context)
        cassette = context.__enter__()
        from vcr.request import Request

        answer = {
            "status": {"code": 200, "message": "OK"},
            "headers": {"content-type": [content_type]},
            "body": {"string": body},
        }
        for n in range(count):
            cassette.append(
                Request("POST", f"http://{host}/v1/chat/completions", json.dumps({"n": n}), {}), dict(answer)
            )
    elif tool == "hishel":
        import hishel.httpx
        from hishel import SqliteStorage

        storage = SqliteStorage(database_path=str(folder / "h.db"))
        client = hishel.httpx.CacheClient(storage=storage)
        for n in range(count):
            client.get(f"http://{host}/v1/{n}").read()
        return client, None
    return (lib.Client(), lib.AsyncClient()) if hasattr(lib, "Client") else (None, None)


def measure(args: argparse.Namespace) -> float:
    lib = importlib.import_module(args.client)
    content_type, body = body_of(args.body)
    server = serve(args.body)
    host = f"127.0.0.1:{server.server_port}"
    url = f"http://{host}/v1/chat/completions"
    floor_url = f"http://{FLOOR}:{server.server_port}/v1/chat/completions"
    headers = [(b"content-type", content_type.encode())]
    # The floor hands out the pieces that a replay hands out; a client's own work per piece is not the tool's.
    events = (
        [body]
        if args.body == "json" or not args.pieces
        else [part + b"\n\n" for part in body.split(b"\n\n") if part]
    )

    class Pieces(lib.SyncByteStream, lib.AsyncByteStream):  # type: ignore[misc, name-defined]
        def __iter__(self) -> Any:
            return iter(events)

        async def __aiter__(self) -> Any:
            for event in events:
                yield event

    whole = args.body == "json" or not args.pieces
    answer = {"content": body} if whole else {"stream": Pieces()}
    mock = lib.MockTransport(lambda _request: lib.Response(200, headers=headers, **answer))
    method = "GET" if args.tool == "hishel" else "POST"
    contents: list[dict[str, Any]] = (
        [{}] if method == "GET" else [{"json": {**PROMPT, "seed": seed}} for seed in range(args.prompts)]
    )
    turns = itertools.cycle(contents)

    with tempfile.TemporaryDirectory() as name:
        client, async_client = open_tool(args.tool, lib, Path(name), args.recordings, args.body, host)
        if args.mode == "sync":
            floor_client = lib.Client(transport=mock)

            def call(which: Any) -> None:
                if args.body == "json":
                    assert (
                        "id"
                        in which.request(
                            method, floor_url if which is floor_client else url, **next(turns)
                        ).json()
                    )
                    return
                with which.stream(
                    method, floor_url if which is floor_client else url, **next(turns)
                ) as response:
                    assert sum(map(len, response.iter_bytes())) == len(body)

            for _ in contents:
                call(client)
            server.shutdown()
            server.server_close()
            pairs = rounds(lambda: call(floor_client), lambda: call(client), args)
        else:
            floor_client = lib.AsyncClient(transport=mock)

            async def acall(which: Any) -> None:
                if args.body == "json":
                    assert (
                        "id"
                        in (
                            await which.request(
                                method, floor_url if which is floor_client else url, **next(turns)
                            )
                        ).json()
                    )
                    return
                async with which.stream(
                    method, floor_url if which is floor_client else url, **next(turns)
                ) as response:
                    assert sum([len(piece) async for piece in response.aiter_bytes()]) == len(body)

            async def main() -> list[tuple[float, float]]:
                for _ in contents:
                    await acall(async_client)
                server.shutdown()
                found = []
                for _ in range(args.rounds):
                    times = []
                    for which in (floor_client, async_client):
                        start = time.perf_counter()
                        for _ in range(args.calls):
                            await acall(which)
                        times.append(time.perf_counter() - start)
                    found.append((times[0], times[1]))
                return found

            pairs = asyncio.run(main())
    expected = len(contents) + (args.recordings if args.tool == "hishel" else 0)
    assert server.calls == expected, f"{server.calls} live calls: these were not hits"
    return statistics.median(tool / floor for floor, tool in pairs)


def rounds(floor: Any, tool: Any, args: argparse.Namespace) -> list[tuple[float, float]]:
    found = []
    for _ in range(args.rounds):
        times = []
        for call in (floor, tool):
            start = time.perf_counter()
            for _ in range(args.calls):
                call()
            times.append(time.perf_counter() - start)
        found.append((times[0], times[1]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", required=True)
    parser.add_argument("--client", default="httpx2")
    parser.add_argument("--mode", default="sync")
    parser.add_argument("--body", default="json")
    parser.add_argument("--recordings", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--pieces", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--prompts", type=int, default=1)
    args = parser.parse_args()
    if args.client == "aiohttp":
        from hit_worker_aiohttp import measure as measure_aiohttp

        print(json.dumps({"ratio": measure_aiohttp(args)}))
    else:
        print(json.dumps({"ratio": measure(args)}))


if __name__ == "__main__":
    main()
