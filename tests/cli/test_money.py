"""What was saved, in dollars: by genai-prices, in the waiting parent only."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import CALLS

from cachy.providers import names
from cachy.report.entry import Entry
from cachy.report.prices import _FREE, _THEIR_NAMES, Prices, Sum, dollars, saved
from cachy.report.terminal import exit_line
from cachy.stores.jsonl import JsonlStore
from cachy.tally import Stats

pytest.importorskip("genai_prices")

ASK = """
import json, sys, httpx
for name in ("messages", "messages", "chat", "gemini"):
    path, body = json.loads(sys.argv[1])[name]
    print(httpx.post("http://127.0.0.1:9" + path, json=body).status_code)
print("genai_prices" in sys.modules)
"""


def entry(store: Path, key: str, **changed: bytes) -> Entry:
    line = dict(JsonlStore(store))[key]
    for old, new in changed.items():
        line = line.replace(old.replace("_", "-").encode(), new)
    return Entry(key, line)


def test_a_price_is_the_published_one(store: Path, keys: dict[str, str]) -> None:
    """Dollars per million tokens of the model, on the day of the recording; a part from the cache costs less."""
    prices = Prices()
    assert prices.of(entry(store, keys["messages"])) == Decimal(11 * 3 + 7 * 15) / 10**6
    line = dict(JsonlStore(store))[keys["messages"]].replace(
        rb"\"input_tokens\": 11", rb"\"input_tokens\": 1, \"cache_read_input_tokens\": 10"
    )
    assert prices.of(Entry(keys["messages"], line)) == Decimal(1 * 3 + 10 * Decimal("0.3") + 7 * 15) / 10**6


def test_what_has_no_price(store: Path, keys: dict[str, str]) -> None:
    """A model of one's own is not guessed at; what runs at home is free; what counts no tokens has no price."""
    prices = Prices()
    assert prices.of(entry(store, keys["messages"], claude_sonnet_4_5=b"our-own-7b")) is None
    assert prices.of(entry(store, keys["ollama"])) == 0
    assert prices.of(entry(store, keys["chat tool"])) is None


def test_every_provider_is_known_by_its_name_there() -> None:
    """So that a model is not looked up among those of all others; the rest are no services with models of their own."""
    from genai_prices.data import providers  # type: ignore[import-untyped,unused-ignore]

    theirs = {provider.id for provider in providers}
    unknown = {name for name in names() if _THEIR_NAMES.get(name, name) not in theirs}
    assert unknown <= {*_FREE, "chatgpt", "huggingface", "huggingface-hub", "ollama-cloud", "plain"}


def test_only_replayed_calls_count(store: Path, keys: dict[str, str]) -> None:
    """As often as they were replayed; what is gone from the store or lies elsewhere is left out."""
    url = str(store)
    hit = {"outcome": "hit", "store": url, "key": keys["messages"]}
    found = saved(
        [
            hit,
            hit,
            {**hit, "outcome": "recorded"},
            {**hit, "key": "0" * 32},
            {**hit, "store": "redis://h"},
            {},
        ]
    )
    assert (found.dollars, found.priced, found.unpriced) == (2 * Decimal(138) / 10**6, 2, 0)
    assert str(saved([])) == ""


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "$0"),
        ("0.00001", "<$0.0001"),
        ("0.00214", "$0.0021"),
        ("1.939", "$1.94"),
        ("12345.6", "$12,345.60"),
    ],
)
def test_amounts(amount: str, text: str) -> None:
    """Cents, and more digits where cents tell nothing."""
    assert dollars(Decimal(amount)) == text


def test_the_line_at_exit() -> None:
    """Marked as an estimate, with what could not be priced."""
    money = Sum(Decimal("1.94"), 100, 3)
    line = exit_line(Stats(hits=103, saved_ms=312_000), "cachy.jsonl", money=str(money))
    assert line == "cachy  103 replayed · saved 5 m 12 s, $1.94 est. (3 unpriced) · cachy.jsonl"
    assert str(Sum(unpriced=3)) == ""


@pytest.mark.slow
def test_cachy_run_tells_what_was_saved(store: Path, tmp_path: Path) -> None:
    """Over all calls of a real run; the program itself never loads the prices."""
    import json

    settings: dict[str, Any] = {
        "CACHY_HOSTS": "127.0.0.1:*",
        "HOME": str(tmp_path),
        "PYTHONIOENCODING": "utf-8",
    }
    command = ["run", "--mode", "replay", sys.executable, "-c", ASK, json.dumps(CALLS)]
    done = subprocess.run(
        [sys.executable, "-m", "cachy", *command],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    assert done.stdout.split() == ["200"] * 4 + ["False"]
    assert re.fullmatch(r"cachy  4 replayed · saved \d+ ms, \$0\.0003 est\. · cachy\.jsonl\n", done.stderr)
