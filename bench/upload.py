"""What an upload costs: peak memory and time of a process that sends one file to a server on loopback.

    python bench/upload.py [--sizes 10 100 1000] [--clients httpx-sync httpx2-async] [--shapes generator file pieces]

Three runs of each: without cachy, recording, and replaying. A recorded upload is read once to make its key and
written to a temporary file before it is sent, so its time is that of the disk; a replayed one is read and not sent.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent.parent / "tests"
SENDER = TESTS / "uploads" / "sender.py"
sys.path.insert(0, str(TESTS))

from uploads.service import Service  # noqa: E402


def run(service: Service, mode: str, store: Path, client: str, shape: str, mb: int) -> dict[str, Any]:
    command = [sys.executable, str(SENDER), mode, str(store), service.url, client, shape, str(mb)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100, 1000], help="MiB")
    parser.add_argument("--clients", nargs="+", default=["httpx-sync", "httpx2-async"])
    parser.add_argument("--shapes", nargs="+", default=["generator", "file", "pieces"])
    args = parser.parse_args()
    print("| client | upload | MiB | without cachy | recording | replaying |\n|---|---|---|---|---|---|")
    service = Service()
    for client in args.clients:
        for shape in args.shapes:
            for mb in args.sizes:
                with tempfile.TemporaryDirectory() as folder:
                    store = Path(folder) / "calls.jsonl"
                    cells = []
                    for mode in ("none", "record", "replay"):
                        found = run(service, mode, store, client, shape, mb)
                        cells.append(f"{found['peak'] / 2**20:.0f} MiB, {found['seconds']:.2f} s")
                print(f"| {client} | {shape} | {mb} | " + " | ".join(cells) + " |", flush=True)
    service.stop()


if __name__ == "__main__":
    main()
