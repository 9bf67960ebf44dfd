"""Two throw-away environments, one for each generation of the SDKs, each with the wheel of this tree.

What runs there starts as a user's program does: through `cachy.pth`, with nothing but `CACHY` in the environment.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from environments import clean, environment

from .provider import provider

SCRIPTS = Path(__file__).parent / "scripts"
KEY = "sk-secret-0123456789abcdef"

PREVIOUS = ("openai>=2,<3", "anthropic>=0.100,<1", "google-genai>=1.70,<2")
"""On httpx."""
NEWEST = ("openai>=3", "anthropic>=2", "google-genai>=3")
"""On httpx2."""
PINNED = {"ANTHROPIC_CUSTOM_HEADERS": "anthropic-version: 2023-06-01", "GOOGLE_GENAI_API_VERSION": "beta"}
"""Asks the newest SDKs to speak the version of the API that the previous ones speak."""


Generation = Callable[[str], Path]


@pytest.fixture(scope="session")
def generation(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Generation:
    """`generation("previous")`: the interpreter of an environment with that generation, made once."""

    @cache
    def python(name: str) -> Path:
        if name == "newest" and sys.version_info < (3, 11):
            pytest.skip("the newest SDKs need Python 3.11")
        sdks = {"previous": PREVIOUS, "newest": NEWEST}[name]
        return environment(tmp_path_factory.mktemp(name), wheel, sdks)

    return python


@dataclass
class Done:
    """What a script printed, by `sync:1` and the like, and what was said on stderr."""

    answers: dict[str, dict[str, Any]]
    stderr: str
    status: int


Ask = Callable[..., Done]


@dataclass
class Recorded:
    """The recordings of one SDK by one generation, whose server is gone: live answers, and who can ask again."""

    live: Done
    again: Ask
    home: Path

    @property
    def store(self) -> str:
        return (self.home / "cachy.jsonl").read_text(encoding="utf-8")


Record = Callable[[str, str], Recorded]


@pytest.fixture(scope="session")
def recorded(generation: Generation, tmp_path_factory: pytest.TempPathFactory) -> Record:
    """`recorded("openai", "previous")`: asked once, sync question 1 and async question 2, with `CACHY=1`.

    `.again("newest", "async:1", CACHY="replay")` asks again, with another API key.
    """

    @cache
    def record(sdk: str, by: str) -> Recorded:
        home = tmp_path_factory.mktemp(f"{sdk}-{by}")
        (home / "cachy.jsonl").touch()  # outside a project, the store is this file where there is one
        with provider() as url:

            def ask(
                by: str, *questions: str, key: str = "sk-another", pinned: bool = True, **env: str
            ) -> Done:
                keys = {"OPENAI_API_KEY": key, "ANTHROPIC_API_KEY": key, "GEMINI_API_KEY": key}
                urls = {
                    "OPENAI_BASE_URL": f"{url}/v1",
                    "ANTHROPIC_BASE_URL": url,
                    "GOOGLE_GEMINI_BASE_URL": url,
                }
                env = {"HOME": str(home), "USERPROFILE": str(home)} | keys | urls | env
                if by == "newest" and pinned:
                    env |= PINNED
                whole = clean(**env)
                whole.pop("PYTHONDONTWRITEBYTECODE")  # compiling an SDK takes longer than all of its calls
                done = subprocess.run(
                    [str(generation(by)), str(SCRIPTS / f"ask_{sdk}.py"), *questions],
                    env=whole,
                    cwd=home,
                    capture_output=True,
                    text=True,
                    encoding="utf-8",
                    check=False,
                )
                return Done(json.loads(done.stdout or "{}"), done.stderr, done.returncode)

            live = ask(by, "sync:1", "async:2", key=KEY, CACHY="1")
        assert live.status == 0, live.stderr
        return Recorded(live, ask, home)

    return record
