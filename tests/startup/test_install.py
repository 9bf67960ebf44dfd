"""Installing and uninstalling for real: the wheel, an editable install and the sdist, with pip and with uv."""

from __future__ import annotations

import configparser
import email
import importlib.metadata
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from environments import TREE, checked, clean, executable, make_venv, site_packages, uv
from installed import copy
from packaging.requirements import Requirement

import cachy

from .conftest import Child

pytestmark = pytest.mark.slow

LINE = "import cachy._bootstrap\n"
# How a child tells what it is: whether cachy is there, and whether it is armed.
TELL = (
    "import importlib.util, sys; print(bool(importlib.util.find_spec('cachy')), 'cachy.hooks' in sys.modules)"
)


def files(folder: Path) -> set[str]:
    """All files below a folder; without bytecode, which Python writes when it likes."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if "__pycache__" not in path.parts}


def build(kind: str, source: Path, place: Path) -> Path:
    """Build a wheel or an sdist with the backend that is installed here; nothing is downloaded."""
    pytest.importorskip("hatchling")
    words = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(place)]
    done = subprocess.run(words, cwd=source, env=clean(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = place.iterdir()
    return built


def test_the_tests_use_what_is_installed() -> None:
    """`import cachy` gives the installed package, and the tree only where the installation is an editable one."""
    installed = Path(str(importlib.metadata.distribution("cachy-run").locate_file("cachy")))
    assert Path(cachy.__file__).parent == (installed if installed.exists() else TREE / "cachy")


# Environments


@pytest.mark.parametrize("kind", ["wheel", "editable"])
@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_the_door_comes_and_goes(
    tool: str, kind: str, wheel: Path, source: Path, child: Child, tmp_path: Path
) -> None:
    """`cachy.pth` lies at the root of site-packages and acts; uninstalling leaves nothing of ours behind."""
    if kind == "editable":
        pytest.importorskip("editables")
    venv = tmp_path / "venv"
    python = executable(venv)
    if tool == "pip":
        checked(sys.executable, "-m", "venv", venv)
        words: list[str | Path] = [python, "-m", "pip"]
        there, yes = ["--no-index"], ["--yes"]
    else:
        words = [*(uv() or pytest.skip("there is no uv")), "pip"]
        make_venv(venv)
        there, yes = ["--offline", "--python", str(python)], ["--python", str(python)]
    copy(site_packages(venv), "hatchling", "editables")  # the build needs no isolation, and so no network
    before = files(venv)

    what = [wheel] if kind == "wheel" else ["--no-build-isolation", "--editable", source]
    checked(*words, "install", *there, "--no-deps", *what)
    door = site_packages(venv) / "cachy.pth"
    assert door.read_bytes() == LINE.encode()
    assert child(python, "-c", TELL, CACHY="1").stdout == "True True\n"
    assert child(python, "-c", TELL, CACHY="0").stdout == "True False\n"
    assert (site_packages(venv) / "cachy").exists() == (kind == "wheel")

    checked(*words, "uninstall", *yes, "cachy-run")
    assert files(venv) - {".lock"} == before  # the lock is uv's
    done = child(python, "-c", TELL, CACHY="1")
    assert (done.stdout, done.stderr) == ("False False\n", "")


def test_both_commands_are_there(own: Path, child: Child) -> None:
    """`cachy` and `cachy-run` start with nothing but the wheel, though not all that it needs, installed."""
    commands = executable(own).parent
    done = child(commands / "cachy", "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"cachy {cachy.__version__}\n", "")
    tell = child(commands / "cachy-run", executable(own), "-c", f"{TELL}; sys.exit(3)")
    assert (tell.returncode, tell.stdout) == (3, "True True\n")


def test_the_callable_of_a_start_file(own: Path, child: Child) -> None:
    """There is no `cachy.start` yet; what it would name (PEP 829) takes no argument and acts once."""
    assert not list(site_packages(own).glob("*.start"))
    (site_packages(own) / "cachy.pth").unlink()  # as if Python no longer ran it
    code = (
        "import pkgutil, sys; start = pkgutil.resolve_name('cachy._bootstrap:start'); print(start(), start());"
        " print(sum(type(finder).__module__ == 'cachy.hooks' for finder in sys.meta_path))"
    )
    done = child(executable(own), "-c", code, CACHY="1")
    assert (done.stdout, done.stderr) == ("None None\n1\n", "")


# What is in them


def test_the_wheel_holds_the_package_and_the_door(wheel: Path) -> None:
    """Nothing of the tests or the tree gets into site-packages, and no file of the package is missing."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert archive.read("cachy.pth") == LINE.encode() == (TREE / "cachy.pth").read_bytes()
    package = {f"cachy/{name}" for name in files(TREE / "cachy") if (TREE / "cachy" / name).is_file()}
    assert names == {"cachy.pth"} | {name.replace("\\", "/") for name in package}
    assert {"cachy/py.typed", "cachy/_bootstrap/_path/sitecustomize.py"} <= names


def test_the_metadata_says_what_is_needed(wheel: Path) -> None:
    """The names, the Python, and each dependency where it is needed; anything else comes with an extra."""
    with zipfile.ZipFile(wheel) as archive:
        (folder,) = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        metadata = email.message_from_bytes(archive.read(f"{folder}/METADATA"))
        scripts = configparser.ConfigParser()
        scripts.read_string(archive.read(f"{folder}/entry_points.txt").decode())
    assert (metadata["name"], metadata["version"]) == ("cachy-run", cachy.__version__)
    assert metadata["requires-python"] == ">=3.10"
    needs = [Requirement(text) for text in metadata.get_all("requires-dist", [])]
    assert {(need.name, str(need.marker or "")) for need in needs if "extra ==" not in str(need.marker)} == {
        ("httpx", ""),
        ("platformdirs", ""),
        ("rich", ""),
        ("tomli", 'python_version < "3.11"'),
        ("importlib-metadata", 'python_version < "3.12"'),
    }
    assert dict(scripts["console_scripts"]) == {"cachy": "cachy.cli:main", "cachy-run": "cachy.cli.run:main"}


def test_the_sdist_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    """Who packages cachy from the sdist gets the files of our wheel, and the tests with all that they read."""
    sdist = build("sdist", TREE, tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    unpacked = tmp_path / sdist.name.removesuffix(".tar.gz")
    again = build("wheel", unpacked, tmp_path / "again")
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as other:
        assert {name: one.read(name) for name in one.namelist()} == {
            name: other.read(name) for name in other.namelist()
        }
    for name in ("tests", "bench"):
        assert files(unpacked / name) == files(TREE / name)
    assert {"pyproject.toml", "cachy.pth", "README.md", "CHANGELOG.md", "LICENSE"} <= files(unpacked)
