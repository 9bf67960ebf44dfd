"""Instructions under valgrind: clocks would tell less, their noise is larger than what is measured here."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent


def needs(*tools: str) -> None:
    """End the program, with what to do, where one of `valgrind` and `uv` is not there."""
    cures = {"valgrind": "apt-get install valgrind", "uv": "pip install uv"}
    for tool in tools:
        if not shutil.which(tool):
            sys.exit(f"{sys.argv[0]} needs {tool}: {cures[tool]}")


def environment(place: Path, python: str, *packages: str | Path) -> Path:
    """The interpreter of a new environment; not one of uv's, whose own .pth file every start would pay for.

    `packages`: what `uv pip install` is told, options included.
    """
    subprocess.run([python, "-m", "venv", "--without-pip", place], check=True)
    executable = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if packages:
        words = ["uv", "pip", "install", "--quiet", "--python", executable, *packages]
        subprocess.run([str(word) for word in words], check=True)
    return executable


def instructions(command: Sequence[str | Path], folder: Path, env: Mapping[str, str], runs: int) -> float:
    """The median over some runs of a command, after one that wrote the bytecode.

    `env`: what the program finds in its environment beside what makes the runs alike.
    """
    words = [str(word) for word in command]
    env = {"PATH": os.defpath, "PYTHONHASHSEED": "0", "LANG": "C.UTF-8", **env}
    subprocess.run(words, cwd=folder, env=env, check=True, capture_output=True)
    counts = []
    for _ in range(runs):
        valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *words]
        done = subprocess.run(valgrind, cwd=folder, env=env, capture_output=True, text=True, check=True)
        counted = re.search(r"Collected : (\d+)", done.stderr)
        assert counted, done.stderr
        counts.append(int(counted[1]))
    return statistics.median(counts)
