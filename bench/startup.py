"""What a start of Python costs with cachy installed, over one without: `python bench/startup.py [--python PATH]...`.

Counts the instructions of `python -c pass` under valgrind in two fresh environments that differ in nothing but the
wheel; printed are ratios to the environment without. Goals on Python 3.12: at most 1.05 when inactive, 1.09 when
active. (On 3.13 any .pth file, even one that does nothing, costs 1.03: site loads a codec to read it.)
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from callgrind import TREE, environment, instructions, needs

CASES = ("no project", "a project without table", "CACHY=0", "CACHY=1", "a project's table")


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
    with_cachy = environment(root / "full", python, "--no-deps", TREE)

    def start(interpreter: Path, where: str, **more: str) -> float:
        return instructions([interpreter, "-c", "pass"], folders[where], {"HOME": str(home), **more}, runs)

    base = start(bare, "none")
    settings = [("none", {}), ("else", {}), ("none", {"CACHY": "0"}), ("none", {"CACHY": "1"}), ("ours", {})]
    ratios = [start(with_cachy, where, **more) / base for where, more in settings]
    return f"| {version} | {base / 1e6:.1f} M | " + " | ".join(f"{ratio:.3f}" for ratio in ratios) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--python", action="append", help="an interpreter, or several (default: the running one)"
    )
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    needs("valgrind", "uv")
    print("| Python | without cachy | " + " | ".join(CASES) + " |")
    print("|---" * (len(CASES) + 2) + "|")
    with tempfile.TemporaryDirectory() as folder:
        for python in options.python or [sys.executable]:
            print(row(python, Path(folder).resolve(), options.runs), flush=True)


if __name__ == "__main__":
    main()
