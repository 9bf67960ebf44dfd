"""Mocks and recorders win over cachy inside their scope; instrumentation and cachy do not disturb each other."""

from __future__ import annotations

import subprocess
from pathlib import Path
from shutil import copytree

import pytest
from environments import clean

from .conftest import PROGRAMS, Run

pytestmark = pytest.mark.slow

ORDERS = pytest.mark.parametrize("order", ["cachy first", "cachy second"])
HTTPX = ("httpx", "async httpx")


@ORDERS
@pytest.mark.parametrize(
    ("tool", "client"),
    [
        *(("respx", client) for client in HTTPX),
        *(("respx on the client", client) for client in HTTPX),
        ("responses", "requests"),
        ("aioresponses", "aiohttp"),
    ],
)
def test_a_mock_wins_over_a_recording(rivals: Path, run: Run, tool: str, client: str, order: str) -> None:
    """Inside its scope the mock answers and nothing is recorded; outside nothing of it is left."""
    told = run(rivals, "rivals.py", tool, client, order)
    assert told["inside"] == [-1, -1]
    assert told["after"] == told["first"]
    assert told["recordings"] == 1
    assert told["stats"]["escaped"] == 0


@ORDERS
@pytest.mark.parametrize("tool", ["vcrpy", "cassetter"])
@pytest.mark.parametrize("client", [*HTTPX, "httpx2", "requests", "aiohttp"])
def test_a_cassette_wins_over_a_recording(rivals: Path, run: Run, tool: str, client: str, order: str) -> None:
    """Inside its scope the cassette records and is played, and nothing is recorded twice."""
    told = run(rivals, "rivals.py", tool, client, order)
    assert told["inside"][0] > told["first"]  # it went out although cachy had a recording
    assert told["recordings"] == 1
    assert told["stats"]["escaped"] == 0
    assert told["after"] == told["first"]
    assert told["stats"]["reasons"][f"{tool} is active"] >= 1


@ORDERS
def test_a_cassette_wins_over_grpc_too(rivals: Path, run: Run, order: str) -> None:
    """cassetter wraps the channels of grpc.aio when it is told to."""
    told = run(rivals, "cassette_grpc.py", order)
    assert told["inside"] == [2, 3]  # they went out although cachy had a recording
    assert (told["first"], told["after"], told["recordings"]) == (1, 1, 1)
    assert told["stats"]["reasons"]["cassetter is active"] >= 1


@ORDERS
def test_moto_answers_for_aws(rivals: Path, run: Run, order: str) -> None:
    """boto3's calls end in moto; nothing escapes and nothing is recorded."""
    told = run(rivals, "mocked_aws.py", order)
    assert told["account"] == "123456789012"
    assert told["recordings"] == 0
    assert told["stats"]["escaped"] == 0


def test_pytest_httpx_wins_in_its_tests(rivals: Path, tmp_path: Path) -> None:
    """With its fixture the mock answers, whenever cachy was activated; without it cachy replays."""
    copytree(PROGRAMS, tmp_path / "programs")
    done = subprocess.run(
        [rivals, "-m", "pytest", "-q", "-p", "no:cacheprovider", "programs/mocked.py"],
        cwd=tmp_path,
        env=clean(HOME=str(tmp_path), USERPROFILE=str(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout


@ORDERS
@pytest.mark.parametrize("tool", ["opentelemetry", "logfire", "ddtrace", "sentry"])
@pytest.mark.parametrize("client", [*HTTPX, "requests", "aiohttp"])
def test_an_instrumented_program_records_and_replays(
    instruments: Path, run: Run, tool: str, client: str, order: str
) -> None:
    """One call, one replay, one recording; after `disable` the instrumentation is still there."""
    told = run(instruments, "instruments.py", tool, client, order)
    assert told["numbers"] == [1, 1, 2]
    assert told["recordings"] == 1
    assert (told["stats"]["hits"], told["stats"]["recorded"], told["stats"]["escaped"]) == (1, 1, 0)
    if tool == "opentelemetry":
        # httpx is instrumented below cachy: its spans are live calls; the others' are calls of the program.
        assert told["spans"] == (2 if client in HTTPX else 3)
