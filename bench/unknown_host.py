"""The cost of a call to a host that cachy does not know, over the client unpatched: `python bench/unknown_host.py`.

A real server on loopback in a process of its own, one connection kept alive. The client is patched and put back in
turn, a few calls each, so the machine's moods hit both. What is compared is the processor time of the client's own
process, which is stricter than the time of the calls: no waiting makes the ratio smaller. Printed is the median of
the ratios with their quartiles. The goal is 1.02 at most.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SERVER = """
import socket, threading
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
answer = b"HTTP/1.1 200 OK\\r\\ncontent-type: application/json\\r\\ncontent-length: 2\\r\\n\\r\\n{}"
def serve(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data := connection.recv(65536):
        if data.endswith(b"\\r\\n\\r\\n"):
            connection.sendall(answer)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""
CLIENTS = {"httpx": "httpx", "httpx2": "httpx2", "urllib3": "urllib3", "requests": "urllib3"}
"""Each with the module that is patched for it."""


def caller(client: str, url: str) -> Any:
    """A function that makes one call."""
    if client == "urllib3":
        import urllib3

        manager = urllib3.PoolManager()
        return lambda: manager.request("GET", url).data
    lib = importlib.import_module(client)
    session = lib.Session() if client == "requests" else lib.Client()
    return lambda: session.get(url).content


def measure(client: str, url: str, rounds: int, calls: int) -> list[float]:
    from cachy import transports

    call = caller(client, url)
    patched = sys.modules[CLIENTS[client]]
    ratios = []
    for _ in range(rounds):
        times = []
        for active in (False, True):
            if active:
                transports.patch(CLIENTS[client], patched)
            else:
                transports.unpatch()
            call()
            start = time.process_time()
            for _ in range(calls):
                call()
            times.append(time.process_time() - start)
        ratios.append(times[1] / times[0])
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clients", nargs="*", default=list(CLIENTS))
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--calls", type=int, default=20)
    options = parser.parse_args()
    import cachy

    server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        print("| client | median | quartiles |\n|---|---|---|")
        with tempfile.TemporaryDirectory() as folder:
            cachy.enable("auto", store=Path(folder) / "calls.jsonl", summary=False)
            for client in options.clients:
                if importlib.util.find_spec(client) is None:
                    continue
                ratios = measure(client, url, options.rounds, options.calls)
                low, middle, high = statistics.quantiles(ratios, n=4)
                print(f"| {client} | {middle:.3f} | {low:.3f} to {high:.3f} |", flush=True)
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
