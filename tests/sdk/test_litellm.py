"""LiteLLM, newest version that installs, in an environment of its own: it pins versions of the other SDKs.

Its sync calls go over httpx, its async ones over httpx with a transport of its own on aiohttp; what it sends has the
shapes of OpenAI, Anthropic and Gemini.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from environments import clean, environment
from sdk.provider import Provider
from sdk.replaying import KEY

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).parent / "programs" / "ask_litellm.py"
MODELS = ("openai/gpt-5.2", "anthropic/claude-opus-5", "gemini/gemini-3-flash")
Ask = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with LiteLLM and cachy."""
    # LiteLLM imports mcp when there are tools, and does not ask for it.
    return environment(tmp_path_factory.mktemp("litellm"), wheel, ("litellm>=1.100", "mcp"))


@pytest.fixture
def ask(python: Path, provider: Provider, tmp_path: Path) -> Ask:
    """`ask("sync", CACHY="1")`: a fresh process that makes calls to the loopback provider."""

    def run(*parts: str, **more: str) -> subprocess.CompletedProcess[str]:
        env = clean(
            HOME=str(tmp_path),
            USERPROFILE=str(tmp_path),
            OPENAI_API_BASE=provider.url + "/v1",
            ANTHROPIC_API_BASE=provider.url + "/anthropic",
            GEMINI_API_BASE=provider.url + "/gemini/v1beta",
            PYTHONDONTWRITEBYTECODE="",  # LiteLLM is large
            LITELLM_LOCAL_MODEL_COST_MAP="True",  # else it is fetched at each start
            **{f"{name}_API_KEY": KEY for name in ("OPENAI", "ANTHROPIC", "GEMINI")},
        )
        words = [str(python), str(PROGRAM), *parts]
        return subprocess.run(
            words,
            env=env | more,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )

    return run


def said(done: subprocess.CompletedProcess[str]) -> list[Any]:
    """What a process saw of its answers."""
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]


def test_a_second_process_sees_the_same(ask: Ask, provider: Provider, tmp_path: Path) -> None:
    """Completions, streams, embeddings and tool loops, sync and async, are replayed with the provider gone."""
    store = str(tmp_path / "calls.jsonl")
    live = ask("sync", "async", "tools", CACHY="1", CACHY_STORE=store)
    assert live.returncode == 0, live.stderr
    assert "cachy  20 recorded · calls.jsonl" in live.stderr
    assert [name.partition(" ")[2] for name, _ in said(live)].count("stream") == 6
    assert len(provider.calls) == 20
    provider.stop()
    again = ask("sync", "async", "tools", CACHY="replay", CACHY_STORE=store)
    assert again.returncode == 0, again.stderr
    assert said(again) == said(live)
    assert "cachy  20 replayed" in again.stderr
    assert KEY not in (tmp_path / "calls.jsonl").read_text("utf-8") + live.stderr + again.stderr


def test_a_call_without_a_recording(ask: Ask, provider: Provider) -> None:
    """In replay mode each way to ask ends in Miss, or in LiteLLM's own error with our words; nothing is sent."""
    found = said(ask("errors", CACHY="replay"))
    assert [model for model, _ in found] == [model for model in MODELS for _ in range(4)]
    for _, (kind, words) in found:
        assert kind == "cachy.Miss"
        assert "nothing was sent" in words
    for _, (kind, words) in said(ask("errors", CACHY="replay", CACHY_ON_MISS="respond")):
        assert kind.startswith("litellm.exceptions.")
        assert "nothing was sent" in words
    assert provider.calls == []
