"""Two throw-away environments, one with mocks and recorders, one with instrumentation, each with the wheel of this
tree; and a run of a program in one of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from environments import clean, environment

PROGRAMS = Path(__file__).parent / "programs"

CLIENTS = ("httpx", "httpx2", "requests", "aiohttp<3.14")
"""aioresponses 0.7.9, the newest, fails on aiohttp 3.14 without cachy, too."""
RIVALS = (
    "respx",
    "pytest-httpx",
    "vcrpy",
    "cassetter",
    "grpcio",
    "protobuf",
    "responses",
    "aioresponses",
    "moto[sts]",
    "boto3",
)
INSTRUMENTS = (
    "opentelemetry-sdk",
    "opentelemetry-instrumentation-httpx",
    "opentelemetry-instrumentation-requests",
    "opentelemetry-instrumentation-aiohttp-client",
    "logfire",
    "ddtrace",
    "sentry-sdk",
)


def made(name: str, wheel: Path, tmp_path_factory: pytest.TempPathFactory, *packages: str) -> Path:
    if sys.version_info < (3, 11):
        pytest.skip("the newest of these need Python 3.11")
    return environment(tmp_path_factory.mktemp(name), wheel, (*CLIENTS, *packages))


@pytest.fixture(scope="session")
def rivals(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made("rivals", wheel, tmp_path_factory, *RIVALS)


@pytest.fixture(scope="session")
def instruments(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made("instruments", wheel, tmp_path_factory, *INSTRUMENTS)


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """`run(python, "rivals.py", "respx")`: what the program printed last, as JSON, in a folder of its own."""

    def program(python: Path, name: str, *words: str) -> dict[str, Any]:
        done = subprocess.run(
            [python, str(PROGRAMS / name), *words],
            cwd=tmp_path,
            env=clean(HOME=str(tmp_path), USERPROFILE=str(tmp_path), PYTHONWARNINGS="ignore"),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        said = [line for line in done.stderr.splitlines() if line.startswith("cachy:")]
        assert said == []
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    return program
