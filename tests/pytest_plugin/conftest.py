"""A project with tests of its own, run by a pytest of its own against a provider on loopback."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ASK = """
import os

import httpx

URL = os.environ["OPENAI_BASE_URL"] + "/chat/completions"


def asked(prompt):
    body = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": prompt}]}
    return {"json": body, "headers": {"authorization": "Bearer sk-" + "a1" * 20}}


def ask(prompt):
    answer = httpx.post(URL, **asked(prompt))
    answer.raise_for_status()
    return answer.json()["choices"][0]["message"]["content"]


async def ask_async(prompt):
    async with httpx.AsyncClient() as client:
        answer = await client.post(URL, **asked(prompt))
    answer.raise_for_status()
    return answer.json()["choices"][0]["message"]["content"]
"""


class Provider:
    """What an OpenAI-shaped server was asked; `answer` of each question says the how-manieth call it was."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                question = json.loads(self.rfile.read(int(self.headers["content-length"])))
                prompt = question["messages"][-1]["content"]
                outer.asked.append(prompt)
                content = f"{prompt}! ({len(outer.asked)})"
                choice = {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": content},
                }
                usage = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}
                facts = {
                    "object": "chat.completion",
                    "model": "gpt-5-mini",
                    "choices": [choice],
                    "usage": usage,
                }
                body = json.dumps(facts).encode()
                self.send_response(500 if prompt == "fail" else 200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._up = True

    def stop(self) -> None:
        """Be gone: what still calls is refused."""
        if self._up:
            self._up = False
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()


class Project:
    """A folder with tests. `test(*flags)` runs them in a process of its own and gives what it printed."""

    def __init__(self, pytester: pytest.Pytester, provider: Provider) -> None:
        self._pytester = pytester
        self.provider = provider
        self.path: Path = pytester.path
        self.write(ask=ASK)
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
