"""`cachy copy`: recordings move between stores of every kind, byte for byte, and a second run goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from stores.contract import A, B, C, line_of

from cachy.cli import main
from cachy.stores import Store, open_store

OLD = b'{"key": "0123abcd", "response": "{}", "headers": null, "status_code": 200, "binary": false}'
LINES = {
    C: line_of(C, "third\r\n"),
    "0123abcd": OLD,
    A: line_of(A, b"\xff\0"),
    B: line_of(B, "é ☃ \u2028"),
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def filled(url: str, lines: dict[str, bytes] = LINES) -> Store:
    store = open_store(url)
    for key, line in lines.items():
        store.put(key, line)
    store.close()
    return store


@pytest.mark.parametrize("target", ["to.jsonl", "to/", "to.db"])
@pytest.mark.parametrize("source", ["from.jsonl", "from/", "from.db"])
def test_from_every_kind_to_every_kind_and_back(source: str, target: str, capsys: Any) -> None:
    """Each line and their order are kept, pycachy's too."""
    filled(source)
    assert main(["copy", source, target]) == 0
    assert capsys.readouterr().out == f"4 copied to {target}\n"
    there = open_store(target)
    assert list(there) == list(LINES.items())
    there.close()
    assert main(["copy", target, "back.jsonl"]) == 0
    assert list(open_store("back.jsonl")) == list(LINES.items())


def test_a_second_run_goes_on(capsys: Any) -> None:
    """What was copied already is counted and not written again; what is missing is added."""
    filled("from.jsonl")
    filled("to/", {key: LINES[key] for key in (A, B)})
    before = Path("to", A[:2], f"{A}.rec").stat().st_mtime_ns
    assert main(["copy", "from.jsonl", "to/"]) == 0
    assert capsys.readouterr().out == "2 copied to to/\n2 skipped: there already\n"
    assert Path("to", A[:2], f"{A}.rec").stat().st_mtime_ns == before
    assert len(open_store("to/")) == 4


def test_where_both_have_an_answer(capsys: Any) -> None:
    """The target's stays, unless one says otherwise."""
    filled("from.jsonl")
    mine = {A: line_of(A, "mine"), "0123abcd": OLD.replace(b"200", b"201")}
    filled("to.jsonl", mine)
    assert main(["copy", "from.jsonl", "to.jsonl"]) == 0
    assert "2 skipped: there already, with another answer (--replace takes it)" in capsys.readouterr().out
    assert {key: open_store("to.jsonl").get(key) for key in mine} == mine
    assert main(["copy", "from.jsonl", "to.jsonl", "--replace", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "version": 1, "target": "to.jsonl", "taken": 2, "skipped": {"there already": 2},
    }  # fmt: skip
    assert dict(open_store("to.jsonl")) == LINES


def test_what_is_damaged_is_named(capsys: Any) -> None:
    """It is not carried on, and the exit status tells."""
    cut = line_of(A)[: -len('"answer"}}')] + b"}}"
    Path("from.jsonl").write_bytes(b"\n".join([cut, b"=======", line_of(B), b""]))
    assert main(["copy", "from.jsonl", "to.db"]) == 1
    out, err = capsys.readouterr()
    assert out == f"1 copied to to.db\n1 skipped: damaged ({A[:8]})\n"
    assert "from.jsonl: 1 line is skipped, the first is line 2: left by a git merge" in err
    assert dict(open_store("to.db")) == {B: line_of(B)}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.jsonl", "to/"], "none.jsonl does not exist"),
        (["from.jsonl", "./from.jsonl"], "the same store"),
        (["from.jsonl", "ftp://host/x"], "no store for ftp://"),
        (["from.jsonl", "diary"], "is not a folder of recordings"),
    ],
)
def test_what_cannot_be_copied(arguments: list[str], said: str, capsys: Any) -> None:
    """One line says why, nothing is written, the exit status is 2."""
    filled("from.jsonl")
    Path("diary").mkdir()
    Path("diary", "monday.txt").write_text("rain")
    before = Path("from.jsonl").read_bytes()
    assert main(["copy", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert Path("from.jsonl").read_bytes() == before


def test_memory_does_not_grow_with_the_store() -> None:
    """Recordings pass one by one."""
    import tracemalloc

    source = open_store("from.jsonl")
    for number in range(400):
        source.put(f"{number:032x}", line_of(f"{number:032x}", "x" * 100_000))
    source.close()
    tracemalloc.start()
    assert main(["copy", "from.jsonl", "to.db"]) == 0
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(open_store("to.db")) == 400
    assert peak < 8_000_000  # of 40 MB
