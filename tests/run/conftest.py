"""`cachy-run` as a real process, and environments that have no cachy of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from installed import copy

import cachy

ROOT = str(Path(cachy.__file__).parent.parent)
# Not through PYTHONPATH: the children must not find cachy by any way but the one under test.
LAUNCH = f"import sys; sys.path.append({ROOT!r}); from cachy.cli.run import main; sys.exit(main())"


@pytest.fixture(scope="session")
def launcher() -> list[str]:
    """The words that start `cachy-run`, from the tree or the environment that is being tested."""
    return [sys.executable, "-c", LAUNCH]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment without settings of cachy, CI or Python, with its own home and temporary folder."""
    foreign = ("CACHY", "PYTHON", "COV_", "PYTEST", "XDG_")
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(foreign) and name != "CI"
    }
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    return clean | {
        "HOME": str(tmp_path / "home"),
        "USERPROFILE": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"),
        "PYTHONIOENCODING": "utf-8",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(launcher: list[str], env: dict[str, str], tmp_path: Path) -> Run:
    """`run("python", "x.py", flags=["--mode", "replay"], CI="true")` under cachy-run, in an empty folder.

    `apart=True` keeps PYTHONPATH from cachy-run itself, for what only the command is to find there.
    """
    work = tmp_path / "work"
    work.mkdir()

    def start(
        *command: str | Path,
        flags: list[str] | None = None,
        stdin: str | None = None,
        apart: bool = False,
        **more: str,
    ) -> subprocess.CompletedProcess[str]:
        interpreter, *rest = launcher
        words = [interpreter, *(["-E"] if apart else []), *rest, *(flags or []), *map(str, command)]
        return subprocess.run(
            words,
            env=env | more,
            cwd=work,
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )

    return start


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a virtual environment in which nothing is installed."""
    return make_venv(tmp_path_factory.mktemp("bare") / "venv")


def make_venv(place: Path) -> Path:
    """Create a virtual environment and return its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    return place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


@pytest.fixture(scope="session")
def old_pythons() -> list[str]:
    """Interpreters on this machine that are older than what cachy supports."""
    names = ("2.7", "3.6", "3.7", "3.8", "3.9")
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [path for name in names if (path := shutil.which(f"python{name}")) and "shims" not in path]
    found += [str(path) for name in names for path in pyenv.glob(f"{name}.*/bin/python")]
    return found


@pytest.fixture(scope="session")
def httpx_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with copies of httpx and what it needs, and nothing else."""
    return copy(tmp_path_factory.mktemp("httpx_only"), "httpx")
