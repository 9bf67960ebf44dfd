"""Large files need no more memory than small ones, recorded, replayed, or made real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from uploads.service import Service

pytest.importorskip("resource")  # tells the peak memory of a process; not on Windows

SENDER = Path(__file__).with_name("sender.py")
SMALL, LARGE = 16, 200  # MiB; the small one is above what is kept in memory
MARGIN = 24 * 2**20
"""Bytes: less than a tenth of the large file, more than what the peak varies by from run to run."""


def send(mode: str, store: Path, service: Service, client: str, shape: str, mb: int, *more: str) -> Any:
    command = [
        sys.executable,
        str(SENDER),
        mode,
        str(store),
        service.url,
        client,
        shape,
        str(mb),
        *more,
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CACHY")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("client", "shape"),
    [
        ("httpx-sync", "generator"),
        ("httpx-sync", "file"),
        ("httpx-sync", "whole"),
        ("httpx2-async", "generator"),
        ("httpx2-async", "file"),
        ("httpx2-async", "pieces"),
    ],
)
def test_memory_is_constant(client: str, shape: str, service: Service, store: Path) -> None:
    """The peak memory of a large upload, recorded and replayed, is that of a small one."""
    pytest.importorskip(client.partition("-")[0])
    small = send("auto", store, service, client, shape, SMALL)
    live = send("auto", store, service, client, shape, LARGE)
    calls = len(service.calls)
    again = send("replay", store, service, client, shape, LARGE)
    assert again["answer"] == live["answer"]
    assert len(service.calls) == calls
    assert live["peak"] < small["peak"] + MARGIN
    assert again["peak"] < small["peak"] + MARGIN


@pytest.mark.slow
@pytest.mark.parametrize("client", ["httpx-sync", "httpx2-async"])
def test_memory_of_an_upload_that_becomes_real(client: str, service: Service, store: Path) -> None:
    """What was replayed of a file that differs at its end is sent from disk: the peak stays that of a small file."""
    pytest.importorskip(client.partition("-")[0])
    small = send("auto", store, service, client, "pieces", SMALL)
    send("auto", store, service, client, "pieces", LARGE)
    calls = len(service.calls)
    changed = send("auto", store, service, client, "pieces", LARGE, "--change", str((LARGE - 10) * 2**20))
    assert service.calls[calls:] == ["start", "upload", "upload", "upload, finalize"]
    assert len(set(service.files)) == 3
    assert changed["peak"] < small["peak"] + MARGIN
