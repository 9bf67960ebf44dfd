"""Whole programs on several machines (each with a cache folder of its own) that share recordings through a server."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from stores.servers import AZURE_ACCOUNT, AZURE_KEY, Bucket, bucket, redis_server

import cachy
from cachy.stores.layered import local_path

pytestmark = pytest.mark.slow

SYNC = """
import sys, cachy, httpx
for question in sys.argv[2:]:
    print(httpx.post(sys.argv[1], json={"q": question}, timeout=60).text)
"""
ASYNC = """
import asyncio, sys, cachy, httpx

async def main():
    turns = 0
    async def others():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.001)
    task = asyncio.create_task(others())
    async with httpx.AsyncClient(timeout=60) as client:
        answers = await asyncio.gather(*(client.post(sys.argv[1], json={"q": q}) for q in sys.argv[2:]))
    task.cancel()
    for answer in answers:
        print(answer.text)
    assert turns > 1, turns

asyncio.run(main())
"""


class Provider:
    """Counts its calls, and answers when the gate is open."""

    def __init__(self) -> None:
        self.calls = 0
        self.asked = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()
        provider, guard = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                with guard:
                    provider.calls += 1
                    body = b'{"call":%d}' % provider.calls
                provider.asked.release()
                provider.gate.wait(60)
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1/x"


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.gate.set()
    made.server.shutdown()
    made.server.server_close()


class Shared(NamedTuple):
    """A shared store, and what its users have in their environment."""

    url: str
    env: dict[str, str]


@pytest.fixture(params=["redis", "s3", "gs", "az"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shared]:
    folder = tmp_path / "server"
    folder.mkdir()
    if request.param == "redis":
        with redis_server(folder, "--requirepass", "pa55word") as (port, _):  # type: ignore[attr-defined]
            yield Shared(f"redis://:pa55word@127.0.0.1:{port}/0", {})
    else:
        with bucket(request.param, folder) as made:
            yield Shared(made.url("team"), made.env)


CLOUDS = ("AWS_", "AZURE_", "GOOGLE_", "AZURITE", "S3RVER", "FAKE_GCS")


class Machine:
    """A cache folder; programs that run with it."""

    def __init__(self, folder: Path, store: str, keys: dict[str, str] | None = None) -> None:
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("CACHY", *CLOUDS)) and name != "CI"
        }
        self.env = {
            **env, **(keys or {}), "CACHY": "1", "CACHY_STORE": store, "CACHY_HOSTS": "127.0.0.1:*",
            "CACHY_REMOTE_TIMEOUT": "20s", "XDG_CACHE_HOME": str(folder), "LOCALAPPDATA": str(folder),
            "PYTHONPATH": str(Path(cachy.__file__).parents[1]),
        }  # fmt: skip
        self.folder = folder

    def start(self, code: str, *arguments: str, **more: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        code = "import cachy._bootstrap; cachy._bootstrap.start()\n" + code
        return subprocess.Popen(
            [sys.executable, "-c", code, *arguments], env={**self.env, **more}, stdout=pipe, stderr=pipe, text=True
        )  # fmt: skip

    def run(self, code: str, *arguments: str, **more: str) -> tuple[str, str]:
        out, err = (process := self.start(code, *arguments, **more)).communicate(timeout=120)
        assert process.returncode == 0, err
        for secret in ("pa55word", AZURE_KEY, *SECRETS):
            assert secret not in out + err
        return out, err


@pytest.fixture
def machine(tmp_path: Path, shared: Shared) -> Any:
    return lambda name: Machine(tmp_path / name, *shared)


@pytest.mark.parametrize("code", [SYNC, ASYNC], ids=["sync", "async"])
def test_what_one_machine_records_another_replays(machine: Any, provider: Provider, code: str) -> None:
    """Also one in CI, which may only read; there it is kept for the next run, even without the server."""
    one, other = machine("one"), machine("other")
    first, err = one.run(code, provider.url, "a", "b")
    assert provider.calls == 2
    assert "2 recorded" in err
    for mode in ("auto", "replay"):
        again, err = other.run(code, provider.url, "a", "b", CACHY_MODE=mode, CACHY_REMOTE_READ_ONLY="1")
        assert again == first
        assert "2 replayed" in err
    assert provider.calls == 2
    third, _ = one.run(code, provider.url, "a", "b")
    assert third == first


CLI = "import sys; from cachy.cli import main; sys.exit(main(sys.argv[1:]))"


def test_what_is_deleted_is_asked_for_again(machine: Any, provider: Provider) -> None:
    """`rm`, `rekey` and `copy --replace` reach what this machine keeps of a shared store, too: else it would go on replaying it."""
    one = machine("one")
    one.run(SYNC, provider.url, "a", "b")
    _, err = one.run(CLI, "prune", "--text", "b", "--yes")
    assert "1 deleted" in err
    _, err = one.run(SYNC, provider.url, "a", "b")
    assert "1 replayed · 1 recorded" in err
    assert provider.calls == 3
    _, err = one.run(CLI, "rekey", "--yes", CACHY_IGNORE="q")
    assert "2 of 2 recordings get another key" in err
    _, err = one.run(SYNC, provider.url, "a", CACHY_MODE="replay", CACHY_IGNORE="q")
    assert "1 replayed" in err
    (kept,) = (one.folder / "cachy" / "shared").glob("*.db")
    with sqlite3.connect(kept) as database:
        assert database.execute("SELECT count(*) FROM recordings").fetchone() == (1,)
    database.close()
    cassette = str(one.folder / "new.jsonl")
    first, _ = one.run(SYNC, provider.url, "c")
    other, _ = one.run(SYNC, provider.url, "c", CACHY_STORE=cassette)
    assert other != first
    one.run(CLI, "copy", cassette, one.env["CACHY_STORE"], "--replace")
    assert one.run(SYNC, provider.url, "c")[0] == other


def test_teams_share_a_server_and_no_recording(tmp_path: Path, provider: Provider) -> None:
    """Another `?prefix=` is another store on this machine, too; another password is not."""
    folder = tmp_path / "server"
    folder.mkdir()
    with redis_server(folder) as (port, _):  # type: ignore[attr-defined]
        for prefix, told in (("a", "1 recorded"), ("b", "1 recorded"), ("a", "1 replayed")):
            store = f"redis://127.0.0.1:{port}/0?prefix={prefix}"
            assert told in Machine(tmp_path / "one", store).run(SYNC, provider.url, "q")[1]
    assert provider.calls == 2
    assert local_path("redis://:old@host/0?prefix=a") == local_path("redis://:new@host/0?prefix=a")
    assert local_path("redis://host/0?prefix=a") != local_path("redis://host/0?prefix=b")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("s3://calls/x", "AWS_ENDPOINT_URL"),
        ("gs://calls/x", "GOOGLE_BASE_URL"),
        ("az://calls/x", "AZURE_STORAGE_ACCOUNT_NAME"),
        ("az://calls/x", "AZURE_STORAGE_ACCOUNT"),
    ],
)
def test_one_url_and_two_stores(monkeypatch: pytest.MonkeyPatch, url: str, name: str) -> None:
    """What the environment names keeps them apart on this machine; a key does not."""
    found = {local_path(url)}
    for place in ("https://one", "https://two"):
        monkeypatch.setenv(name, place)
        found.add(local_path(url))
    assert len(found) == 3
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "c2VjcmV0")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "other")
    assert local_path(url) in found


def test_a_fleet_pays_once(machine: Any, provider: Provider) -> None:
    """While one machine calls, two others ask the same: they wait for its recording. (For those that ask at the same
    moment see below: s3rver cannot tell them apart.)"""
    provider.gate.clear()
    askers = [machine("m0").start(SYNC, provider.url, "a")]
    assert provider.asked.acquire(timeout=60)
    askers += [machine(f"m{number}").start(SYNC, provider.url, "a") for number in (1, 2)]
    assert not provider.asked.acquire(timeout=3)
    provider.gate.set()
    found = [asker.communicate(timeout=120) for asker in askers]
    assert [out for out, _ in found] == ['{"call":1}\n'] * 3, found
    assert provider.calls == 1


SECRETS = ("s3cr3t", "c2VjcmV0")
NOBODY = "http://127.0.0.1:1"
"""Where nothing listens."""

NO_ROLE = {
    "AWS_METADATA_ENDPOINT": NOBODY,
    "AZURE_MSI_ENDPOINT": f"{NOBODY}/metadata/identity/oauth2/token",
    "GCE_METADATA_HOST": "127.0.0.1:1",
    "GCE_METADATA_IP": "127.0.0.1:1",
}
"""A machine that asks for its role where nobody answers, as on a laptop."""


def cloud_keys(folder: Path) -> dict[str, dict[str, str]]:
    """Credentials that are well-formed, for each kind of store."""
    folder.mkdir()
    account = folder / "account.json"
    nobody = dict.fromkeys(("client_email", "private_key_id"), "")
    account.write_text(json.dumps({"disable_oauth": True, "private_key": "s3cr3t", **nobody}))
    return {
        "redis": {},
        "s3": {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "s3cr3t"},
        "gs": {"GOOGLE_SERVICE_ACCOUNT": str(account)},
        "az": {"AZURE_STORAGE_ACCOUNT_NAME": AZURE_ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": "c2VjcmV0"},
    }


@pytest.mark.parametrize(
    "url",
    [
        "redis://:pa55word@127.0.0.1:1/0",
        *(f"{kind}://none/x?endpoint={NOBODY}" for kind in ("s3", "gs", "az")),
    ],
)
def test_a_server_that_is_not_there(tmp_path: Path, provider: Provider, url: str) -> None:
    """One warning, and everything goes on with what is local; the second run is a replay."""
    pytest.importorskip("redis")
    pytest.importorskip("obstore")
    alone = Machine(tmp_path / "alone", url, cloud_keys(tmp_path / "keys")[url.partition("://")[0]])
    first, err = alone.run(SYNC, provider.url, "a", "b", CACHY_REMOTE_TIMEOUT="5s")
    if "redis" not in url:
        assert (
            f"{url.partition('?')[0]} cannot be used: 127.0.0.1:1 cannot be reached; this run goes on with"
            in err
        )
    assert provider.calls == 2
    assert err.count("this run goes on with") == 1
    assert "2 new recordings are not in" in err
    again, err = alone.run(SYNC, provider.url, "a", "b", CACHY_REMOTE_TIMEOUT="5s")
    assert again == first
    assert provider.calls == 2
    assert err.count("\n") == 1  # the line at exit: a hit asks nobody


def test_a_fleet_in_step_pays_once_for_each(machine: Any, shared: Shared, provider: Provider) -> None:
    """Four machines ask the same one after the other, each a little before or behind: nothing is called twice."""
    if shared.url.startswith("s3"):
        pytest.skip("s3rver knows no conditional writes")
    questions = [str(number) for number in range(25)]
    askers = [machine(f"m{number}").start(SYNC, provider.url, *questions) for number in range(4)]
    found = [asker.communicate(timeout=120) for asker in askers]
    assert len({out for out, _ in found}) == 1, found
    assert provider.calls == 25, found


REFUSALS = {
    "wrong key": "it refuses these credentials (403 Forbidden",
    "no bucket": "there is no ",
    "no credentials": "no credentials were found, nor has this machine a role; set ",
    "bad endpoint": "its endpoint does not begin with http:// or https://",
    "bad parameter": "no ?password=; everything else comes from the environment",
}


@pytest.fixture(scope="module", params=["s3", "gs", "az"])
def cloud(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with bucket(request.param, tmp_path_factory.mktemp(request.param)) as made:
        yield made


@pytest.mark.parametrize("fault", REFUSALS)
def test_a_cloud_that_refuses(tmp_path: Path, provider: Provider, cloud: Bucket, fault: str) -> None:
    """One line that says why and what to do, no secret in it, and the run goes on. (fake-gcs-server knows no keys.)"""
    if fault == "wrong key" and cloud.scheme == "gs":
        pytest.skip("fake-gcs-server lets everybody in")
    env, url = dict(cloud.env), cloud.url("x")
    if fault == "wrong key":
        env.update(cloud_keys(tmp_path / "keys")[cloud.scheme])
    elif fault == "no bucket":
        url = cloud.url("x", "none")
    elif fault == "no credentials":
        env = {name: value for name, value in env.items() if name.endswith(("_NAME", "REGION"))}
        env.update(NO_ROLE, HOME=str(tmp_path))
    elif fault == "bad endpoint":
        url = f"{cloud.scheme}://calls/x?endpoint=s3cr3t"
    else:
        url += "&password=s3cr3t"
    alone = Machine(tmp_path / "alone", url, env)
    _, err = alone.run(SYNC, provider.url, "a", "b")
    assert provider.calls == 2
    assert err.count("this run goes on with") == 1
    assert err.count("\n") == 3, err  # that line, what was not sent, and the line at exit
    assert f"cachy: {cloud.scheme}://" in err
    assert f"cannot be used: {REFUSALS[fault]}" in err or REFUSALS[fault] in err
    _, err = alone.run(SYNC, provider.url, "a", "b")
    assert provider.calls == 2
    assert err.count("\n") == 1


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_a_cloud_that_hangs(tmp_path: Path, provider: Provider, scheme: str) -> None:
    """It takes the connection and never answers: that costs the time limit once, the end of the program included."""
    pytest.importorskip("obstore")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"{scheme}://calls/x?endpoint=http://127.0.0.1:{silent.getsockname()[1]}"
        alone = Machine(tmp_path / "alone", url, cloud_keys(tmp_path / "keys")[scheme])
        _, err = alone.run(SYNC, provider.url, "a", "b", CACHY_REMOTE_TIMEOUT="1s")
    assert provider.calls == 2
    assert f"{scheme}://calls/x: no answer within 1 s; this run goes on with" in err
    assert err.count("\n") == 3, err


def test_a_client_that_is_not_installed(tmp_path: Path, provider: Provider) -> None:
    """It says which extra is missing, and the calls are made and recorded locally."""
    code = "import sys; sys.modules['redis'] = None\n" + SYNC
    _, err = Machine(tmp_path / "bare", "redis://127.0.0.1:1").run(code, provider.url, "a")
    assert "pip install 'cachy-run[redis]'" in err
    assert provider.calls == 1


def test_a_project_may_not_name_a_server(tmp_path: Path, shared: Shared) -> None:
    """A repository cannot send anybody's calls to its own Redis, nor feed them from there."""
    from cachy import settings

    (tmp_path / "pyproject.toml").write_text(f"[tool.cachy]\nstore = '{shared.url}'\n")
    found = settings.load(cwd=str(tmp_path), environ={}, consent=True)
    assert "://" not in found.store
    assert any("inside the project" in warning for warning in found.warnings)
