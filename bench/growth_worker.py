"""One measurement of bench/growth.py: what a tool costs with so many other recordings in its store.

`--fill` makes the store. Without it this process opens the store, serves a first hit, more hits, and calls that are
recorded; printed as JSON: `cold` (CPU milliseconds of the whole process until the first hit), `hit` and `write`
(microseconds, the best of some). A write is a call that is recorded; for vcrpy, which saves when a run ends, with that.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PORT = 38211  # the same in each process: what is asked is part of what is recorded
URL = f"http://127.0.0.1:{PORT}/v1/chat/completions"
ANSWER = json.dumps({"id": "x", "object": "chat.completion", "choices": [
    {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "answer " * 100}}]}).encode()  # fmt: skip


def question(number: int | str) -> dict[str, Any]:
    return {"model": "gpt-5-mini", "messages": [{"role": "user", "content": f"{number} " + "word " * 40}]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # one packet: else each call waits for an acknowledgement
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("cache-control", "max-age=86400")
        self.send_header("content-length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    do_GET = do_POST

    def log_message(self, *_: Any) -> None:
        pass


def serve() -> ThreadingHTTPServer:
    ThreadingHTTPServer.allow_reuse_address = True
    server = ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def fill(tool: str, folder: Path, count: int) -> None:
    """A store with `count` other recordings, as the tool writes them, and one of what is going to be asked."""
    folder.mkdir(parents=True, exist_ok=True)
    if tool.startswith("cachy"):
        from cachy.exchange import Response
        from cachy.keys import from_object
        from cachy.recording import Recording
        from cachy.stores import open_store

        place = {"method": "POST", "host": f"127.0.0.1:{PORT}", "path": "/v1/chat/completions"}
        answer = Response(200, (("content-type", "application/json"),), ANSWER)

        def lines() -> Any:
            for number in range(count):
                wanted = from_object({**place, "body": {"json": question(number)}})
                recording = Recording(wanted.key, "2026-11-23T08:00:00Z", "openai", wanted.data(), answer)
                yield wanted.key, recording.to_line()

        if tool == "cachy":
            with (folder / "cachy.jsonl").open("wb") as file:
                file.writelines(line + b"\n" for _, line in lines())
        else:
            store = open_store(str(folder) + {"cachy-folder": "/cachy/", "cachy-sqlite": "/cachy.db"}[tool])
            for key, line in lines():
                store.put(key, line)
            store.close()
    elif tool == "pycachy":
        with (folder / "cachy.jsonl").open("w") as file:
            for number in range(count):
                file.write(json.dumps({"key": f"{number:08x}", "response": ANSWER.decode(), "headers": {
                    "content-type": "application/json"}, "status_code": 200, "binary": False}) + "\n")  # fmt: skip
    elif tool.startswith("vcrpy"):
        from vcr.request import Request
        from vcr.serialize import serialize
        from vcr.serializers import jsonserializer, yamlserializer

        kept = {"status": {"code": 200, "message": "OK"}, "headers": {"content-type": ["application/json"]},
                "body": {"string": ANSWER}}  # fmt: skip
        asked = [Request("POST", URL, json.dumps(question(number)), {}) for number in range(count)]
        data = {"requests": asked, "responses": [dict(kept) for _ in asked]}
        form = jsonserializer if tool.endswith("json") else yamlserializer
        (folder / f"c.{tool[6:]}").write_text(serialize(data, form))
    server = serve()
    call, end = opened(tool, folder)
    call("first")
    if tool in ("hishel", "requests-cache"):
        for number in range(count):
            call(number)
    end(None, None, None)
    server.shutdown()


def nothing(*_: Any) -> None:
    pass


def opened(tool: str, folder: Path) -> tuple[Callable[[int | str], bytes], Callable[..., Any]]:
    """The tool active: how a call is made with it, over the client that it is made for, and how its run ends."""
    ends: Callable[..., Any] = nothing
    if tool == "requests-cache":
        import requests_cache

        session = requests_cache.CachedSession(
            str(folder / "r"), backend="sqlite", allowable_methods=("POST",)
        )
        return lambda number: session.post(URL, json=question(number)).content, nothing
    if tool == "hishel":
        import hishel.httpx
        from hishel import SqliteStorage

        caching = hishel.httpx.CacheClient(storage=SqliteStorage(database_path=str(folder / "h.db")))
        return lambda number: caching.get(f"{URL}/{number}").content, nothing  # it caches no POST
    if tool == "pycachy":
        import cachy

        cachy.enable_cachy(cache_dir=folder, doms=(f"127.0.0.1:{PORT}",))
    elif tool.startswith("cachy"):
        import cachy

        name = {"cachy": "cachy.jsonl", "cachy-folder": "cachy/", "cachy-sqlite": "cachy.db"}[tool]
        cachy.enable("auto", store=f"{folder}/{name}", hosts={f"127.0.0.1:{PORT}": "openai"}, summary=False)
    elif tool.startswith("vcrpy"):
        import vcr

        path = folder / f"c.{tool[6:]}"
        on = vcr.VCR(
            serializer=path.suffix[1:], record_mode="new_episodes", match_on=["method", "uri", "body"]
        )
        cassette = on.use_cassette(str(path), allow_playback_repeats=True)
        cassette.__enter__()
        ends = cassette.__exit__
    import httpx

    client = httpx.Client()
    return lambda number: client.post(URL, json=question(number)).content, ends


def best(call: Callable[[int | str], bytes], asked: list[int | str], seconds: float) -> float:
    """Microseconds of the quickest of these calls, as many as fit into so many seconds."""
    took, until = [], time.perf_counter() + seconds
    for number in asked:
        started = time.perf_counter()
        call(number)
        took.append(time.perf_counter() - started)
        if time.perf_counter() > until:
            break
    return min(took) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--recordings", type=int, required=True)
    parser.add_argument("--fill", action="store_true")
    args = parser.parse_args()
    if args.fill:
        fill(args.tool, args.folder, args.recordings)
        return
    call, end = opened(args.tool, args.folder)
    server = serve() if args.tool == "none" else None
    assert call("first") == ANSWER
    found = {"cold": time.process_time() * 1000}
    found["hit"] = best(call, ["first"] * 2000, 4)
    server = server or serve()
    found["write"] = best(call, [f"new {time.time_ns()} {number}" for number in range(300)], 6)
    started = time.perf_counter()
    end(None, None, None)
    found["write"] += (time.perf_counter() - started) * 1e6 if end is not nothing else 0
    server.shutdown()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
