"""`cachy doctor`: what it finds where all is well, and in each kind of trouble."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import Run, ask

import cachy
from cachy.cli.doctor import clients, startup

Checks = dict[str, dict[str, Any]]


def looked(run: Run, *options: str, status: int) -> dict[str, Checks]:
    """The checks of each section by their names; of several with one name the last."""
    got, out, _ = run("doctor", "--json", *(options or ("--no-self-test",)))
    report = json.loads(out)
    assert (got, report["version"], report["ok"]) == (status, 1, not status)
    return {
        section: {check["name"]: check for check in checks} for section, checks in report["sections"].items()
    }


def test_where_all_is_well(store: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every section is there, the store is whole, and nothing is wrong."""
    monkeypatch.setenv("CACHY", "1")
    report = looked(run, status=0)
    assert list(report) == ["start-up", "settings", "clients", "SDKs", "other tools", "store"]
    assert report["start-up"]["start"]["status"] == "ok"
    assert report["settings"]["active"]["text"] == "yes, mode auto, store cachy.jsonl"
    assert report["store"]["recordings"]["text"].startswith("15 in cachy.jsonl, ")
    assert report["store"]["health"]["status"] == "ok"
    if find_spec("openai"):
        assert report["SDKs"]["openai"]["text"].endswith("through httpx2")
    if find_spec("xai_sdk"):
        assert report["SDKs"]["xai_sdk"]["text"].endswith("through aiohttp, grpcio, requests")
    out = run("doctor", "--no-self-test")[1]
    assert "\nclients\n  httpx            ok    0.28" in out


def test_why_it_is_not_active(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not asked for, switched off, not trusted: each with what to do about it."""
    assert looked(run, status=1)["settings"]["active"]["todo"] == "cachy trust"
    monkeypatch.setenv("CACHY", "0")
    active = looked(run, status=0)["settings"]["active"]
    assert (active["status"], active["text"]) == ("note", "no: CACHY=0 in the environment")
    monkeypatch.setenv("CACHY", "banana")
    active = looked(run, status=1)["settings"]["active"]
    assert active["text"] == "no: CACHY=banana in the environment is not understood"
    monkeypatch.delenv("CACHY")
    (project / "pyproject.toml").write_text("[tool.cachy]\nenabled = false\n", "utf-8")
    assert looked(run, status=0)["settings"]["active"]["text"] == "no: the settings switch it off"
    (project / "pyproject.toml").write_text("[project]\n", "utf-8")
    assert looked(run, status=0)["settings"]["active"]["text"] == "no: nothing asks for it"
    assert run("trust")[0] == 0
    for text in (
        "tool.cachy.mode = 'auto'\n",
        "[tool]\ncachy = {mode = 'auto'}\n",
        "[ tool . cachy ]\nmode = 'auto'\n",
    ):
        (project / "pyproject.toml").write_text(text, "utf-8")
        active = looked(run, status=1)["settings"]["active"]
        assert "sets tool.cachy without a line [tool.cachy], which start-up looks for" in active["text"]
        assert run("config")[1].startswith(
            "cachy is not active here, as tool.cachy stands in pyproject.toml without"
        )


def test_settings_that_are_wrong_or_surprise(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misspelt setting is wrong; that CI means replay is good to know."""
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("CACHY", "1")
    assert "from CI): nothing is called" in looked(run, status=0)["settings"]["mode"]["text"]
    (project / "pyproject.toml").write_text("[tool.cachy]\nstroe = 'x'\n", "utf-8")
    assert "did you mean store?" in looked(run, status=1)["settings"]["warning"]["text"]


def test_a_store_in_trouble(store: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Damaged lines, secrets, and a file that is none of ours."""
    monkeypatch.setenv("CACHY", "1")
    secret = "sk-proj-Zq1Xw2Ec3Rv4Tb5Yn6Um7Ik8Ol9Pa0"
    store.write_bytes(store.read_bytes().replace("größer".encode(), f"größer {secret}".encode(), 1))
    health = looked(run, status=1)["store"]["health"]
    assert (health["text"], health["todo"]) == ("1 line with a secret", "cachy verify")
    assert secret not in run("doctor", "--no-self-test", "--json")[1]
    store.write_bytes(store.read_bytes()[:-200])
    _, out, _ = run("doctor", "--no-self-test")
    assert "1 line damaged" in out
    store.write_text("name,price\ntea,3\n", "utf-8")
    assert "is not a file of recordings" in looked(run, status=1)["store"]["readable"]["text"]
    store.unlink()
    assert looked(run, status=0)["store"]["recordings"]["text"] == "none yet: cachy.jsonl does not exist"


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_what_git_knows(store: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not tracked, ignored, tracked; and whether two branches merge."""
    monkeypatch.setenv("CACHY", "1")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(store.parent.parent))
    assert "not in a git repository" in looked(run, status=0)["store"]["git"]["text"]
    subprocess.run(["git", "init", "-q"], check=True)
    facts = looked(run, status=0)["store"]
    assert (facts["git"]["todo"], facts["merges"]["todo"]) == ("git add cachy.jsonl", "cachy init")
    Path(".gitignore").write_text("*.jsonl\n", "utf-8")
    ignored = looked(run, status=0)["store"]["git"]
    assert "git ignores it" in ignored["text"]
    assert ignored["todo"] == "take *.jsonl (.gitignore:1) away, or git add --force cachy.jsonl"
    Path(".gitignore").write_text("*.jsonl\n!cachy.jsonl\n", "utf-8")
    assert looked(run, status=0)["store"]["git"]["todo"] == "git add cachy.jsonl"
    Path(".gitignore").unlink()
    assert run("init")[0] == 0
    subprocess.run(["git", "add", "."], check=True)
    facts = looked(run, status=0)["store"]
    assert (facts["git"]["text"], facts["merges"]["status"]) == ("it is tracked", "ok")


def test_what_git_knows_of_other_stores(store: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder is added as one; a database is nothing for git."""
    monkeypatch.setenv("CACHY", "1")
    subprocess.run(["git", "init", "-q"], check=True)
    for name in ("calls/", "calls.db"):
        assert run("copy", "cachy.jsonl", name)[0] == 0
    monkeypatch.setenv("CACHY_STORE", "calls/")
    assert looked(run, status=0)["store"]["git"]["todo"] == "git add calls"
    monkeypatch.setenv("CACHY_STORE", "calls.db")
    assert {"git", "merges"}.isdisjoint(looked(run, status=0)["store"])
    subprocess.run(["git", "add", "."], check=True)
    facts = looked(run, status=0)["store"]
    assert facts["git"]["todo"] == "git rm --cached calls.db, and add calls.db* to .gitignore"
    assert "merges" not in facts
    monkeypatch.setenv("CACHY_STORE", "calls/")
    assert looked(run, status=0)["store"]["git"]["text"] == "it is tracked"


def test_git_has_no_part_outside_of_a_project(store: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """There the store lies in the user's cache folder, and nobody means to commit it."""
    elsewhere = store.parent.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    facts = json.loads(run("doctor", "--no-self-test", "--json", "--store", str(store))[1])["sections"][
        "store"
    ]
    assert [check["name"] for check in facts] == ["recordings", "health"]


def test_the_last_miss_is_named(store: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the verb that explains it."""
    monkeypatch.setenv("CACHY", "1")
    with cachy.using("replay", store=store, hosts=["127.0.0.1:*"]), pytest.raises(cachy.Miss):
        ask("http://127.0.0.1:9", "chat", temperature=1.5)
    missed = looked(run, status=0)["store"]["last miss"]
    assert "temperature" in missed["text"]
    assert missed["todo"] == "cachy diff @last"


@pytest.mark.parametrize(
    ("homes", "todo"),
    [
        (["cachy-run"], "pip install --force-reinstall cachy-run into this environment, or use cachy-run"),
        ([], "pip install cachy-run into this environment, or use cachy-run"),
    ],
    ids=["file is lost", "not installed"],
)
def test_a_python_that_starts_without_cachy(
    monkeypatch: pytest.MonkeyPatch, homes: list[str], todo: str
) -> None:
    """Installing again brings the start-up file back; pip would not do it unasked for what is there already."""
    monkeypatch.setattr(startup, "_start", lambda more: "")
    (check,) = [check for check in startup.checks(homes) if check.name == "start"]
    assert (check.status, check.todo) == ("wrong", todo)


def test_another_package_of_that_name(
    project: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pycachy beside it would overwrite half of it."""
    facts = tmp_path / "other" / "pycachy-0.0.22.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: pycachy\nVersion: 0.0.22\n", "utf-8")
    (facts / "top_level.txt").write_text("cachy\n", "utf-8")
    monkeypatch.syspath_prepend(str(facts.parent))
    monkeypatch.setenv("CACHY", "1")
    other = looked(run, status=1)["start-up"]["other cachy"]
    assert other["todo"] == "pip uninstall pycachy, then pip install --force-reinstall --no-deps cachy-run"


def test_tools_that_answer_too(
    project: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is installed of them is named, with what becomes of calls."""
    facts = tmp_path / "other" / "vcrpy-9.4.2.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: vcrpy\nVersion: 9.4.2\n", "utf-8")
    monkeypatch.syspath_prepend(str(facts.parent))
    monkeypatch.setenv("CACHY", "1")
    assert (
        looked(run, status=0)["other tools"]["vcrpy"]["text"] == "9.4.2; its cassettes win inside their scope"
    )


@pytest.mark.slow
def test_every_installed_client_is_tried(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a Python of its own: one call arrives, the second one is replayed, in each way that the client has."""
    monkeypatch.setenv("CACHY", "1")
    monkeypatch.setenv("CI", "true")
    report = looked(run, "--json", status=0)["clients"]
    assert report["httpx"]["text"].endswith("patched; sync and async calls recorded and replayed")
    assert {check["status"] for check in report.values()} == {"ok"}
    assert {"httpx", "aiohttp", "urllib3", "requests", "botocore", "lm15", "grpc"} <= set(report)
    assert report["grpc"]["text"].endswith("patched; sync and async calls recorded and replayed")
    assert sorted(os.listdir(project)) == ["pyproject.toml"]


BROKEN = {
    "raise ImportError('no such engine')": "the self-test failed: ImportError: no such engine",
    "def post(url, **_): pass": "the self-test failed: ",
    "import urllib.request\nclass A: text = 'live'\ndef post(url, **_): return A\nclass AsyncClient:\n"
    "    def __init__(self, **_): pass\n    async def __aenter__(self): return self\n"
    "    async def __aexit__(self, *_): pass\n    async def post(self, url, **_): return A": "is patched, but its calls are not recorded",
}


@pytest.mark.slow
@pytest.mark.parametrize("code", BROKEN, ids=["import fails", "other API", "calls pass by"])
def test_a_client_that_does_not_work_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """Whatever is wrong with it, the doctor goes on and says what."""
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "httpx.py").write_text(code, "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fake"))
    with clients.serving() as (url, calls):
        check = clients.tried("httpx", "1.0", url, calls)
    assert check.status == "wrong"
    assert BROKEN[code] in check.text or "is not patched" in check.text


def test_clients_that_are_not_there(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without any is told so."""
    monkeypatch.setattr(clients, "find_spec", lambda name: None)
    monkeypatch.setenv("CACHY", "1")
    report = looked(run, status=0)
    assert report["clients"]["clients"]["status"] == "note"
    assert report["SDKs"] == {}


def test_the_probe_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without cachy switched on every call arrives, and nothing is patched."""
    pytest.importorskip("urllib3")
    with clients.serving() as (url, calls):
        environ = {**os.environ, "CACHY": "0"}
        done = subprocess.run(
            [sys.executable, "-m", "cachy.cli.doctor.probe", "urllib3", url],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
        answer = json.loads(done.stdout)
        assert answer["patched"] is False
        assert len(set(answer["answers"]["sync"])) == len(calls) == 2
