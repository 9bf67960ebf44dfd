"""A store made once by real recordings on loopback, through httpx, in all the dialects that the provider speaks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sdk.provider import Provider

import cachy
from cachy import trust
from cachy.cli import main

KEY = "sk-test-1f8Kd0ZqWm3Vb7Xc9Lp2Rt5Yh4Nj6"
"""The API key of all calls. It must be nowhere."""

WEATHER: Any = {
    "name": "weather",
    "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
PICTURE = "data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUg" * 100


def _user(text: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (
        "/openai/v1/chat/completions",
        {
            "model": "gpt-5-mini",
            "messages": [{"role": "system", "content": "Be brief."}, *_user("What is a whale?")],
        },
    ),
    "chat stream": (
        "/openai/v1/chat/completions",
        {
            "model": "gpt-5-mini",
            "messages": _user("What is a bee?"),
            "stream": True,
            "stream_options": {"include_usage": True},
        },
    ),
    "chat tool": (
        "/openai/v1/chat/completions",
        {
            "model": "gpt-5-mini",
            "messages": _user("The weather?"),
            "tools": [{"type": "function", "function": WEATHER}],
            "stream": True,
        },
    ),
    "picture": (
        "/openai/v1/chat/completions",
        {
            "model": "gpt-5",
            "messages": _user(
                [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": PICTURE}},
                ]
            ),
        },
    ),
    "dated": (
        "/openai/v1/chat/completions",
        {"model": "gpt-5", "messages": _user("What happened on 2026-11-22 in Rome?")},
    ),
    "responses": (
        "/openai/v1/responses",
        {"model": "gpt-5", "input": "What is an ant?", "instructions": "Be brief."},
    ),
    "responses stream": (
        "/openai/v1/responses",
        {"model": "gpt-5", "input": "What is an elk?", "stream": True},
    ),
    "embeddings": ("/openai/v1/embeddings", {"model": "text-embedding-3-small", "input": ["one", "two"]}),
    "messages": (
        "/anthropic/v1/messages",
        {
            "model": "claude-sonnet-4-5",
            "max_tokens": 99,
            "system": "Be kind.",
            "messages": _user("What is a cat?"),
        },
    ),
    "messages stream": (
        "/anthropic/v1/messages",
        {"model": "claude-sonnet-4-5", "max_tokens": 99, "messages": _user("What is a dog?"), "stream": True},
    ),
    "messages tool": (
        "/anthropic/v1/messages",
        {
            "model": "claude-sonnet-4-5",
            "max_tokens": 99,
            "stream": True,
            "messages": _user("The weather?"),
            "tools": [{"name": "weather", "input_schema": WEATHER["parameters"]}],
        },
    ),
    "gemini": (
        "/gemini/v1beta/models/gemini-2.5-flash:generateContent",
        {"contents": [{"role": "user", "parts": [{"text": "What is a fox?"}]}]},
    ),
    "gemini stream": (
        "/gemini/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        {"contents": [{"role": "user", "parts": [{"text": "What is a yak?"}]}]},
    ),
    "cohere stream": (
        "/cohere/v2/chat",
        {"model": "command-a-03-2025", "messages": _user("What is an owl?"), "stream": True},
    ),
    "ollama": ("/ollama/api/chat", {"model": "qwen3", "messages": _user("What is a cow?")}),
}
"""Path and body of each call, by a name for it."""


def ask(url: str, name: str, **more: Any) -> httpx.Response:
    """Make one of the calls."""
    path, body = CALLS[name]
    headers = {"authorization": f"Bearer {KEY}", "x-api-key": KEY}
    return httpx.post(url + path, json={**body, **more}, headers=headers)


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The file of recordings of all `CALLS`, and the key of each."""
    path = tmp_path_factory.mktemp("golden") / "cachy.jsonl"
    keys: dict[str, str] = {}
    provider = Provider()
    try:
        for name in CALLS:
            settings: dict[str, Any] = {"ignore": ["messages[*].content:date"]} if name == "dated" else {}
            with cachy.using("auto", store=path, hosts=["127.0.0.1:*"], summary=False, **settings):
                assert ask(provider.url, name).status_code == 200
            line = path.read_bytes().splitlines()[-1]
            keys[name] = line[8:40].decode()
    finally:
        provider.stop()
        cachy.disable()
    assert len(set(keys.values())) == len(CALLS)
    return path, keys


@pytest.fixture
def keys(golden: tuple[Path, dict[str, str]]) -> dict[str, str]:
    """The key of each of the `CALLS`."""
    return golden[1]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project as the working directory, without settings, keys or a user's folder of this machine."""
    for name in list(os.environ):
        if name.startswith(("CACHY", "GIT_")) or name == "CI" or name.endswith("_API_KEY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(trust, "user_folder", lambda kind: str(tmp_path / "user" / kind))
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text("[tool.cachy]\n", "utf-8")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def store(project: Path, golden: tuple[Path, dict[str, str]]) -> Path:
    """A copy of the golden file as the store of the project."""
    return Path(shutil.copy(golden[0], project / "cachy.jsonl"))


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a verb in this process; its status, what it printed as data, and what it said."""

    def run(*argv: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = main(list(argv))
        except SystemExit as ended:
            status = int(ended.code or 0)
        shown = capsys.readouterr()
        assert KEY not in shown.out + shown.err
        return status, shown.out, shown.err

    return run


@pytest.fixture
def provider() -> Iterator[Provider]:
    """The provider on loopback."""
    running = Provider()
    yield running
    running.stop()
