"""What the idle plugin costs a run of pytest, over one without cachy: `python bench/pytest_start.py [--python PATH]`.

Counts the instructions of `pytest -q` on one empty test under valgrind, in two fresh environments that differ in
nothing but cachy itself (httpx and platformdirs, which it needs, bring plugins of their own); printed are ratios to
the environment without cachy. Goal: at most 1.02.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from callgrind import TREE, environment, instructions, needs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="an interpreter (default: the running one)")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    needs("valgrind", "uv")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        folder = root / "project"
        folder.mkdir()
        (folder / "test_a.py").write_text("def test_a(): pass\n")
        (folder / "pytest.ini").write_text("[pytest]\n")
        bare, full = (environment(root / name, options.python, "pytest", TREE) for name in ("bare", "full"))
        subprocess.run(["uv", "pip", "uninstall", "--quiet", "--python", str(bare), "cachy-run"], check=True)

        def run(interpreter: Path, *flags: str, **more: str) -> float:
            command = [interpreter, "-m", "pytest", "-q", "-p", "no:cacheprovider", *flags]
            return instructions(command, folder, {"HOME": str(folder), **more}, options.runs)

        base = run(bare)
        cases = {
            "idle": run(full),
            "-p no:cachy": run(full, "-p", "no:cachy"),
            "CACHY=1, no call": run(full, CACHY="1"),
        }
    print("| without cachy | " + " | ".join(cases) + " |")
    print("|---" * (len(cases) + 1) + "|")
    print(f"| {base / 1e6:.0f} M | " + " | ".join(f"{count / base:.3f}" for count in cases.values()) + " |")


if __name__ == "__main__":
    main()
