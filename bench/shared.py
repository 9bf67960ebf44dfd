"""What a hit in a shared store costs over a local one: `python bench/shared.py [--keys 200] [--workers 8]`.

Real servers on loopback: redis-server, and s3rver, fake-gcs-server and Azurite (see `tests/stores/servers.py`). One machine records; others,
each with an empty cache folder, ask the same: `first` is the hit that fetches, `again` the hit from the local layer, in
microseconds (median) and in hits a second of all workers together. Last, the same from a local file.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from growth_worker import PORT, URL, question, serve

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))


def worker(store: str, keys: int) -> None:
    """Ask all questions twice and print how long each took, when told to start."""
    import httpx

    import cachy

    cachy.enable("auto", store=store, hosts={f"127.0.0.1:{PORT}": "openai"}, summary=False)
    with httpx.Client() as client:
        sys.stdin.readline()
        passes = []
        for _ in range(2):
            took = []
            for number in range(keys):
                started = time.perf_counter()
                client.post(URL, json=question(number)).raise_for_status()
                took.append(time.perf_counter() - started)
            passes.append(took)
        print(json.dumps(passes), flush=True)


@contextmanager
def started(store: str, keys: int, count: int, caches: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """So many workers, each a machine of its own, that are ready to begin."""
    running = []
    for number in range(count):
        env = {**os.environ, "XDG_CACHE_HOME": str(caches / str(number)), "CACHY_REMOTE_TIMEOUT": "30s"}  # fmt: skip
        words = [sys.executable, __file__, "--worker", store, "--keys", str(keys)]
        running.append(
            subprocess.Popen(words, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
    time.sleep(2)
    yield running
    for process in running:
        process.wait(timeout=60)


def asked(store: str, keys: int, count: int, caches: Path) -> list[list[list[float]]]:
    with started(store, keys, count, caches) as running:
        for process in running:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.close()
        return [json.loads(process.stdout.readline()) for process in running if process.stdout is not None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=200)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.keys)
        return
    from stores.servers import bucket, redis_server

    print(
        "| store | first, µs | again, µs | first, hits/s of all | again, hits/s of all |\n|---|---|---|---|---|"
    )
    with ExitStack() as stack, tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "redis").mkdir()
        redis, _ = stack.enter_context(redis_server(root / "redis"))
        stores = {"Redis": f"redis://127.0.0.1:{redis}/0"}
        for scheme, kind in (
            ("s3", "S3 (s3rver)"),
            ("gs", "Google (fake-gcs-server)"),
            ("az", "Azure (Azurite)"),
        ):
            (root / scheme).mkdir()
            made = stack.enter_context(bucket(scheme, root / scheme))
            os.environ.update(made.env)
            stores[kind] = made.url("x")
        stores["local file"] = str(root / "calls.jsonl")
        for kind, store in stores.items():
            print(row(kind, store, options.keys, options.workers, root / kind), flush=True)


def row(kind: str, store: str, keys: int, workers: int, caches: Path) -> str:
    server = serve()
    asked(store, keys, 1, caches / "recorder")
    server.shutdown()
    server.server_close()
    (alone,) = asked(store, keys, 1, caches / "alone")
    cells = [f"{statistics.median(took) * 1e6:,.0f}" for took in alone]
    together = asked(store, keys, workers, caches / "together")
    for turn in range(2):
        cells.append(f"{sum(keys / sum(passes[turn]) for passes in together):,.0f}")
    return f"| {kind} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
