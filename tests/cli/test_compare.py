"""`cachy diff` and `cachy stats`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import CALLS, Run, ask
from sdk.provider import Provider

import cachy
from cachy.cli import browse, counting


def miss(store: Path, provider: Provider, name: str, **more: Any) -> None:
    """A call that is refused, noted as a program's misses are."""
    with (
        cachy.using("replay", store=store, hosts=["127.0.0.1:*"], summary=False),
        pytest.raises(cachy.Miss),
    ):
        ask(provider.url, name, **more)


def test_two_recordings(store: Path, run: Run, keys: dict[str, str]) -> None:
    """Status 1, the differing words marked, and the same facts as JSON."""
    status, out, err = run("diff", keys["responses"], keys["responses stream"])
    assert (status, err) == (1, "")
    assert "  ~ input: What is an {-ant-}{+elk+}?\n" in out
    assert "  + stream: True\n" in out
    assert "  - instructions: 'Be brief.'\n" in out
    report = json.loads(run("diff", keys["responses"], keys["responses stream"], "--json")[1])
    assert [report["a"]["key"], report["b"]["key"]] == [keys["responses"], keys["responses stream"]]
    assert {"path": "stream", "kind": "added", "recorded": None, "asked": True} in report["changes"]
    assert run("diff", keys["chat"], keys["chat"])[::2] == (0, "no difference\n")


def test_the_last_miss(store: Path, run: Run, keys: dict[str, str], provider: Provider) -> None:
    """`@last` is what was refused last, alone it is compared with its nearest; what is volatile has its cure."""
    dated = [{"role": "user", "content": "Since 2026-11-23, what is a whale?"}]
    miss(store, provider, "chat", temperature=0.5)
    miss(store, provider, "chat", messages=[CALLS["chat"][1]["messages"][0], *dated])
    status, out, _ = run("diff", keys["chat"], "@last~1")
    assert status == 1
    assert out.splitlines()[2:] == ["  + temperature: 0.5"]
    status, out, _ = run("diff", "@last")
    assert status == 1
    assert keys["chat"][:8] in out
    assert "{+Since 2026-11-23, what+}" in out.replace("{-What-}", "")
    assert run("diff", "@last~7")[0] == 2
    assert provider.calls == []


def test_a_cure_for_what_is_volatile(store: Path, run: Run, keys: dict[str, str], provider: Provider) -> None:
    """The line of settings that would have made it a hit; ignored places are shown as ignored."""
    with cachy.using("auto", store=store, hosts=["127.0.0.1:*"], summary=False):
        ask(provider.url, "dated")
    miss(
        store,
        provider,
        "dated",
        messages=[{"role": "user", "content": "What happened on 2026-11-23 in Rome?"}],
    )
    status, out, _ = run("diff", "@last")
    assert status == 1
    assert 'looks volatile (a date or time), would be cured by: ignore = ["messages[0].content:date"]' in out
    report = json.loads(run("diff", keys["dated"], "@last", "--json")[1])
    assert report["a"]["ignored"] == ["body.json.messages[0].content"]


def test_diff_needs_two_sides(store: Path, run: Run, keys: dict[str, str]) -> None:
    """One line says what is missing."""
    assert run("diff", keys["chat"])[::2] == (
        2,
        f"cachy: {keys['chat']} is to be compared with what? Name a second key\n",
    )
    assert run("diff", "@last")[0] == 2


def test_stats_add_up(store: Path, run: Run, keys: dict[str, str]) -> None:
    """All recordings are in the totals, and again in each way of grouping them."""
    report = json.loads(run("stats", "--json")[1])
    assert (report["version"], report["recordings"], report["damaged"]) == (1, len(keys), 0)
    assert report["disk_bytes"] == store.stat().st_size == report["bytes"] + len(keys)
    assert sum(group["recordings"] for group in report["by"]["provider"]) == len(keys)
    assert sum(group["tokens"]["input"] for group in report["by"]["model"]) == report["tokens"]["input"]
    by_name = {group["name"]: group for group in report["by"]["provider"]}
    assert by_name["anthropic"]["tokens"] == {"input": 33, "output": 21, "cached": 0, "reasoning": 0}
    assert by_name["anthropic"]["recordings"] == 3
    assert json.loads(run("stats", "--json", "--provider", "anthropic")[1])["recordings"] == 3


def test_money_is_an_estimate_by_genai_prices(store: Path, run: Run) -> None:
    """The published price of the model times its tokens; what has no price is counted, what is local is free."""
    pytest.importorskip("genai_prices")
    report = json.loads(run("stats", "--json", "--model", "claude-sonnet-4-5")[1])
    assert report["usd_estimate"] == pytest.approx(3 * (11 * 3 + 7 * 15) / 1e6)
    assert (report["priced"], report["unpriced"]) == (3, 0)
    assert json.loads(run("stats", "--json", "--provider", "ollama")[1])["usd_estimate"] == 0
    lines = [
        line.replace(b"gpt-5-mini", b"our-own-7b") for line in store.read_bytes().splitlines(keepends=True)
    ]
    store.write_bytes(b"".join(lines))
    out = run("stats", "--model", "our*", "--model", "our-own-7b")[1]
    assert "est." not in out
    assert "(2 unpriced)" in run("stats")[1]


@pytest.mark.parametrize("columns", [40, 66, 80, 200])
def test_lines_fit_the_terminal(store: Path, run: Run, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """Of `ls`, `search` and `stats`, tests of long names among them; what has no room is left out or cut."""
    name = "tests/test_agents.py::TestTools::test_what_is_asked_again[openai-{}]"
    lines = store.read_bytes().splitlines(keepends=True)
    for number in (0, 1):
        lines[number] = lines[number].replace(
            b',"request":', f',"test":"{name.format(number)}","request":'.encode(), 1
        )
    store.write_bytes(b"".join(lines))
    monkeypatch.setattr(counting, "width", lambda: columns)
    monkeypatch.setattr(browse, "width", lambda: columns)
    listed, (_, _, *tables) = run("ls")[1].splitlines(), run("stats")[1].splitlines()
    found = run("search", "weather")[1].splitlines()
    assert (len(listed), len(found)) == (len(lines), 2)
    assert max(map(len, [*listed, *found, *tables])) <= columns
    assert ("tokens in" in "".join(tables)) == (columns > 40)
    assert [row.split()[0][-4:] for row in tables[-2:]] == ["i-0]", "i-1]"]


def test_stats_for_people(store: Path, run: Run) -> None:
    """A line of totals and a bar for each group; what compact would free is told."""
    status, out, err = run("stats")
    assert status == 0
    assert err in ("", "money: pip install 'cachy-run[cost]'\n")
    assert out.startswith("cachy.jsonl: 15 recordings, ")
    assert "147 tokens in, 91 out" in out
    (row,) = [line for line in out.splitlines() if line.startswith("openai")]
    assert "█" * 20 in row
    with open(store, "ab") as file:
        file.write(store.read_bytes())
    assert "of the file are no longer needed; `cachy compact` frees them" in run("stats")[2]
