"""The names of pycachy, with its behaviour."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import cachy
from cachy import session

httpx = pytest.importorskip("httpx")
CALLS: list[str] = []


class Upstream(httpx.BaseTransport):  # type: ignore[misc, name-defined]
    """Stands for the network: each call gets another answer."""

    def handle_request(self, request: Any) -> Any:
        CALLS.append(str(request.url))
        return httpx.Response(200, json={"call": len(CALLS)})


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("CACHY", "CACHY_MODE", "CACHY_STORE", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CACHY_SUMMARY", "0")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    CALLS.clear()
    yield
    cachy.disable_cachy()


def ask(url: str = "https://api.openai.com/v1/x", n: int = 1) -> int:
    with httpx.Client(transport=Upstream()) as client:
        return int(client.post(url, json={"n": n}).json()["call"])


def test_enable_cachy_records_beside_pyproject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`enable_cachy()` finds the project upward and replays from its cachy.jsonl."""
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    cachy.enable_cachy()
    assert [ask(), ask()] == [1, 1]
    assert (tmp_path / "cachy.jsonl").exists()


def test_enable_cachy_is_idempotent_and_disable_undoes_it() -> None:
    """Calling it twice is calling it once; after `disable_cachy` calls go out."""
    cachy.enable_cachy()
    cachy.enable_cachy()
    assert [ask(), ask()] == [1, 1]
    cachy.disable_cachy()
    assert ask() == 2


def test_cache_dir_and_doms(tmp_path: Path) -> None:
    """`cache_dir` names the folder; `doms` replaces the list of domains, subdomains included."""
    cachy.enable_cachy(cache_dir=tmp_path / "c", doms=("example.com", "https://other.example/v1"))
    assert [ask("https://api.example.com/a"), ask("https://api.example.com/a")] == [1, 1]
    assert [ask("https://other.example/v1"), ask("https://other.example/v1")] == [2, 2]
    assert [ask(), ask()] == [3, 4]
    assert [ask("https://evil.test/?q=example.com"), ask("https://notexample.com/")] == [5, 6]
    assert (tmp_path / "c" / "cachy.jsonl").exists()


def test_doms_can_be_extended() -> None:
    """`enable_cachy(doms=(*doms, "my.host"))` covers both."""
    cachy.enable_cachy(doms=(*cachy.doms, "my.host"))
    assert [ask(), ask(), ask("https://my.host/"), ask("https://my.host/")] == [1, 1, 2, 2]


def test_no_cachy_goes_live() -> None:
    """Within `no_cachy()` nothing is read or written."""
    cachy.enable_cachy()
    ask()
    with cachy.no_cachy():
        assert ask() == 2
    assert ask() == 1


def test_cachy_as_a_context_manager_is_scoped(tmp_path: Path) -> None:
    """`with cachy.cachy(...)` holds for the block and leaves the state before it."""
    with cachy.cachy(cache_dir=tmp_path / "scoped"):
        assert [ask(), ask()] == [1, 1]
    assert session.shared() is None
    assert ask() == 2


def test_cachy_does_not_touch_other_tasks() -> None:
    """A task beside the block calls live."""

    async def main() -> tuple[int, int]:
        inside, left = asyncio.Event(), asyncio.Event()

        async def other() -> int:
            await inside.wait()
            try:
                return ask()
            finally:
                left.set()

        async def block() -> int:
            with cachy.cachy():
                ask()
                inside.set()
                await left.wait()
                return ask()

        beside, within = await asyncio.gather(other(), block())
        return beside, within

    assert asyncio.run(main()) == (2, 1)


def test_hdrs_are_kept(tmp_path: Path) -> None:
    """`hdrs` names more response headers to record, in any case."""

    class WithHeaders(Upstream):
        def handle_request(self, request: Any) -> Any:
            return httpx.Response(200, json={}, headers={"X-Mine": "1", "X-Other": "2"})

    cachy.enable_cachy(hdrs=["X-Mine"])
    with httpx.Client(transport=WithHeaders()) as client:
        client.get("https://api.openai.com/v1/models")
    names = [name for name, _ in json.loads((tmp_path / "cachy.jsonl").read_text())["response"]["headers"]]
    assert "x-mine" in names
    assert "x-other" not in names


def test_debug_prints_hits_and_misses(capsys: pytest.CaptureFixture[str]) -> None:
    """`debug=True` prints each call, `debug="miss"` only what was not replayed; no secret is printed."""
    cachy.enable_cachy(debug=True)
    for _ in range(2):
        ask("https://api.openai.com/v1/x?key=secret-key-in-the-query")
    out = capsys.readouterr().out
    assert out.count("MISS") == out.count("HIT") == 1
    assert "secret-key" not in out
    cachy.enable_cachy(debug="miss")
    ask("https://api.openai.com/v1/x?key=secret-key-in-the-query")
    assert capsys.readouterr().out == ""


def test_the_kill_switch_beats_enable_cachy(monkeypatch: pytest.MonkeyPatch) -> None:
    """With CACHY=0 in the environment nothing happens, whatever the program says."""
    monkeypatch.setenv("CACHY", "0")
    cachy.enable_cachy()
    assert [ask(), ask()] == [1, 2]


def test_enable_cachy_records_in_ci_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that says `enable_cachy()` chose pycachy's way: replay, else call and record."""
    monkeypatch.setenv("CI", "true")
    cachy.enable_cachy()
    assert [ask(), ask()] == [1, 1]


@pytest.mark.parametrize("name", ["cachy.jsonl", "cachy.txt"])
def test_recordings_of_pycachy_replay_without_a_call(tmp_path: Path, name: str) -> None:
    """A file of pycachy 0.0.1 (JSON lines) or of lisette (text) answers, and the recording moves to our form."""
    from cachy import legacy
    from cachy.exchange import Body, Request

    request = Request(
        "POST",
        "https://api.openai.com/v1/x",
        (("content-type", "application/json"), ("accept", "*/*")),
        Body(b'{"n":1}'),
    )
    keys = list(legacy.keys(request))
    answer = '{"call": 77}'
    line = (
        json.dumps({"key": keys[-1], "response": answer})
        if name.endswith("jsonl")
        else f"{keys[-1]}|{answer}"
    )
    (tmp_path / name).write_text(line + "\n")
    cachy.enable_cachy()
    assert [ask(), ask()] == [77, 77]
    assert CALLS == []
    assert len((tmp_path / name).read_text().splitlines()) == 2


def test_errors_that_pycachy_froze_are_asked_again(tmp_path: Path) -> None:
    """pycachy 0.0.22 recorded the 401 of a dummy key; in auto mode it is not served."""
    from cachy import legacy
    from cachy.exchange import Body, Request

    headers = (("content-type", "application/json"), ("accept", "*/*"))
    request = Request("POST", "https://api.openai.com/v1/x", headers, Body(b'{"n":1}'))
    key = next(iter(legacy.keys(request)))
    line = {
        "key": key,
        "response": '{"error": "bad key"}',
        "headers": {},
        "status_code": 401,
        "binary": False,
    }
    (tmp_path / "cachy.jsonl").write_text(json.dumps(line) + "\n")
    cachy.enable_cachy()
    assert ask() == 1
