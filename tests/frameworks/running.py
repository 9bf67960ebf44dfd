"""What is run: a program for each SDK and framework, once live and once in a fresh process with the provider gone.

The tests check what comes out, `bench/coverage.py` makes a page of it.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from environments import clean, executable, make_venv, uv
from sdk.provider import Provider

PROGRAMS = Path(__file__).parent / "programs"
KEY = "sk-test-1f8Kd0ZqWm3Vb7Xc9Lp2Rt5Yh4Nj6"
LONGEST = 180.0
"""Seconds after which a program is taken for stuck."""


@dataclass(frozen=True)
class Suite:
    """One program, and the packages that it needs, the first of which gives the name and the version."""

    packages: tuple[str, ...]
    program: str
    words: tuple[str, ...] = ()
    """What the program is told on its command line."""
    kind: str = ""
    """What tells it from another suite of the same package."""
    own_environment: bool = True
    """False: it runs where the tests run."""
    not_covered: dict[str, str] = field(default_factory=dict)
    """Parts whose calls cachy does not see, and why."""

    @property
    def distribution(self) -> str:
        return re.split(r"[^\w.-]", self.packages[0])[0]

    @property
    def name(self) -> str:
        return f"{self.distribution} ({self.kind})" if self.kind else self.distribution


def _sdk(distribution: str, module: str) -> list[Suite]:
    ways = ("sync", "async")
    return [Suite((distribution,), "sdk_calls.py", (module, way), way, own_environment=False) for way in ways]


SUITES = (
    *_sdk("openai", "openai"),
    *_sdk("anthropic", "anthropic"),
    *_sdk("google-genai", "google"),
    *_sdk("mistralai", "mistral"),
    *_sdk("cohere", "cohere"),
    *_sdk("groq", "groq"),
    *_sdk("ollama", "ollama"),
    *_sdk("xai-sdk", "xai"),
    Suite(("openai>=3",), "with_openai.py", kind="tool loops"),
    Suite(("anthropic>=2",), "with_anthropic.py", kind="tool loops"),
    Suite(("google-genai>=3",), "with_google_genai.py", kind="tool loops"),
    # LiteLLM imports mcp when there are tools, and does not ask for it.
    Suite(("litellm>=1.100", "mcp"), "with_litellm.py"),
    Suite(
        ("langchain", "langchain-openai", "langchain-anthropic", "langchain-google-genai"),
        "with_langchain.py",
    ),
    Suite(("pydantic-ai-slim[openai,anthropic,google]",), "with_pydantic_ai.py"),
    Suite(("openai-agents",), "with_openai_agents.py"),
    Suite(("dspy>=3", "litellm"), "with_dspy.py"),
    Suite(("instructor[anthropic,google-genai]",), "with_instructor.py"),
    Suite(("smolagents[openai]",), "with_smolagents.py"),
)


def provider_for(suite: Suite) -> Any:
    """The provider on loopback that the program of a suite asks."""
    if suite.distribution != "xai-sdk":
        return Provider()
    from sdk.provider.xai import Xai  # needs the SDK itself

    return Xai()


class Unavailable(Exception):
    """The environment of a suite cannot be made here."""


def environment(suite: Suite, wheel: Path, place: Path) -> Path:
    """The interpreter that has what the suite needs. Raises Unavailable."""
    if sys.version_info < (3, 11):
        raise Unavailable("the newest SDKs need Python 3.11")
    if not suite.own_environment:
        try:
            importlib.metadata.version(suite.distribution)
        except importlib.metadata.PackageNotFoundError:
            raise Unavailable(f"{suite.distribution} is not installed") from None
        return Path(sys.executable)
    tool = uv()
    if tool is None:
        raise Unavailable("uv, which makes the environment, is not installed")
    python = executable(make_venv(place / "venv"))
    words = [*tool, "pip", "install", "--quiet", "--python", python, *suite.packages, wheel]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{suite.name} could not be installed: {done.stderr.strip()[-300:]}")
    return python


def version(suite: Suite, python: Path) -> str:
    code = f"import importlib.metadata as m; print(m.version({suite.distribution!r}))"
    done = subprocess.run([str(python), "-c", code], env=clean(), capture_output=True, text=True, check=True)
    return done.stdout.strip()


@dataclass
class Part:
    """What became of one part of a program."""

    name: str
    seen: Any
    requests: int
    """How many reached the provider."""
    recorded: int


@dataclass
class Run:
    """What became of a whole program."""

    parts: list[Part]
    status: int
    stderr: str

    def count(self, outcome: str) -> int:
        """The number before a word of the exit line."""
        found = re.search(rf"^cachy .*?(\d+) {outcome}\b", self.stderr, re.M)
        return int(found[1]) if found else 0


def twice(suite: Suite, python: Path, provider: Any, folder: Path) -> tuple[Run, Run]:
    """All parts live, then those that are covered in a fresh process with the provider gone."""
    live = run(suite, python, provider, folder)
    provider.hang_up()
    covered = [part.name for part in live.parts if part.name not in suite.not_covered]
    return live, run(suite, python, provider, folder, covered)


def run(suite: Suite, python: Path, provider: Any, folder: Path, parts: Sequence[str] = ()) -> Run:
    """Run the program of a suite in a fresh process with nothing but `CACHY=1`, and count part by part.

    `parts`: only these, by their names.
    """
    store = folder / "calls.jsonl"
    with (folder / "stderr").open("wb") as errors:
        process = subprocess.Popen(
            [str(python), str(PROGRAMS / suite.program), *suite.words, *parts],
            env=_surroundings(provider, folder) | {"CACHY": "1", "CACHY_STORE": str(store)},
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
        )
    assert process.stdin is not None
    assert process.stdout is not None
    watchdog = threading.Timer(LONGEST, process.kill)
    watchdog.start()
    found: list[Part] = []
    requests, recorded = _counts(provider, store)
    try:
        for line in process.stdout:
            if line.startswith("["):
                name, seen = json.loads(line)
                before, (requests, recorded) = (requests, recorded), _counts(provider, store)
                found.append(Part(name, seen, requests - before[0], recorded - before[1]))
                process.stdin.write("\n")
                process.stdin.flush()
        status = process.wait()
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
    return Run(found, status, (folder / "stderr").read_text("utf-8"))


def _counts(provider: Any, store: Path) -> tuple[int, int]:
    recorded = store.read_bytes().count(b"\n") if store.exists() else 0
    return len(provider.calls) + provider.knocks, recorded


def _surroundings(provider: Any, folder: Path) -> dict[str, str]:
    """An environment in which every SDK finds the loopback provider, and none finds anything else."""
    url = provider.url
    urls = {
        "OPENAI_BASE_URL": url + "/v1",
        "OPENAI_API_BASE": url + "/v1",
        "ANTHROPIC_BASE_URL": url + "/anthropic",
        "ANTHROPIC_API_BASE": url + "/anthropic",
        "GOOGLE_GEMINI_BASE_URL": url + "/gemini",
        "GEMINI_API_BASE": url + "/gemini/v1beta",
        "OLLAMA_API_BASE": url + "/ollama",
        "PROVIDER_URL": url,
    }
    names = ("OPENAI", "ANTHROPIC", "GEMINI", "MISTRAL", "CO", "GROQ", "OLLAMA")
    keys = {f"{name}_API_KEY": KEY for name in names}
    homes = dict.fromkeys(("HOME", "USERPROFILE", "LOCALAPPDATA", "APPDATA"), str(folder))
    kept = {name: value for name, value in clean().items() if not name.upper().endswith(_FOREIGN)}
    quiet = {
        "HTTPS_PROXY": "http://127.0.0.1:9",  # whatever wants to go elsewhere gets nowhere
        "NO_PROXY": "127.0.0.1,localhost",
        "OPENAI_AGENTS_DISABLE_TRACING": "1",  # else it tries again and again to reach OpenAI
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "PYTHONDONTWRITEBYTECODE": "",  # compiling a framework takes longer than all of its calls
    }
    return kept | homes | urls | keys | quiet | provider.environment


_FOREIGN = ("_API_KEY", "_BASE_URL", "_API_BASE", "_PROXY", "_HOST")
