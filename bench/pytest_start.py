"""What the idle plugin costs a run of pytest, over one without cachy: `python bench/pytest_start.py [--python PATH]`.

Counts the instructions of `pytest -q` on one empty test under valgrind, in two fresh environments that differ in
nothing but cachy itself (httpx and platformdirs, which it needs, bring plugins of their own); printed are ratios to the environment without cachy. Goal: at most 1.02. Clocks would tell less:
their noise is larger than what is measured.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent


def environment(place: Path, python: str) -> Path:
    """The interpreter of a new environment with pytest, cachy and what it needs."""
    tool = shutil.which("uv") or sys.exit("bench/pytest_start.py needs uv: pip install uv")
    subprocess.run([python, "-m", "venv", "--without-pip", place], check=True)
    executable = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    words = [tool, "pip", "install", "--quiet", "--python", str(executable), "pytest", str(TREE)]
    subprocess.run(words, check=True)
    return executable


def instructions(python: Path, folder: Path, runs: int, *flags: str, **more: str) -> float:
    """The median over some runs, after one that wrote the bytecode."""
    env = {"HOME": str(folder), "PATH": os.defpath, "PYTHONHASHSEED": "0", "LANG": "C.UTF-8", **more}
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *flags]
    subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True)
    counts = []
    for _ in range(runs):
        valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *command]
        done = subprocess.run(valgrind, cwd=folder, env=env, capture_output=True, text=True, check=True)
        counted = re.search(r"Collected : (\d+)", done.stderr)
        assert counted, done.stderr
        counts.append(int(counted[1]))
    return statistics.median(counts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="an interpreter (default: the running one)")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    if not shutil.which("valgrind"):
        sys.exit("bench/pytest_start.py needs valgrind: apt-get install valgrind")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        folder = root / "project"
        folder.mkdir()
        (folder / "test_a.py").write_text("def test_a(): pass\n")
        (folder / "pytest.ini").write_text("[pytest]\n")
        bare, full = (environment(root / name, options.python) for name in ("bare", "full"))
        subprocess.run(["uv", "pip", "uninstall", "--quiet", "--python", str(bare), "cachy-run"], check=True)
        base = instructions(bare, folder, options.runs)
        cases = {
            "idle": instructions(full, folder, options.runs),
            "-p no:cachy": instructions(full, folder, options.runs, "-p", "no:cachy"),
            "CACHY=1, no call": instructions(full, folder, options.runs, CACHY="1"),
        }
    print("| without cachy | " + " | ".join(cases) + " |")
    print("|---" * (len(cases) + 1) + "|")
    print(f"| {base / 1e6:.0f} M | " + " | ".join(f"{count / base:.3f}" for count in cases.values()) + " |")


if __name__ == "__main__":
    main()
