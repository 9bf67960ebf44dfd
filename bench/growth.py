"""How costs grow with the number of recordings: `python bench/growth.py [--largest 1000000] [TOOL ...]`.

For each tool and size, in processes of their own (environments made with uv): CPU milliseconds of a process until its
first hit, microseconds of later hits, and of a call that is recorded; `none` is the client with the same server and
no tool. A tool is not measured at sizes where making or opening its store would take minutes. `--picture FILE` draws
the curves too (needs matplotlib).
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
LARGEST = {
    "none": 10, "cachy": 10**6, "cachy-folder": 100_000, "cachy-sqlite": 10**6, "pycachy": 100_000,
    "vcrpy-json": 10_000, "vcrpy-yaml": 1_000, "hishel": 10_000, "requests-cache": 10_000,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tools", nargs="*", default=list(LARGEST), metavar="TOOL", help=", ".join(LARGEST))
    parser.add_argument("--largest", type=int, default=10**6)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    found: dict[str, dict[int, list[float]]] = {}
    print("| tool | recordings | first hit, CPU ms | hit, µs | recorded call, µs |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as root:
        for tool in options.tools:
            for size in (10, 1_000, 10_000, 100_000, 1_000_000):
                if size <= min(LARGEST[tool], options.largest):
                    row = measured(tool, size, Path(root), options.repeat)
                    found.setdefault(tool, {})[size] = row
                    print(f"| {tool} | {size:,} | {' | '.join(f'{cell:,.0f}' for cell in row)} |", flush=True)
    if options.picture:
        draw(found, options.picture)


def measured(tool: str, size: int, root: Path, repeat: int) -> list[float]:
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
    return [statistics.median(run[name] for run in runs) for name in ("cold", "hit", "write")]


def draw(found: dict[str, dict[int, list[float]]], path: Path) -> None:
    from matplotlib import pyplot  # type: ignore[import-not-found, unused-ignore]

    pyplot.rcParams["svg.hashsalt"] = "cachy"
    figure, panels = pyplot.subplots(1, 3, figsize=(13, 4))
    for at, (panel, title) in enumerate(
        zip(panels, ("first hit of a process, CPU ms", "a hit, µs", "a recorded call, µs"), strict=True)
    ):
        for tool, rows in found.items():
            values = [row[at] for row in rows.values()]
            if tool == "none":
                panel.axhline(values[0], color="gray", linestyle=":", label="the live call, no tool")
            else:
                panel.plot(
                    list(rows), values, marker="o", linewidth=3 if tool == "cachy" else 1.2, label=tool
                )
        panel.set(xscale="log", yscale="log", title=title, xlabel="recordings")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="lower center", ncols=9, fontsize=8)
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
