"""How costs grow with the number of recordings: `python bench/growth.py [--largest 1000000] [TOOL ...]`.

For each tool and size, in processes of their own (environments made with uv): CPU milliseconds of a process until its
first hit, microseconds of later hits, and of a call that is recorded; `none` is the client with the same server and
no tool. A tool is not measured at sizes where making or opening its store would take minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

from hit import HERE, TOOLS, environment

TOOLS |= {
    "none": ["httpx"],
    "cachy-folder": TOOLS["cachy"],
    "cachy-sqlite": TOOLS["cachy"],
    "requests-cache": ["requests-cache"],
}
for tool in ("pycachy", "vcrpy-json", "vcrpy-yaml"):
    TOOLS[tool] = [*TOOLS[tool], "httpx"]
LARGEST = {
    "none": 10, "cachy": 10**6, "cachy-folder": 100_000, "cachy-sqlite": 10**6, "pycachy": 100_000,
    "vcrpy-json": 10_000, "vcrpy-yaml": 1_000, "hishel": 10_000, "requests-cache": 10_000,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tools", nargs="*", default=list(LARGEST), metavar="TOOL", help=", ".join(LARGEST))
    parser.add_argument("--largest", type=int, default=10**6)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    print("| tool | recordings | first hit, CPU ms | hit, µs | recorded call, µs |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as root:
        for tool in options.tools:
            for size in (10, 1_000, 10_000, 100_000, 1_000_000):
                if size <= min(LARGEST[tool], options.largest):
                    cells = " | ".join(measured(tool, size, Path(root), options.repeat))
                    print(f"| {tool} | {size:,} | {cells} |", flush=True)


def measured(tool: str, size: int, root: Path, repeat: int) -> list[str]:
    folder = root / f"{tool}-{size}"
    python = environment("requests-cache" if tool == "requests-cache" else tool, root)
    command = [str(python), str(HERE / "growth_worker.py"), "--tool", tool, "--recordings", str(size),
               "--folder", str(folder)]  # fmt: skip
    env = {**os.environ, "XDG_CACHE_HOME": str(folder / "caches")}
    subprocess.run([*command, "--fill"], check=True, env=env)
    runs = []
    for _ in range(repeat):
        done = subprocess.run(command, check=True, env=env, capture_output=True, text=True)
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    subprocess.run(["rm", "-rf", str(folder)], check=False)
    cold, hit, write = (statistics.median(run[name] for run in runs) for name in ("cold", "hit", "write"))
    return [f"{cold:,.0f}", f"{hit:,.0f}", f"{write:,.0f}"]


if __name__ == "__main__":
    main()
