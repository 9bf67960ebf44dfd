"""The main job: `CACHY=1 python script.py`, with nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from environments import clean
from sdk.provider import Provider
from sdk.replaying import KEY

pytest.importorskip("openai", "3")
pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).parent / "programs" / "ask_openai.py"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(provider: Provider, tmp_path: Path) -> Run:
    """`run(CACHY="1")`: the script in a fresh process, in a folder and a home of its own."""

    def start(**more: str) -> subprocess.CompletedProcess[str]:
        env = clean(HOME=str(tmp_path), USERPROFILE=str(tmp_path), LOCALAPPDATA=str(tmp_path))
        return subprocess.run(
            [sys.executable, str(PROGRAM)],
            env=env | {"OPENAI_BASE_URL": provider.url + "/v1"} | more,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )

    return start


def test_the_second_run_needs_neither_provider_nor_key(run: Run, provider: Provider, tmp_path: Path) -> None:
    """The second run prints the same with the provider gone and another key; no key is in store or messages."""
    first = run(CACHY="1", OPENAI_API_KEY=KEY)
    assert first.returncode == 0, first.stderr
    assert first.stderr.startswith("cachy  3 recorded · ")
    assert first.stderr.count("\n") == 1
    assert len(provider.calls) == 3
    provider.stop()
    second = run(CACHY="1", OPENAI_API_KEY="another-key-or-none")
    assert (second.returncode, second.stdout) == (0, first.stdout), second.stderr
    assert second.stderr.startswith("cachy  3 replayed · ")
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert any(b"Which city?" in content for content in kept)
    assert all(KEY.encode() not in content for content in kept)
    assert KEY not in first.stderr + second.stderr


def test_without_cachy_nothing_changes(run: Run, provider: Provider, tmp_path: Path) -> None:
    """Without CACHY=1 the same script calls, prints what it would, and leaves nothing behind."""
    first = run(OPENAI_API_KEY=KEY)
    assert (first.returncode, first.stderr) == (0, "")
    assert "Answer 1 to" in first.stdout
    assert len(provider.calls) == 3
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_miss_tells_what_to_do_without_the_key(run: Run, provider: Provider) -> None:
    """In replay mode a script without recordings ends at once, with the place in the script, without the key."""
    done = run(CACHY="replay", OPENAI_API_KEY=KEY)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "cachy.Miss: nothing like it is recorded" in done.stderr
    assert "ask_openai.py:7" in done.stderr
    assert "to record it: CACHY=auto " in done.stderr
    assert KEY not in done.stderr
    assert provider.calls == []
