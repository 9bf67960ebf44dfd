"""The verbs on stores that are no JSONL file: the same recordings, the same answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cli.conftest import Run

from cachy.stores import open_store

SECRET = "sk-proj-Zq1Xw2Ec3Rv4Tb5Yn6Um7Ik8Ol9Pa0"


@pytest.fixture(params=["cachy/", "cachy.db"])
def other(store: Path, run: Run, request: pytest.FixtureRequest, project: Path) -> str:
    """A copy of the store of another kind, which is the project's."""
    name = str(request.param)
    assert run("copy", "cachy.jsonl", name)[0] == 0
    (project / "pyproject.toml").write_text(f'[tool.cachy]\nstore = "{name}"\n', "utf-8")
    return name


def test_reading(other: str, run: Run, keys: dict[str, str]) -> None:
    """Listed, found by the beginning of a key, shown, counted, checked."""
    listed = json.loads(run("ls", "--json")[1])["recordings"]
    assert sorted(found["key"] for found in listed) == sorted(keys.values())
    assert (
        run("show", keys["chat tool"][:9])[1] == run("show", keys["chat tool"], "--store", "cachy.jsonl")[1]
    )
    assert len(run("search", "whale")[1].splitlines()) == 1
    assert json.loads(run("stats", "--json")[1])["recordings"] == len(keys)
    assert "compact" not in run("stats")[2]  # which would free nothing
    assert run("verify")[::2] == (0, f"{len(keys)} recordings checked, nothing found\n")
    assert run("diff", keys["chat"], keys["dated"])[0] == 1


def test_tending(other: str, run: Run, keys: dict[str, str]) -> None:
    """Deleted, pruned, compacted, and brought under other keys."""
    assert run("rm", keys["chat"], "--yes")[0] == 0
    assert json.loads(run("prune", "--provider", "anthropic", "--yes", "--json")[1])["deleted"] == 3
    status, _, err = run("compact")
    assert status == 0
    assert err.startswith(f"{other} keeps itself compact" if other == "cachy/" else "cachy.db: ")
    with open("pyproject.toml", "a", encoding="utf-8") as file:
        file.write('ignore = ["messages[*].content:/bee/"]\n')
    assert json.loads(run("rekey", "--yes", "--json")[1])["moved"] == 1
    found = open_store(other)
    assert len(found) == len(keys) - 4
    assert keys["chat stream"] not in dict(found)
    found.close()
    assert run("verify")[0] == 0


def test_a_secret_in_it(other: str, run: Run, keys: dict[str, str]) -> None:
    """Found, and masked by rekey."""
    found = open_store(other)
    line = dict(found)[keys["dated"]].replace("größer".encode(), f"größer {SECRET}".encode())
    found.put(keys["dated"], line)
    found.close()
    (finding,) = json.loads(run("verify", "--json")[1])["findings"]
    assert (finding["key"], finding["what"], finding["number"]) == (
        keys["dated"],
        "a secret in response.text",
        None,
    )
    assert run("rekey", "--yes")[0] == 0
    assert run("verify")[0] == 0


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_what_is_staged_of_a_folder(
    store: Path, run: Run, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is one recording; what is wrong with it is told by its name."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    assert run("copy", "cachy.jsonl", "cachy/")[0] == 0
    store.unlink()
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", "add", "."], check=True)
    assert json.loads(run("verify", "--staged", "--json")[1])["findings"] == []
    leaky, torn = (Path("cachy", key[:2], f"{key}.rec") for key in (keys["ollama"], keys["chat"]))
    found = open_store("cachy/")
    found.put(
        keys["ollama"], dict(found)[keys["ollama"]].replace(b"What is a cow?", f"Use {SECRET}!".encode())
    )
    found.close()
    torn.write_bytes(torn.read_bytes()[:-5])
    subprocess.run(["git", "add", "."], check=True)
    findings = json.loads(run("verify", "--staged", "--json")[1])["findings"]
    assert {(finding["file"], finding["kind"]) for finding in findings} == {
        (leaky.as_posix(), "key"),
        (leaky.as_posix(), "secret"),
        (torn.as_posix(), "damaged"),
    }
