"""The loopback provider, and an environment without keys and settings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("sdk.replaying")

from sdk.provider import Provider  # noqa: E402
from sdk.replaying import Bench  # noqa: E402


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, base URL, proxy or setting of this machine."""
    for name in list(os.environ):
        if name.upper().endswith(
            ("_API_KEY", "_BASE_URL", "_API_BASE", "_PROXY", "_HOST")
        ) or name.startswith("CACHY"):
            monkeypatch.delenv(name)


@pytest.fixture
def provider() -> Iterator[Provider]:
    running = Provider()
    yield running
    running.stop()


@pytest.fixture
def bench(provider: Provider, tmp_path: Path) -> Bench:
    return Bench(provider, tmp_path / "calls.jsonl")
