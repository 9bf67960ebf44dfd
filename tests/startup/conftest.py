"""Fresh virtual environments with a wheel of this tree, and clean child processes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from environments import clean, executable, install, make_venv, site_packages
from installed import copy

import cachy

PARENT = str(Path(cachy.__file__).parent.parent)
"""The folder that holds the cachy under test, be it the tree or an environment's site-packages."""

Child = Callable[..., "subprocess.CompletedProcess[str]"]


def pythons() -> dict[str, str]:
    """One interpreter for each Python version from 3.10 that this machine has, the running one first."""
    found = {f"{sys.version_info[0]}.{sys.version_info[1]}": sys.executable}
    for minor in range(10, 20):
        path = shutil.which(f"python3.{minor}")
        if path and "shims" not in path:  # a shim of pyenv may stand for a version that is not switched on
            found.setdefault(f"3.{minor}", path)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for path in sorted(pyenv.glob("3.*/bin/python")):
        version = re.fullmatch(r"(3\.(\d+))\.\d+(t?)", path.parts[-3])
        if version and int(version[2]) >= 10:
            found.setdefault(version[1] + version[3], str(path))
    return found


PYTHONS = pythons()


@pytest.fixture
def child(tmp_path: Path) -> Child:
    """`child(python, "-c", code, cwd=..., CACHY="1")`: a process with a clean environment and its own home."""
    home = tmp_path / "home"
    home.mkdir()

    def run(
        *words: str | Path, cwd: Path | None = None, without: tuple[str, ...] = (), **more: str
    ) -> subprocess.CompletedProcess[str]:
        env = clean(HOME=str(home), USERPROFILE=str(home)) | more
        for name in without:
            env.pop(name, None)
        return subprocess.run(
            [str(word) for word in words],
            cwd=cwd or home,
            env=env,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )

    return run


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a `pyproject.toml` that asks for cachy."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text("[tool.cachy]\n")
    return folder


@pytest.fixture
def bound(tmp_path: Path) -> list[str]:
    """Words in front of a command that bind it to the modes of files, by which root is not bound otherwise."""
    words: list[str] = []
    if hasattr(os, "getuid") and os.getuid() == 0 and sys.platform == "linux":
        # PR_CAPBSET_DROP of CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: gone after the next exec.
        drop = "libc = ctypes.CDLL(None); libc.prctl(24, 1); libc.prctl(24, 2)"
        words = [
            sys.executable,
            "-c",
            f"import ctypes, os, sys; {drop}; os.execv(sys.argv[1], sys.argv[1:])",
        ]
    locked = tmp_path / "locked"
    locked.mkdir(0o555)
    code = "import os, sys; sys.exit(os.access(sys.argv[1], os.W_OK))"
    if subprocess.run([*words, sys.executable, "-c", code, locked], check=False).returncode:
        pytest.skip("nothing binds this user to the modes of files")
    return words


Python = Callable[[str], Path]


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Python:
    """`bare("3.12")`: the interpreter of an environment that has no cachy."""
    made: dict[str, Path] = {}

    def python(version: str) -> Path:
        if version not in made:
            made[version] = make_venv(tmp_path_factory.mktemp("bare") / "venv", PYTHONS[version])
        return executable(made[version])

    return python


@pytest.fixture(scope="session")
def equipped(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Python:
    """`equipped("3.12")`: the interpreter of an environment with the wheel, in a project that asks for cachy."""
    made: dict[str, Path] = {}

    def python(version: str) -> Path:
        if version not in made:
            folder = tmp_path_factory.mktemp("equipped")
            (folder / "pyproject.toml").write_text("[tool.cachy]\n")
            venv = make_venv(folder / ".venv", PYTHONS[version])
            install(venv, wheel)
            made[version] = venv
        return executable(made[version])

    return python


@pytest.fixture
def own(wheel: Path, tmp_path: Path) -> Path:
    """An environment with the wheel for one test alone, which may spoil it."""
    venv = make_venv(tmp_path / "venv")
    install(venv, wheel)
    return venv


HERE = next(iter(PYTHONS))
"""The version that runs the tests."""


@pytest.fixture(scope="session")
def complete(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel, all that it needs, httpx2 and grpcio, in a folder of its own."""
    venv = make_venv(tmp_path_factory.mktemp("complete") / ".venv")
    install(venv, wheel)
    copy(site_packages(venv), "grpcio", "httpx", "httpx2", "platformdirs", "protobuf", "tomli")
    return executable(venv)


@pytest.fixture
def around(complete: Path) -> Iterator[Callable[[bytes], Path]]:
    """`around(b"[tool.cachy]")`: the project that the environment `complete` lies in, with this pyproject.toml."""
    file = folder_around(complete) / "pyproject.toml"

    def write(text: bytes) -> Path:
        file.write_bytes(text)
        return file.parent

    yield write
    file.unlink(missing_ok=True)


def folder_around(python: Path) -> Path:
    """The folder that the environment of an interpreter lies in."""
    return python.parents[2]
