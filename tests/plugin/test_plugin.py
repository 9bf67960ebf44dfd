"""The page on writing a provider, followed to the letter: its package, installed beside cachy in a fresh environment."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from environments import TREE, clean, executable, install, make_venv, site_packages
from installed import copy
from sdk.provider.server import Answer, Provider, Request, whole

pytestmark = pytest.mark.slow

PAGE = (TREE / "docs" / "providers.md").read_text("utf-8")
PROGRAM = Path(__file__).parent / "brew.py"
KEY = "tea-key-0123456789abcdef0123456789"
TELL = """
import importlib.metadata, json
from cachy.exchange import Body, Request, Response
from cachy.providers import by_name, names
ours = importlib.metadata.distribution("cachy-run").entry_points
print(json.dumps([
    names(),
    sorted(point.name for point in ours if point.group == "cachy.providers"),
    by_name("acme").usage(Request("POST", "https://a/", (), Body(b"four")), Response(200, (), b"seven..")).output,
]))
"""


def blocks(language: str) -> list[str]:
    """The code of the page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with cachy, httpx and the package of the page."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("acme")
    (code,), (project,) = blocks("python"), blocks("toml")
    (folder / "acme_cachy.py").write_text(code, "utf-8")
    (folder / "pyproject.toml").write_text(project, "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel"],
        cwd=folder,
        env=clean(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    venv = make_venv(folder / "venv")
    install(venv, wheel, *folder.glob("dist/*.whl"))
    copy(site_packages(venv), "httpx", "platformdirs", "tomli", "importlib-metadata")
    return executable(venv)


@pytest.fixture
def acme() -> Iterator[Provider]:
    """The service: a job that is ready at the second look, and a kettle that is empty."""

    def brew(request: Request) -> Answer:
        return whole({"id": request.number, "phase": "brewing"})

    def look(request: Request) -> Answer:
        looks = sum(call.method == "GET" for call in running.calls)
        return whole({"phase": "brewing" if looks < 2 else "ready", "tea": request.number})

    def kettle(request: Request) -> Answer:
        return whole({"state": "EMPTY", "number": request.number})

    running = Provider([("POST", "/brew", brew), ("GET", r"/jobs/\d+", look), ("POST", "/kettle", kettle)])
    yield running
    running.stop()


@pytest.fixture
def run(python: Path, acme: Provider, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def start(mode: str, key: str = KEY) -> subprocess.CompletedProcess[str]:
        env = clean(HOME=str(tmp_path), USERPROFILE=str(tmp_path), LOCALAPPDATA=str(tmp_path))
        env |= {"ACME_BASE_URL": acme.url, "ACME_API_KEY": key, "CACHY": mode}
        env |= {"CACHY_STORE": str(tmp_path / "calls.jsonl")}
        return subprocess.run(
            [str(python), str(PROGRAM)], env=env, cwd=tmp_path, capture_output=True, text=True, check=False
        )

    return start


def test_the_code_of_the_page_is_twenty_lines() -> None:
    """The page promises a provider in 20 lines of code, blank lines and imports aside."""
    (code,) = blocks("python")
    lines = [line for line in code.splitlines() if line.strip() and not line.startswith("from ")]
    assert len(lines) <= 20


def test_a_plugin_records_and_replays(
    run: Callable[..., subprocess.CompletedProcess[str]], acme: Provider, tmp_path: Path
) -> None:
    """Calls to a third party's service are recorded by its own rules and replayed in a fresh process."""
    first = run("1")
    assert first.returncode == 0, first.stderr
    assert "looks: 2" in first.stdout
    # The first look said "brewing" and the kettle was empty: the plugin's own reasons not to record.
    assert first.stderr.startswith("cachy  2 recorded · 2 not recorded"), first.stderr
    assert KEY not in (tmp_path / "calls.jsonl").read_text("utf-8")
    acme.calls.clear()
    second = run("1", key="another")
    assert "looks: 1" in second.stdout
    assert [call.path for call in acme.calls] == ["/kettle"]
    acme.stop()
    third = run("replay", key="another")
    assert third.returncode == 1
    assert "cachy.Miss" in third.stderr
    assert "/kettle" in third.stderr


def test_the_wheel_registers_its_own_providers_too(python: Path, tmp_path: Path) -> None:
    """The installed distribution has its entry points, and the plugin is one provider more, found by its name."""
    done = subprocess.run(
        [str(python), "-c", TELL], env=clean(), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    names, ours, output = json.loads(done.stdout)
    assert {"acme", "openai", "plain"} <= set(names)
    assert {"openai", "google", "plain"} <= set(ours)
    assert output == len("seven..")


def test_the_checked_words_of_the_page(python: Path, tmp_path: Path) -> None:
    """Every field that the page's table names is one that a provider has, and none is left out."""
    code = (
        "import dataclasses, cachy.providers as p; print(*[f.name for f in dataclasses.fields(p.Provider)])"
    )
    done = subprocess.run(
        [str(python), "-c", code], env=clean(), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    table = PAGE[PAGE.index("## What a provider can say") :]
    named = {name for row in re.findall(r"^\| (`.*?) \|", table, re.M) for name in re.findall(r"`(\w+)", row)}
    assert named == set(done.stdout.split())
