"""The wheel of this tree, built once for all tests that install it."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from environments import TREE, checked, clean
from hypothesis import settings

# A busy machine is no reason to fail.
settings.register_profile("cachy", deadline=None)
settings.load_profile("cachy")


@pytest.fixture(autouse=True)
def misses_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the misses of a test are noted: not among those of the person who runs the tests."""
    folder = tmp_path / "misses"
    monkeypatch.setattr("cachy.explain.misses._folder", lambda: str(folder))
    return folder


@pytest.fixture(autouse=True)
def index_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the indexes of a test's large stores lie."""
    folder = tmp_path / "cache" / "index"
    monkeypatch.setattr("cachy.stores.side_files.folder", lambda: str(folder))
    return folder


@pytest.fixture(scope="session")
def leases_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all tests hold their leases: not among those of the person who runs them."""
    return tmp_path_factory.mktemp("leases")


@pytest.fixture(autouse=True)
def _leases(leases_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cachy.stores.leases.user_folder", lambda _: str(leases_folder))


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a build needs, so that no build writes into the tree."""
    copy = tmp_path_factory.mktemp("source") / "tree"
    shutil.copytree(TREE / "cachy", copy / "cachy", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("cachy.pth", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(TREE / name, copy)
    return copy


@pytest.fixture(scope="session")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    place = tmp_path_factory.mktemp("wheel")
    if importlib.util.find_spec("hatchling"):
        done = subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)],
            cwd=source,
            env=clean(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    else:
        checked(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", place, source)
    (built,) = place.glob("*.whl")
    return built
