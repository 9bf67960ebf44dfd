"""The file of the last misses: what is in it, who may read it, how large it gets, and that it never hurts."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

import cachy
from cachy.errors import Change
from cachy.explain import misses

STORE = "/project/cachy.jsonl"


def note(number: int = 1, text: str = "", store: str = STORE) -> None:
    request = {"method": "POST", "body": {"json": {"n": number, "text": text}}}
    change = Change("n", "changed", 0, number)
    misses.note(cachy.Miss(f"miss {number}", store=store, request=request, changes=(change,)))


def numbers(count: int = 99, store: str = STORE) -> list[int]:
    return [int(found["message"].split()[1]) for found in misses.last(store, count)]


def test_the_last_misses_come_back() -> None:
    """The newest first, with all facts, for each store its own."""
    for number in range(3):
        note(number)
    note(7, store="elsewhere")
    assert numbers(2) == [2, 1]
    assert numbers(store="elsewhere") == [7]
    (found,) = misses.last(STORE)
    assert found["request"]["body"] == {"json": {"n": 2, "text": ""}}
    assert found["changes"] == [{"path": "n", "kind": "changed", "recorded": 0, "asked": 2}]
    assert found["at"].endswith("Z")
    assert set(vars(cachy.Miss(""))) < set(found)


def test_only_the_user_may_read_it(misses_folder: Path) -> None:
    """Prompts may be private."""
    note()
    (path,) = misses_folder.iterdir()
    if os.name != "nt":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(misses_folder.stat().st_mode) == 0o700


def test_it_does_not_grow_for_ever(misses_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The older half is forgotten, and a very long request is left out of its line."""
    monkeypatch.setattr(misses, "LARGEST", 10_000)
    for number in range(100):
        note(number, "x" * 500)
    (path,) = misses_folder.iterdir()
    assert path.stat().st_size <= 10_000
    kept = numbers()
    assert kept == list(range(99, 99 - len(kept), -1))
    assert len(kept) > 5
    monkeypatch.undo()


def test_a_very_long_request_is_left_out() -> None:
    """Its line has the words and the other facts."""
    note(1, "x" * 2_000_000)
    (found,) = misses.last(STORE)
    assert (found["message"], found["request"]) == ("miss 1", {})


def test_damaged_lines_are_passed_over(misses_folder: Path) -> None:
    """As two processes may leave them that make room at once."""
    note(1)
    (path,) = misses_folder.iterdir()
    path.write_bytes(b'{"cut\n' + path.read_bytes() + b"\xff\n[1]\n")
    assert numbers() == [1]


@pytest.mark.parametrize("folder", [None, "file/below"])
def test_what_cannot_be_written_is_nobodys_business(
    folder: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No home, no room, no right: nothing is raised, and there are no last misses."""
    (tmp_path / "file").touch()
    monkeypatch.setattr(misses, "_folder", lambda: folder and str(tmp_path / folder))
    note()
    assert misses.last(STORE) == []


def test_values_that_json_does_not_know() -> None:
    """Somebody's own Miss may carry anything."""
    misses.note(cachy.Miss("miss 1", store=STORE, request={"x": {1, 2}}))
    assert json.dumps(misses.last(STORE))
