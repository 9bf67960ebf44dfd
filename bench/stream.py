"""Recording a stream, over an unpatched client: time to the first chunk and in total. `python bench/stream.py`.

A server on loopback waits 50 ms and then sends 100 events, one every 5 ms. Both clients take turns in this
process; printed are the medians of the pairwise ratios. Goal: the first chunk within 1.10.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cachy

EVENTS = 100


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        time.sleep(0.05)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for n in range(EVENTS):
            self.chunk(b'data: {"choices":[{"index":0,"delta":{"content":"word %d "}}]}\n\n' % n)
            time.sleep(0.005)
        self.chunk(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def chunk(self, piece: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        pass


def take(client: Any, url: str) -> tuple[float, float]:
    """(seconds to the first chunk, seconds in all)"""
    start = time.perf_counter()
    first = 0.0
    with client.stream("POST", url, json={"model": "m", "stream": True}) as response:
        for _ in response.iter_raw():
            first = first or time.perf_counter() - start
    return first, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1/chat/completions"
    print("| client | first chunk | total | first chunk, unpatched |")
    print("|---|---|---|---|")
    for name in ("httpx", "httpx2"):
        try:
            lib = importlib.import_module(name)
        except ImportError:
            continue
        pairs = []
        with tempfile.TemporaryDirectory() as folder, lib.Client() as client:
            take(client, url)
            for _ in range(rounds):
                plain = take(client, url)
                with cachy.using(
                    "record", store=Path(folder) / "c.jsonl", hosts={"127.0.0.1:*": "openai"}, summary=False
                ):
                    pairs.append((plain, take(client, url)))
        first = statistics.median(ours[0] / plain[0] for plain, ours in pairs)
        total = statistics.median(ours[1] / plain[1] for plain, ours in pairs)
        ms = statistics.median(plain[0] for plain, _ in pairs) * 1000
        print(f"| {name} | {first:.3f} | {total:.3f} | {ms:.0f} ms |")
    server.shutdown()


if __name__ == "__main__":
    main()
