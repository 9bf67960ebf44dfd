"""What the guard costs a program in which nothing escapes: `python bench/guard.py`.

Connects to a server on loopback, by address and by name, and starts children: with cachy off, active with the guard,
and active without. One process, the three by turns; printed are ratios of the fastest rounds to cachy off, and what the
guard adds. Read it beside what is really connected to: a name server takes a millisecond, a TLS handshake one of CPU
time alone, and a client keeps its connections.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cachy

ROUNDS = 40


SERVER = """
import socket
server = socket.create_server(("127.0.0.1", 0), backlog=512)
print(server.getsockname()[1], flush=True)
while True:
    server.accept()[0].close()
"""


def by_address(port: int) -> None:
    with socket.socket() as sock:
        sock.connect(("127.0.0.1", port))


def by_name(port: int) -> None:
    with socket.create_connection(("localhost", port)):
        pass


def child(_: int) -> None:
    subprocess.run([sys.executable, "-S", "-E", "-c", ""], check=True)


def timed(function: Callable[[int], None], port: int, times: int) -> float:
    # What the server does is not ours; a child is waited for.
    clock = time.perf_counter if function is child else time.thread_time
    start = clock()
    for _ in range(times):
        function(port)
    return clock() - start


def main() -> None:
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    assert server.stdout
    port = int(server.stdout.readline())
    store = Path(tempfile.mkdtemp()) / "calls.jsonl"

    def enabled(guard: bool) -> None:
        cachy.enable("auto", store=store, guard=guard, summary=False)

    states: dict[str, Callable[[], None]] = {
        "off": cachy.disable,
        "guard": lambda: enabled(True),
        "no guard": lambda: enabled(False),
    }
    print(f"{'':20}" + "".join(f"{state:>10}" for state in states))
    for name, function, times in (
        ("connect by address", by_address, 200),
        ("connect by name", by_name, 100),
        ("start a child", child, 3),
    ):
        best = dict.fromkeys(states, float("inf"))
        for _ in range(ROUNDS):
            for state, switch in states.items():
                switch()
                function(port)  # the first one meets the host
                best[state] = min(best[state], timed(function, port, times))
        cachy.disable()
        print(
            f"{name:20}"
            + "".join(f"{best[state] / best['off']:10.3f}" for state in states)
            + f"   {(best['guard'] - best['off']) / times * 1e6:+.1f} µs"
        )
    server.kill()


if __name__ == "__main__":
    main()
