"""`cachy.Miss` as an exception: its kind, its facts, and its way across process borders."""

from __future__ import annotations

import concurrent.futures
import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
import traceback
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import pytest
import raising

import cachy
from cachy.errors import Change

PARENT = str(Path(cachy.__file__).parent.parent)
FACTS: dict[str, Any] = {
    "method": "POST",
    "url": "https://api.openai.com/v1/x",
    "provider": "openai",
    "key": "0" * 32,
    "store": "cachy.jsonl",
    "request": {"method": "POST"},
    "nearest": "f" * 32,
    "differences": ("~ model: 'a' -> 'b'",),
    "changes": (Change("model", "changed", "a", "b"),),
    "guess": 'ignore = ["messages[0].content:date"]',
    "caller": "ask.py:7",
    "command": "CACHY=auto python ask.py",
}


WORDS = "model not as in recording ffffffff\n  more"


def make() -> cachy.Miss:
    return cachy.Miss(WORDS, **FACTS)


def facts(miss: BaseException) -> dict[str, Any]:
    return {name: getattr(miss, name) for name in FACTS}


def test_no_sdk_wraps_or_retries_it() -> None:
    """It is a BaseException and no Exception, under the name people import it by."""
    assert not issubclass(cachy.Miss, Exception)
    assert traceback.format_exception_only(cachy.Miss, make())[0].startswith("cachy.Miss: model not as in")


def test_facts_have_defaults() -> None:
    """A Miss made by hand, in a test's own double, needs its words only."""
    miss = cachy.Miss("x")
    assert facts(miss) == dict.fromkeys(FACTS, "") | {
        "request": {},
        "nearest": None,
        "differences": (),
        "changes": (),
    }


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_can_be_pickled(protocol: int) -> None:
    """With its words, its facts and its notes."""
    miss = make()
    miss.__dict__["__notes__"] = ["a note"]
    again = pickle.loads(pickle.dumps(miss, protocol))
    assert (type(again), str(again), again.__dict__) == (cachy.Miss, str(miss), miss.__dict__)
    assert facts(again) == FACTS


def test_it_can_be_copied() -> None:
    """Frameworks that raise one exception in several places copy it."""
    assert facts(copy.copy(make())) == facts(copy.deepcopy(make())) == FACTS


@pytest.mark.slow
def test_it_crosses_process_borders() -> None:
    """A worker of a process pool hands it to its parent as it was."""
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        problem = pool.submit(raising.miss, WORDS, FACTS).exception(timeout=60)
    assert isinstance(problem, cachy.Miss)
    assert facts(problem) == FACTS


@pytest.mark.slow
def test_pytest_xdist_shows_it(tmp_path: Path) -> None:
    """A test that misses fails with the first line of the Miss, and the others run."""
    (tmp_path / "test_it.py").write_text(
        "import cachy\ndef test_misses():\n    raise cachy.Miss('model not as in recording ffffffff\\n  more')\n"
        "def test_fine():\n    pass\n",
        "utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n1", "test_it.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": PARENT, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert "FAILED test_it.py::test_misses - cachy.Miss: model not as in recording ffffffff" in done.stdout
    assert "1 failed, 1 passed" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["processes", "threads"])
def test_it_comes_out_of_a_pool(kind: str, tmp_path: Path) -> None:
    """`Pool.map` and `ThreadPool.map` end with it; a plain BaseException would let them wait for ever."""
    make = multiprocessing.get_context("spawn").Pool if kind == "processes" else ThreadPool
    with make(1) as pool, pytest.raises(cachy.Miss, match="nothing like it is recorded") as missed:
        pool.map_async(raising.call_without_a_recording, [str(tmp_path / "calls.jsonl")]).get(timeout=60)
    assert isinstance(missed.value, Exception)
    assert missed.value.url == "http://127.0.0.1:9/"
    with pytest.raises(cachy.Miss) as missed:
        raising.call_without_a_recording(str(tmp_path / "calls.jsonl"))
    assert not isinstance(missed.value, Exception)
