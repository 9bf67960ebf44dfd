"""Fresh virtual environments, what is installed into them, and child processes that inherit no settings."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parents[1]
"""The folder that holds `pyproject.toml`."""


def clean(**more: str) -> dict[str, str]:
    """The environment without settings of cachy, Python, CI or of tools that measure tests."""
    foreign = ("CACHY", "PYTHON", "COV_", "PYTEST", "XDG_")
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(foreign) and name != "CI"
    }
    return kept | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONIOENCODING": "utf-8"} | more


def checked(*words: str | Path, **more: str) -> None:
    """Run a tool that must succeed."""
    done = subprocess.run(
        [str(word) for word in words], env=clean(**more), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def uv() -> list[str] | None:
    """The words that start uv, or None."""
    if path := shutil.which("uv"):
        return [path]
    return [sys.executable, "-m", "uv"] if importlib.util.find_spec("uv") else None


def executable(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def site_packages(venv: Path) -> Path:
    return venv / "Lib/site-packages" if os.name == "nt" else next(venv.glob("lib/python3*/site-packages"))


def make_venv(place: Path, python: str = sys.executable) -> Path:
    """Make an empty virtual environment at `place` and return it."""
    if tool := uv():
        checked(*tool, "venv", "--quiet", "--python", python, place)
    else:
        checked(python, "-m", "venv", place)
    return place


def install(venv: Path, *what: str | Path) -> None:
    """Install into an environment without its dependencies, by the quickest tool there is."""
    if tool := uv():
        # Copies, so that a test which spoils a file does not spoil uv's cache, from which it may be linked.
        words = [*tool, "pip", "install", "--quiet", "--offline", "--no-deps", "--link-mode", "copy"]
        checked(*words, "--python", executable(venv), *what)
    else:
        checked(executable(venv), "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", *what)


UNREACHABLE = re.compile(r"Failed to fetch|error sending request|dns error|Network connectivity", re.I)
NOT_FOR_THIS_PYTHON = "does not satisfy Python"


def environment(place: Path, wheel: Path, packages: tuple[str, ...]) -> Path:
    """The interpreter of a new environment with these packages. Skips the test when the package registry cannot be
    reached, or has one of them for other Pythons only; anything else that is wrong fails it."""
    tool = uv()
    if tool is None:
        pytest.skip("uv is not installed")
    python = executable(make_venv(place / "venv"))
    command = [*tool, "pip", "install", "--quiet", "--python", str(python), str(wheel), *packages]
    done = subprocess.run(command, env=clean(), capture_output=True, text=True, check=False)
    if done.returncode and UNREACHABLE.search(done.stderr):
        pytest.skip(f"the package registry cannot be reached: {done.stderr.strip().splitlines()[-1]}")
    if done.returncode and NOT_FOR_THIS_PYTHON in " ".join(done.stderr.split()):
        pytest.skip(f"not for this Python: {' '.join(done.stderr.split())[:300]}")
    assert done.returncode == 0, done.stderr
    return python
