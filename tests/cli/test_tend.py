"""`cachy rm`, `prune`, `compact`: what they take away, what they ask first, and who may write meanwhile."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cli.conftest import CALLS, Run, ask

import cachy
from cachy.stores import StoreError
from cachy.stores.compacting import compact
from cachy.stores.jsonl import JsonlStore


def keys_in(path: Path) -> list[str]:
    return [json.loads(line)["key"] for line in path.read_bytes().splitlines()]


class Terminal(io.StringIO):
    """A person at a terminal who has typed this."""

    def isatty(self) -> bool:
        return True


def typed(monkeypatch: pytest.MonkeyPatch, answer: str) -> Terminal:
    said = Terminal()
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr(sys, "stderr", said)
    return said


# rm and prune


def test_rm_takes_the_line_out_of_the_file(store: Path, run: Run, keys: dict[str, str]) -> None:
    """Nothing of it is left, no tombstone either; the others stay byte for byte."""
    lines = store.read_bytes().splitlines(keepends=True)
    status, out, err = run("rm", keys["chat"][:6], keys["dated"], keys["chat"], "--yes")
    assert status == 0
    assert "What is a whale?" in out
    assert err == "2 of 15 recordings\n2 deleted\n"
    gone = [list(keys).index(name) for name in ("chat", "dated")]
    assert store.read_bytes() == b"".join(line for index, line in enumerate(lines) if index not in gone)


def test_nothing_is_deleted_without_consent(store: Path, run: Run, keys: dict[str, str]) -> None:
    """Where nobody can be asked it takes --yes; --dry-run only shows; a wrong key deletes nothing."""
    before = store.read_bytes()
    status, out, err = run("rm", keys["chat"])
    assert status == 2
    assert keys["chat"][:8] in out
    assert err.splitlines()[-1].startswith("cachy: nobody is here to be asked; say --yes")
    assert run("rm", keys["chat"], "--dry-run")[0] == 0
    assert run("rm", keys["chat"], "--json")[0] == 2
    assert run("rm", keys["chat"], "0000", "--yes")[0] == 2
    assert store.read_bytes() == before


@pytest.mark.parametrize(("answer", "left"), [("y\n", 14), ("n\n", 15), ("\n", 15), ("", 15)])
def test_a_person_is_asked(
    store: Path, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch, answer: str, left: int
) -> None:
    """Only a yes is one."""
    from cachy.cli import main

    said = typed(monkeypatch, answer)
    assert main(["rm", keys["chat"]]) == 0
    assert "delete it from cachy.jsonl? [y/N]" in said.getvalue()
    assert len(keys_in(store)) == left


def test_prune_by_filters(store: Path, run: Run, keys: dict[str, str]) -> None:
    """All that is given must hold; the plan is the same that is done."""
    plan = json.loads(run("prune", "--provider", "openai", "--model", "gpt-5", "--dry-run", "--json")[1])
    chosen = {keys[name] for name in ("picture", "dated", "responses", "responses stream")}
    assert (set(plan["keys"]), plan["deleted"]) == (chosen, 0)
    done = json.loads(run("prune", "--provider", "openai", "--model", "gpt-5", "--yes", "--json")[1])
    assert (set(done["keys"]), done["deleted"]) == (chosen, 4)
    assert set(keys_in(store)) == set(keys.values()) - chosen
    assert run("prune", "--older", "1d", "--yes")[::2] == (0, "nothing to delete in cachy.jsonl\n")


def test_prune_wants_to_know_what(store: Path, run: Run) -> None:
    """Without any choice nothing goes."""
    assert run("prune", "--yes")[0] == 2
    assert len(keys_in(store)) == len(CALLS)


def test_a_long_plan_is_cut(store: Path, run: Run) -> None:
    """Ten recordings are named, all are counted."""
    _, out, err = run("prune", "--newer", "1d", "--dry-run")
    assert len(out.splitlines()) == 10
    assert err == "15 of 15 recordings (5 of them not shown)\n"


# compact


def messy(path: Path) -> bytes:
    """Put into a store all that can be dropped; the lines that are to be left."""
    lines = path.read_bytes().splitlines(keepends=True)
    conflict = [b"<<<<<<< HEAD\n", b"=======\n", b">>>>>>> other\n"]
    torn = lines[2][:100] + b"\n"
    path.write_bytes(b"".join([lines[0], torn, *conflict, b"\n", *lines]))
    store = JsonlStore(path)
    store.delete(json.loads(lines[1])["key"])
    store.close()
    return lines[0] + b"".join(lines[2:])


@pytest.mark.parametrize("in_place", [False, True], ids=["replaced", "in place"])
def test_compact_keeps_one_line_for_each(store: Path, in_place: bool) -> None:
    """What was replaced, deleted, torn or left by a merge is gone; owner's rights stay; nothing lies about."""
    wanted = messy(store)
    if os.name != "nt":
        store.chmod(0o640)
    open_before = JsonlStore(store)
    count = len(open_before)
    before, after = compact(str(store), iter(JsonlStore(store)), in_place)
    assert store.read_bytes() == wanted
    assert (before > after, after) == (True, len(wanted))
    assert sorted(os.listdir(store.parent)) == ["cachy.jsonl", "pyproject.toml"]
    if os.name != "nt":
        assert store.stat().st_mode & 0o777 == 0o640
    assert len(open_before) == count
    assert dict(open_before) == dict(JsonlStore(store))


def test_compact_tells_the_sizes(store: Path, run: Run) -> None:
    """For people and for programs; a second time there is nothing to do."""
    messy(store)
    report = json.loads(run("compact", "--json")[1])
    assert report["bytes_before"] > report["bytes_after"] == store.stat().st_size
    status, out, err = run("compact")
    assert (status, out) == (0, "")
    assert re.fullmatch(r"cachy.jsonl: ([\d.]+ kB) before, \1 now\n", err)


@pytest.mark.parametrize("in_place", [False, True], ids=["replaced", "in place"])
def test_what_is_written_meanwhile_is_kept(store: Path, keys: dict[str, str], in_place: bool) -> None:
    """A writer that comes while lines are copied: a new recording, one replaced, one deleted, one after a torn line."""
    lines = dict(JsonlStore(store))
    fresh = lines[keys["chat"]].replace(keys["chat"].encode(), b"f" * 32)
    newer = lines[keys["dated"]].replace(b'"status":200', b'"status":201')
    with open(store, "ab") as file:
        file.write(fresh[:50])  # a writer was killed here

    def while_copying() -> object:
        for index, pair in enumerate(JsonlStore(store)):
            if index == 5:
                other = JsonlStore(store)
                other.put("f" * 32, fresh)
                other.put(keys["dated"], newer)
                other.delete(keys["chat"])
            yield pair

    compact(str(store), while_copying(), in_place)  # type: ignore[arg-type]
    after = JsonlStore(store)
    expected = {key: line for key, line in lines.items() if key != keys["chat"]}
    assert dict(after) == {**expected, keys["dated"]: newer, "f" * 32: fresh}
    assert after.problems is None


def test_a_file_that_is_replaced_meanwhile_is_left_alone(store: Path) -> None:
    """A checkout wins: nothing is changed, and the message says so."""
    other = store.read_bytes()[:-1] + b"\n" + b"\n"

    def while_copying() -> object:
        aside = store.with_name("checkout")
        aside.write_bytes(other)
        os.replace(aside, store)
        yield from JsonlStore(store)

    with pytest.raises(StoreError, match="was replaced meanwhile; nothing was changed"):
        compact(str(store), while_copying(), False)  # type: ignore[arg-type]
    assert store.read_bytes() == other
    assert sorted(os.listdir(store.parent)) == ["cachy.jsonl", "pyproject.toml"]


def test_a_link_stays_a_link(store: Path) -> None:
    """The file behind it is rewritten."""
    if os.name == "nt":
        pytest.skip("links need rights there")
    real = store.rename(store.with_name("real.jsonl"))
    store.symlink_to(real)
    wanted = messy(store)
    compact(str(store), iter(JsonlStore(store)))
    assert store.is_symlink()
    assert real.read_bytes() == wanted


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a file in a namespace of its own")
def test_a_file_that_is_a_mount(store: Path) -> None:
    """As in a container that is given one file: nothing can take its place, so it is written into."""
    wanted = messy(store)
    code = (
        "import sys; from cachy.stores.compacting import compact; from cachy.stores.jsonl import JsonlStore\n"
        "compact(sys.argv[1], iter(JsonlStore(sys.argv[1])))"
    )
    mounted = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" "$0" && exec "$@"', str(store)]
    if (probe := subprocess.run([*mounted, "true"], capture_output=True, check=False)).returncode:
        pytest.skip(f"cannot mount here: {probe.stderr.decode().strip()}")
    done = subprocess.run(
        [*mounted, sys.executable, "-c", code, str(store)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert store.read_bytes() == wanted
    assert sorted(os.listdir(store.parent)) == ["cachy.jsonl", "pyproject.toml"]


def test_what_a_killed_compact_left_is_cleared_away(store: Path) -> None:
    """Nobody looks for a whole copy of a store under such a name, and `git add .` takes it."""
    code = (
        "import os, sys; from cachy.stores.compacting import compact\n"
        "def lines():\n    yield '', b''\n    os._exit(9)\n"
        "compact(sys.argv[1], lines())"
    )
    assert subprocess.run([sys.executable, "-c", code, str(store)], check=False).returncode == 9
    (left,) = store.parent.glob(".cachy-*")
    compact(str(store), iter(JsonlStore(store)))
    assert left.exists()  # its process might be at it still
    os.utime(left, (1, 1))
    compact(str(store), iter(JsonlStore(store)))
    assert sorted(os.listdir(store.parent)) == ["cachy.jsonl", "pyproject.toml"]


WRITER = """
import sys
from cachy.stores.jsonl import JsonlStore
path, name = sys.argv[1:]
store = JsonlStore(path)
for number in range(150):
    key = f"{name}{number:031x}"
    store.put(key, f'{{"key":"{key}","v":1,"n":{number},"more":"{"x" * 200}"}}'.encode())
    print(key, flush=True)
"""


@pytest.mark.slow
def test_no_recording_is_lost_to_compact(store: Path, run: Run, keys: dict[str, str]) -> None:
    """Four processes record while the file is compacted all the time: all that was acknowledged is there."""
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(store), name], stdout=subprocess.PIPE, text=True)
        for name in "abcd"
    ]
    told: list[str] = []
    readers = [threading.Thread(target=lambda w=w: told.extend(w.communicate()[0].split())) for w in writers]
    for reader in readers:
        reader.start()
    rounds = 0
    while any(reader.is_alive() for reader in readers):
        assert run("compact", "--json")[0] == 0
        rounds += 1
    for reader, writer in zip(readers, writers, strict=True):
        reader.join()
        assert writer.wait() == 0
    assert rounds > 1
    assert len(told) == 600
    after = JsonlStore(store)
    assert set(told) | set(keys.values()) == {key for key, _ in after}
    assert after.problems is None


def test_a_replay_goes_on_after_it(store: Path, run: Run) -> None:
    """A session that is open finds its recordings in the new file."""
    import httpx

    messy(store)
    with cachy.using("replay", store=store, hosts=["127.0.0.1:*"], summary=False):
        first = ask("http://127.0.0.1:9", "messages").content
        assert run("compact")[0] == 0
        assert ask("http://127.0.0.1:9", "messages").content == first
        assert ask("http://127.0.0.1:9", "ollama").status_code == 200
        with pytest.raises(cachy.Miss):
            httpx.get("http://127.0.0.1:9/v1/models")
