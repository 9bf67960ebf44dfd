"""docs/ci.md: its snippets are those of `cachy init --ci`, and their commands do what they are there for."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from chat_provider import ASK, Provider
from environments import TREE, clean

from cachy.cli import ci

DOC = (TREE / "docs" / "ci.md").read_text("utf-8")
SNIPPETS = dict(zip(("github", "gitlab"), re.findall(r"```yaml\n(.*?)```", DOC, re.S), strict=False))


@pytest.mark.parametrize("service", ["github", "gitlab"])
def test_the_document_has_what_init_writes(service: str) -> None:
    """One text, in two places; the file is named in the document."""
    name, job = ci.SERVICES[service]
    assert job == SNIPPETS[service]
    assert f"`{name}`" in DOC


def commands(service: str) -> list[str]:
    """The commands of a snippet, in their order."""
    return re.findall(
        r"^ +- (?:run: )?(\w+ [^\n]*[^\n:])$", SNIPPETS[service].replace("uses: ", "uses:"), re.M
    )


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.stop()


@pytest.mark.slow
@pytest.mark.parametrize("service", ["github", "gitlab"])
def test_the_commands_replay_without_a_key_and_fail_on_a_live_call(
    service: str, tmp_path: Path, provider: Provider
) -> None:
    """In a project whose calls are committed; what installs is left to the service."""
    install, *todo = commands(service)
    assert install == "pip install . pytest cachy-run"
    assert len(todo) == 2
    (tmp_path / "home").mkdir()
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = ["."]\n')
    (project / "ask.py").write_text(ASK)
    (project / "test_a.py").write_text(
        "from ask import ask\n\ndef test_a():\n    assert ask('one') == 'one! (1)'\n"
    )
    scripts = os.path.dirname(sys.executable)
    env = clean(
        HOME=str(tmp_path / "home"),
        USERPROFILE=str(tmp_path / "home"),
        OPENAI_BASE_URL=provider.url,
        PATH=os.pathsep.join([scripts, os.environ["PATH"]]),
    )

    def run(command: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            shlex.split(command), cwd=project, env=env | more, capture_output=True, text=True, check=False
        )

    assert run("pytest --cachy auto").returncode == 0
    for command in todo:
        done = run(command, CI="true")
        assert done.returncode == 0, done.stdout + done.stderr
    (project / "test_b.py").write_text(
        "import pytest\nfrom ask import ask\n\n@pytest.mark.cachy(mode='auto')\ndef test_b():\n    ask('two')\n"
    )
    done = run(todo[0], CI="true")
    assert done.returncode == 1
    assert "cachy: failed, as --cachy-fail-on says: 1 call made live, in test_b.py::test_b" in done.stdout
    (project / "test_b.py").write_text("from ask import ask\n\ndef test_b():\n    ask('three')\n")
    done = run(todo[0], CI="true")
    assert done.returncode == 1
    assert "cachy.Miss: " in done.stdout
    assert provider.asked == ["one", "two"]


@pytest.mark.slow
def test_the_pre_commit_hook_finds_a_secret_that_is_staged(tmp_path: Path) -> None:
    """The command of `.pre-commit-hooks.yaml`, in a real repository."""
    if not (TREE / ".pre-commit-hooks.yaml").exists():
        pytest.skip("not in the source distribution: pre-commit reads it from the repository")
    hook = (TREE / ".pre-commit-hooks.yaml").read_text("utf-8")
    (entry,) = re.findall(r"^  entry: (.*)$", hook, re.M)
    (name,) = re.findall(r"^- id: (.*)$", hook, re.M)
    assert f"- id: {name}" in DOC
    env = clean(
        HOME=str(tmp_path),
        USERPROFILE=str(tmp_path),
        PATH=os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]),
    )

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    def stage(content: str) -> None:
        facts = {"status": 200, "ms": 1, "headers": [], "text": json.dumps({"content": content})}
        line = {"key": "ab" * 16, "v": 1, "at": "2026-11-23T08:00:00Z", "provider": "openai", "request": {}}
        text = json.dumps({**line, "response": facts}, separators=(",", ":"))
        (tmp_path / "cachy.jsonl").write_text(text + "\n")
        assert run("git", "add", "cachy.jsonl").returncode == 0

    assert run("git", "init", "-q").returncode == 0
    stage("nothing to hide")
    done = run(*shlex.split(entry))
    assert done.returncode == 0, done.stdout + done.stderr
    stage("the key is sk-proj-" + "Ab3" * 16)
    done = run(*shlex.split(entry))
    assert done.returncode == 1
    assert "cachy.jsonl" in done.stdout
    assert "Ab3Ab3" not in done.stdout + done.stderr
