"""The cost of a hit, side by side with pycachy, vcrpy and hishel: `python bench/hit.py [--quick]`.

Each tool runs in an environment of its own (made with uv), several times in turn; printed is the median ratio to
the same client with `MockTransport`, with aiohttp to a connector that leads to a canned answer. A dash: the tool
cannot do this (hishel caches GET only and has no async here), or would take minutes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
TOOLS = {
    "cachy": [str(HERE.parent), "httpx", "httpx2", "aiohttp"],
    "pycachy": ["pycachy==0.0.22", "httpx", "httpx2"],
    "vcrpy-yaml": ["vcrpy>=9", "httpx", "httpx2", "aiohttp"],
    "vcrpy-json": ["vcrpy>=9", "httpx", "httpx2", "aiohttp"],
    "hishel": ["hishel[httpx]>=2", "httpx"],
}
MANY = "300"  # different prompts in turn: more than any tool here remembers
COLUMNS = [
    ("httpx", "sync", "json", "1"), ("httpx2", "sync", "json", "1"), ("httpx2", "sync", "json", MANY),
    ("httpx2", "async", "json", "1"), ("httpx", "sync", "sse", "1"), ("httpx2", "sync", "sse", "1"),
    ("httpx2", "async", "sse", "1"), ("aiohttp", "async", "json", "1"), ("aiohttp", "async", "sse", "1"),
]  # fmt: skip
LARGEST = {"cachy": 100_000, "pycachy": 1_000, "vcrpy-yaml": 1_000, "vcrpy-json": 1_000, "hishel": 1_000}


def environment(tool: str, root: Path) -> Path:
    folder = root / tool.split("-json")[0].split("-yaml")[0]
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        uv = shutil.which("uv") or sys.exit("bench/hit.py needs uv: pip install uv")
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), *TOOLS[tool]], check=True)
    return python


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only cachy, 10 and 1,000 recordings")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    tools = ["cachy"] if options.quick else list(TOOLS)
    sizes = [10, 1_000] if options.quick else [10, 1_000, 100_000]
    with tempfile.TemporaryDirectory() as root:
        heads = [
            " ".join(column[:3]) + (f" {column[3]} prompts" if column[3] == MANY else "")
            for column in COLUMNS
        ]
        print("| tool | recordings | " + " | ".join(heads) + " |")
        print("|---" * (len(COLUMNS) + 2) + "|")
        for size in sizes:
            for tool in tools:
                if size <= LARGEST[tool]:
                    row = [cell(tool, size, *column, Path(root), options.repeat) for column in COLUMNS]
                    print(f"| {tool} | {size:,} | " + " | ".join(row) + " |", flush=True)


def cell(
    tool: str, size: int, client: str, mode: str, body: str, prompts: str, root: Path, repeat: int
) -> str:
    if client == "aiohttp" and tool in ("pycachy", "hishel"):
        return "–"
    if tool == "hishel" and (client != "httpx" or mode == "async"):
        return "–"
    if prompts == MANY and tool not in ("cachy", "pycachy"):
        return "–"  # minutes, or cannot
    python = environment(tool, root)
    slow = tool in ("pycachy", "vcrpy-yaml", "vcrpy-json") and size > 10
    command = [str(python), str(HERE / "hit_worker.py"), "--tool", tool, "--recordings", str(size), "--client", client,
               "--mode", mode, "--body", body, "--prompts", prompts, *(["--rounds", "3", "--calls", "3"] if slow else [])]  # fmt: skip
    ratios = []
    for _ in range(1 if slow else repeat):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stderr.strip().splitlines()[-1:], file=sys.stderr)
            return "failed"
        ratios.append(json.loads(done.stdout.splitlines()[-1])["ratio"])
    return f"{statistics.median(ratios):.2f}"


if __name__ == "__main__":
    main()
