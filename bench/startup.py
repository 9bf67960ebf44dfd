"""What a start of Python costs with cachy installed, over one without: `python bench/startup.py [--python PATH]...`.

Counts the instructions of `python -c pass` under valgrind in two fresh environments that differ in nothing but the
wheel; printed are ratios to the environment without. Goals on Python 3.12: at most 1.05 when inactive, 1.09 when
active. (On 3.13 any .pth file, even one that does nothing, costs 1.03: site loads a codec to read it.) Clocks would
tell less: a start takes 10 ms, and their noise is larger than what is measured.
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
CASES = ("no project", "a project without table", "CACHY=0", "CACHY=1", "a project's table")


def executable(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def environment(place: Path, python: str, *packages: str) -> Path:
    """The interpreter of a new environment; not one of uv's, whose own .pth file every start would pay for."""
    subprocess.run([python, "-m", "venv", "--without-pip", place], check=True)
    if packages:
        tool = shutil.which("uv") or sys.exit("bench/startup.py needs uv: pip install uv")
        words = [
            tool,
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--python",
            str(executable(place)),
            *packages,
        ]
        subprocess.run(words, check=True)
    return executable(place)


def instructions(python: Path, folder: Path, env: dict[str, str], runs: int) -> float:
    """The median over some starts, after one that wrote the bytecode."""
    command = [str(python), "-c", "pass"]
    subprocess.run(command, cwd=folder, env=env, check=True)
    counts = []
    for _ in range(runs):
        valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *command]
        done = subprocess.run(valgrind, cwd=folder, env=env, capture_output=True, text=True, check=True)
        counted = re.search(r"Collected : (\d+)", done.stderr)
        assert counted, done.stderr
        counts.append(int(counted[1]))
    return statistics.median(counts)


def row(python: str, root: Path, runs: int) -> str:
    """One line of the table."""
    version = subprocess.run(
        [python, "-c", "import platform; print(platform.python_version())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    root = root / version
    home = root / "home"
    # All working directories are as deep and their paths as long, three folders below home or the project.
    folders = {name: home / name / "a" / "b" / "c" for name in ("none", "else", "ours")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    (home / "else" / "pyproject.toml").write_text('[project]\nname = "example"\n' * 20)
    (home / "ours" / "pyproject.toml").write_text("[tool.cachy]\n" * 20)
    bare = environment(root / "bare", python)
    with_cachy = environment(root / "full", python, str(TREE))
    plain = {"HOME": str(home), "PATH": os.defpath, "PYTHONHASHSEED": "0", "LANG": "C.UTF-8"}

    base = instructions(bare, folders["none"], plain, runs)
    settings = [("none", {}), ("else", {}), ("none", {"CACHY": "0"}), ("none", {"CACHY": "1"}), ("ours", {})]
    ratios = [instructions(with_cachy, folders[at], plain | more, runs) / base for at, more in settings]
    return f"| {version} | {base / 1e6:.1f} M | " + " | ".join(f"{ratio:.3f}" for ratio in ratios) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--python", action="append", help="an interpreter, or several (default: the running one)"
    )
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    if not shutil.which("valgrind"):
        sys.exit("bench/startup.py needs valgrind: apt-get install valgrind")
    print("| Python | without cachy | " + " | ".join(CASES) + " |")
    print("|---" * (len(CASES) + 2) + "|")
    with tempfile.TemporaryDirectory() as folder:
        for python in options.python or [sys.executable]:
            print(row(python, Path(folder).resolve(), options.runs), flush=True)


if __name__ == "__main__":
    main()
