"""The upload service, the client libraries, and a store of the test's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from uploads.service import Service

import cachy

pytest.register_assert_rewrite("uploads.contract")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, base URL, proxy or setting of this machine."""
    for name in os.environ:
        if name.upper().endswith(("_API_KEY", "_BASE_URL", "_PROXY")) or name.startswith(("CACHY", "CI")):
            monkeypatch.delenv(name)


@pytest.fixture
def service() -> Iterator[Service]:
    running = Service()
    yield running
    running.stop()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


Using = Callable[..., Any]


@pytest.fixture
def using(store: Path) -> Iterator[Using]:
    """`cachy.using(mode)` as a run of its own: a new session, as a new process would have."""

    def session(mode: Any = "auto", **settings: Any) -> Any:
        return cachy.using(
            mode, store=store, summary=False, **{"hosts": {"127.0.0.1:*": "gemini"}, **settings}
        )

    yield session
    cachy.disable()


@pytest.fixture(params=["httpx", "httpx2"])
def lib(request: pytest.FixtureRequest) -> Any:
    """httpx, then httpx2 (which needs Python 3.11)."""
    return pytest.importorskip(request.param)
