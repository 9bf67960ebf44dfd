"""SDKs whose async clients use aiohttp, newest versions, in an environment of their own: voyageai and the old
huggingface_hub directly, fireworks-ai below httpx.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from environments import clean, environment
from sdk.provider import Provider
from sdk.replaying import KEY

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).parent / "programs" / "ask_aiohttp.py"
SDKS = ("fireworks-ai>=1", "huggingface_hub>=0.36,<1", "voyageai>=0.3")


@pytest.fixture(scope="session")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the SDKs and cachy."""
    return environment(tmp_path_factory.mktemp("aiohttp"), wheel, (*SDKS, "aiohttp"))


def test_a_second_process_sees_the_same(python: Path, provider: Provider, tmp_path: Path) -> None:
    """Embeddings, completions and streams are recorded once each, and replayed with the provider gone."""

    def ask(**more: str) -> subprocess.CompletedProcess[str]:
        home = {
            "HOME": str(tmp_path),
            "USERPROFILE": str(tmp_path),
            "CACHY_STORE": str(tmp_path / "calls.jsonl"),
        }
        env = clean(PROVIDER_URL=provider.url, PROVIDER_KEY=KEY, CACHY_HOSTS="127.0.0.1:*", **home, **more)
        words = [str(python), str(PROGRAM)]
        return subprocess.run(
            words, env=env, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", check=False
        )

    live = ask(CACHY="1")
    assert live.returncode == 0, live.stderr
    assert "cachy  5 recorded · calls.jsonl" in live.stderr
    assert len(provider.calls) == 5
    provider.stop()
    again = ask(CACHY="replay")
    assert again.returncode == 0, again.stderr
    assert again.stdout == live.stdout
    assert live.stdout.count("\n") == 5
    assert "cachy  5 replayed" in again.stderr
    assert KEY not in (tmp_path / "calls.jsonl").read_text("utf-8") + live.stderr + again.stderr
