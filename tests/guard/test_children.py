"""Child programs that cachy does not reach are told of, where that can be seen, and only then."""

from __future__ import annotations

import asyncio
import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cachy

Enable = Callable[..., None]
NOTHING = [sys.executable, "-c", ""]


@pytest.fixture
def program(tmp_path: Path) -> str:
    """A program that is no Python as far as its name tells."""
    link = tmp_path / "node"
    try:
        link.symlink_to(sys.executable)
    except OSError:
        pytest.skip("no symbolic links here")
    return str(link)


def told(capfd: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capfd.readouterr().err.splitlines() if line.startswith("cachy: ")]


@pytest.mark.parametrize(
    "words", [["https://api.openai.com/v1"], ["--base-url=https://api.openai.com/v1"]], ids=["url", "option"]
)
def test_a_program_that_is_given_a_providers_url_is_told_once(
    words: list[str], program: str, enable: Enable, capfd: pytest.CaptureFixture[str]
) -> None:
    """One line, with the host and the place; the program runs, in replay mode as well, and nothing is counted."""
    enable("replay")
    for _ in range(2):
        assert subprocess.run([program, "-c", "", *words], check=True).returncode == 0
    (line,) = told(capfd)
    assert "node (started at " in line
    assert "test_children.py" in line
    assert "api.openai.com" in line
    assert cachy.stats().handled == 0


def test_a_key_that_is_handed_over_is_told(
    program: str, enable: Enable, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A key that only the child has is meant for use; one that every child inherits says nothing."""
    enable()
    monkeypatch.setenv("OPENAI_API_KEY", "inherited")
    subprocess.run([program, "-c", ""], check=True)
    subprocess.run([program, "-c", ""], check=True, env=dict(os.environ))
    assert told(capfd) == []
    asyncio.run(run_with(program, {**os.environ, "ANTHROPIC_API_KEY": "its own"}))
    (line,) = told(capfd)
    assert "ANTHROPIC_API_KEY" in line
    assert "its own" not in line


async def run_with(program: str, env: dict[str, str]) -> None:
    child = await asyncio.create_subprocess_exec(program, "-c", "", env=env)
    await child.wait()


def test_a_python_without_cachy_in_its_environment_is_told(
    enable: Enable, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A Python child is reached through `CACHY`; one with a key and an environment without it is not."""
    enable()
    monkeypatch.setenv("CACHY", "auto")
    key = {"OPENAI_API_KEY": "sk-x"}
    subprocess.run(NOTHING, check=True, env={**os.environ, **key})
    assert told(capfd) == []
    bare = {name: value for name, value in os.environ.items() if not name.startswith("CACHY")}
    subprocess.run(NOTHING, check=True, env=bare)
    assert told(capfd) == []
    subprocess.run(NOTHING, check=True, env={**bare, **key})
    (line,) = told(capfd)
    assert "OPENAI_API_KEY" in line


def test_an_agents_own_program_is_told(
    tmp_path: Path, enable: Enable, capfd: pytest.CaptureFixture[str]
) -> None:
    """The command line that claude-agent-sdk starts calls models in Node."""
    enable()
    with pytest.raises(OSError):
        subprocess.run([str(tmp_path / "claude"), "--print"], check=True)
    (line,) = told(capfd)
    assert line.startswith("cachy: claude (started at ")


@pytest.mark.parametrize(
    "words",
    [["-c", "", "https://example.com/"], ["-c", ""], ["-c", "", "://"], ["-c", "", "http://[::1:x/"]],
)
def test_other_children_pass_without_a_word(
    words: list[str], program: str, enable: Enable, capfd: pytest.CaptureFixture[str]
) -> None:
    """No provider, no word; what is no URL breaks nothing."""
    enable()
    subprocess.run([program, *words], check=True)
    assert told(capfd) == []


def test_the_words_of_a_child_are_not_used_up(enable: Enable) -> None:
    """`Popen` takes any iterable, and gets it whole."""
    enable()
    assert subprocess.Popen(iter(NOTHING)).wait(30) == 0


def test_popen_looks_the_same(enable: Enable) -> None:
    """Its signature is what it was: other tools read it."""
    before = inspect.signature(subprocess.Popen)
    enable()
    assert inspect.signature(subprocess.Popen) == before


def test_switched_off_nothing_is_told(
    program: str, enable: Enable, capfd: pytest.CaptureFixture[str]
) -> None:
    """`guard=False` is for children too."""
    enable(guard=False)
    subprocess.run([program, "-c", "", "https://api.openai.com/v1"], check=True)
    assert told(capfd) == []


def test_a_string_of_words(program: str, enable: Enable, capfd: pytest.CaptureFixture[Any]) -> None:
    """A command line in one piece, for a shell, is read as well."""
    enable()
    subprocess.run(f'"{program}" -c "" https://api.openai.com/v1', shell=True, check=True)
    (line,) = told(capfd)
    assert "api.openai.com" in line
