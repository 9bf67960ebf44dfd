"""Real servers of shared stores on loopback: redis-server and an S3-compatible one, started and stopped by the tests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

_SECONDS = 30  # to wait for a start
REDIS = shutil.which("redis-server") or shutil.which("valkey-server")
S3RVER = os.environ.get("S3RVER") or shutil.which("s3rver")
"""The program of the npm package s3rver."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(make: Callable[[int], list[str]], folder: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A server that listens on a port of its own, until the block ends."""
    port = free_port()
    with (folder / "server.log").open("wb") as log:
        # s3rver pages its lists with a cipher that OpenSSL 3 has put aside.
        env = {**os.environ, "NODE_OPTIONS": "--openssl-legacy-provider"}
        process = subprocess.Popen(make(port), cwd=folder, stdout=log, stderr=log, env=env)
    try:
        until = time.monotonic() + _SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "server.log").read_text("utf-8", "replace")
                assert time.monotonic() < until, "the server does not start"
                time.sleep(0.05)
        yield port, process
    finally:
        process.kill()
        process.wait()


def redis_server(folder: Path, *more: str) -> AbstractContextManager[tuple[int, subprocess.Popen[bytes]]]:
    """A redis-server without a disk."""
    if REDIS is None:
        pytest.skip("redis-server is not installed")
    pytest.importorskip("redis")
    program: str = REDIS
    return running(
        lambda port: [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", *more],
        folder,
    )  # fmt: skip


def s3_server(folder: Path) -> AbstractContextManager[tuple[int, subprocess.Popen[bytes]]]:
    """An S3-compatible server with the bucket `calls`."""
    if S3RVER is None:
        pytest.skip("s3rver is not installed (npm install s3rver; S3RVER names its program)")
    pytest.importorskip("obstore")
    program: str = S3RVER
    return running(
        lambda port: [program, "-d", str(folder), "-p", str(port), "-a", "127.0.0.1", "--configure-bucket", "calls"],
        folder,
    )  # fmt: skip
