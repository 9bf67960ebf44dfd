"""A third party's server: aimock (npm `@copilotkit/aimock`), installed once for all tests here."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import pytest

import cachy

from .sdks import SDKS, Sdk

PACKAGE = "@copilotkit/aimock"
VERSION = "1"
NODE = (20, 15)
WORDS = "".join(f"word{number:04} " for number in range(2000))
LONG = 9  # characters of each word

FIXTURES: list[dict[str, Any]] = [
    {"match": {"userMessage": "hello"}, "response": {"content": "Hello! It is a pleasure to meet you."}},
    {
        "match": {"userMessage": "weather", "hasToolResult": False},
        "response": {"toolCalls": [{"name": "get_weather", "arguments": {"city": "Oslo"}}]},
    },
    {"match": {"userMessage": "weather"}, "response": {"content": "It is cold in Oslo."}},
    {"match": {"userMessage": "as JSON"}, "response": {"content": '{"city": "Oslo", "people": 700000}'}},
    {"match": {"inputText": "embed"}, "response": {"embedding": [0.25, -0.5, 0.125]}},
    {"match": {"userMessage": "at length"}, "response": {"content": WORDS}, "chunkSize": LONG},
    {
        "match": {"userMessage": "break off"},
        "response": {"content": WORDS},
        "chunkSize": LONG,
        "latency": 5,
        "truncateAfterChunks": 5,
    },
    {
        "match": {"userMessage": "second time", "sequenceIndex": 0},
        "response": {"error": {"message": "busy", "type": "server_error"}, "status": 503},
    },
    {"match": {"userMessage": "second time"}, "response": {"content": "Now it works."}},
]


@pytest.fixture
def tested(name: str) -> Sdk:
    """The SDK called `name`; skips the test where it is not installed, before a server is started for it."""
    pytest.importorskip(name)
    return SDKS[name]


@pytest.fixture(scope="session")
def llmock(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The words that start the server; skips where there is no Node or the package cannot be had."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        pytest.skip("Node is not installed")
    version = subprocess.run(
        [node, "-p", "process.versions.node"], capture_output=True, text=True, check=True
    )
    if tuple(map(int, version.stdout.split(".")[:2])) < NODE:
        pytest.skip(f"aimock needs Node {NODE[0]}.{NODE[1]}, this is {version.stdout.strip()}")
    place = tmp_path_factory.mktemp("aimock")
    options = ["--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=1", "--prefix", str(place)]
    command = [npm, "install", *options, f"{PACKAGE}@{VERSION}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"npm could not install {PACKAGE}: {done.stderr.strip()[-200:]}")
    (place / "fixtures.json").write_text(json.dumps({"fixtures": FIXTURES}))
    program = place / "node_modules" / PACKAGE / "dist/cli.js"
    return [node, str(program), "--port", "0", "--fixtures", str(place / "fixtures.json")]


class Server:
    """A running aimock. `requests` is what its journal says it was asked so far."""

    def __init__(self, words: list[str]) -> None:
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert self._process.stdout
        self._said = self._process.stdout
        self.url = self._address()
        # What it says later must be read too: it would wait for room in the pipe.
        self._listener = threading.Thread(target=self._said.read, daemon=True)
        self._listener.start()

    def _address(self) -> str:
        said = ""
        for line in self._said:
            said += line
            if found := re.search(r"listening on (http://\S+)", line):
                return found[1]
        self._process.wait()
        pytest.fail(f"aimock did not start: {said}")

    @property
    def requests(self) -> int:
        with urllib.request.urlopen(f"{self.url}/__aimock/journal?limit=1") as answer:
            return int(answer.headers["X-Total-Count"])

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._listener.join()
        self._said.close()


@pytest.fixture
def server(llmock: list[str]) -> Iterator[Server]:
    """A server for one test, which may stop it."""
    server = Server(llmock)
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, base URL, proxy or setting of this machine."""
    for name in os.environ:
        if name == "CI" or name.upper().endswith(("_API_KEY", "_BASE_URL", "_PROXY")) or name[:5] == "CACHY":
            monkeypatch.delenv(name)
    with suppress(
        ImportError
    ):  # where aiohttp is installed too, the async client of google-genai takes that one
        monkeypatch.setattr("google.genai._api_client.has_aiohttp", False, raising=False)


Using = Callable[..., AbstractContextManager[None]]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


@pytest.fixture
def using(store: Path) -> Iterator[Using]:
    """`using("replay")`: a session that covers the server, its recordings in `store`."""
    yield lambda mode="auto": cachy.using(mode, store=store, hosts=["127.0.0.1:*"], summary=False)
    cachy.disable()
