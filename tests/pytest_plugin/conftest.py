"""A project with tests of its own, run by a pytest of its own against a provider on loopback."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_provider import ASK, Provider


class Project:
    """A folder with tests. `test(*flags)` runs them in a process of its own and gives what it printed."""

    def __init__(self, pytester: pytest.Pytester, provider: Provider) -> None:
        self._pytester = pytester
        self.provider = provider
        self.path: Path = pytester.path
        self.write(ask=ASK, genai_prices="raise ImportError('slow to load')")
        self.configure()

    def configure(self, *lines: str) -> None:
        """The ini of the project's pytest."""
        self._pytester.makeini("\n".join(["[pytest]", "pythonpath = .", *lines]))

    def write(self, **files: str) -> None:
        """Python files by their names, without `.py`."""
        self._pytester.makepyfile(**files)

    def test(self, *flags: str) -> pytest.RunResult:
        """Run pytest."""
        # Slow to load, and of no use here.
        others = ("hypothesispytest", "hypothesis", "platformdirs", "asyncio", "anyio")
        apart = [word for name in others if name not in flags for word in ("-p", f"no:{name}")]
        return self._pytester.runpytest_subprocess(*apart, *flags)

    @property
    def store(self) -> Path:
        return self.path / "cachy.jsonl"

    def recordings(self) -> list[dict[str, Any]]:
        """The lines of the store."""
        return [json.loads(line) for line in self.store.read_text("utf-8").splitlines()]


def told(result: pytest.RunResult) -> list[str]:
    """The lines of ours, with how long things took left out."""
    lines = [line for line in result.outlines if line.startswith("cachy: ")]
    return [re.sub(r" · saved \d[^·]*(?= ·)", "", line) for line in lines]


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.stop()


@pytest.fixture
def project(pytester: pytest.Pytester, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose tests may ask the provider; it is no git repository and has a home of its own."""
    for name in list(os.environ):
        if name.startswith(("CACHY", "PYTEST", "XDG_", "COV_")) or name == "CI":
            monkeypatch.delenv(name)
    monkeypatch.setenv("OPENAI_BASE_URL", provider.url)
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")
    made = Project(pytester, provider)
    (pytester.path / "pyproject.toml").write_text('[project]\nname = "example"\n')
    return made
