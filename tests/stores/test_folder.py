"""The folder store on real files, and under real git."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from stores.contract import A, B, C, StoreContract, line_of

from cachy.recording import Recording, response_of
from cachy.stores import StoreError, folder, open_store
from cachy.stores.folder import FolderStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls"


@pytest.fixture
def store(path: Path) -> FolderStore:
    return FolderStore(f"{path}/")


def file_of(path: Path, key: str) -> Path:
    return path / key[:2] / f"{key}.rec"


class TestContract(StoreContract):
    """The folder store keeps the contract of all stores."""

    @pytest.fixture
    def reopen(self, path: Path) -> Callable[[], FolderStore]:
        return lambda: FolderStore(f"{path}/")


def test_a_path_with_a_slash_or_a_folder_opens_this_store(path: Path) -> None:
    """The slash tells before there is anything; later the folder does."""
    opened = open_store(f"{path}/")
    assert opened.get(A) is None
    assert not path.exists()
    opened.put(A, line_of(A))
    assert open_store(str(path)).get(A) == line_of(A)


@pytest.mark.parametrize("body", [b"", b"one\n", b"a\r\n\r\nb\n\n", b"\xff\0\n", '{\n  "é": 1\n}'.encode()])
def test_the_body_stands_in_the_file_as_it_is(path: Path, store: FolderStore, body: bytes) -> None:
    """One line of facts, then the very bytes: what a person reads and what git compares."""
    store.put(A, line_of(A, body))
    first, _, rest = file_of(path, A).read_bytes().partition(b"\n")
    assert rest == body
    assert first.startswith(b'{"key":"%b","v":1,"at":"2026-11-23T08:00:00Z",' % A.encode())
    assert first.endswith(b',"size":%d}}' % len(body))
    line = store.get(A)
    assert line == line_of(A, body)
    assert response_of(line).body == body


def test_a_request_with_a_lone_surrogate(store: FolderStore) -> None:
    """What UTF-8 cannot say stays escaped."""
    recording = Recording.from_line(line_of(A, "é"))
    recording.request["body"] = {"json": "\ud800"}
    store.put(A, recording.to_line())
    assert Recording.from_line(store.get(A) or b"") == recording


def test_windows_line_ends_of_a_checkout_change_no_answer(path: Path, store: FolderStore) -> None:
    """Where git was told to convert all the same, the size of the body shows what it was."""
    for key, text in ((A, "one\ntwo\n"), (B, "")):
        store.put(key, line_of(key, text))
        file = file_of(path, key)
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
        assert store.get(key) == line_of(key, text)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is no recording"),
        (b"hello\n", "is no recording"),
        (b"<<<<<<< HEAD\n{}\n=======\n", "was left by a git merge"),
        (folder.to_file(line_of(A))[:-2], "has 4 bytes of a body and not 6"),
    ],
)
def test_a_damaged_file_costs_only_itself(path: Path, store: FolderStore, content: bytes, what: str) -> None:
    """It is named, never served, and whole again as soon as its call is recorded anew."""
    store.put(A, line_of(A, "answer"))
    store.put(B, line_of(B))
    file_of(path, A).write_bytes(content)
    with pytest.raises(ValueError):
        response_of(store.get(A) or b"")
    assert dict(store) == {B: line_of(B)}
    assert what in (store.problems or "")
    assert f"{A}.rec" in (store.problems or "")
    damaged = file_of(path, A)
    damaged.write_bytes(folder.to_file(line_of(A)))  # by git, or another process
    assert store.get(A) == line_of(A)
    assert store.problems is None
    damaged.write_bytes(content)
    assert dict(store) == {B: line_of(B)}
    assert store.problems
    damaged.unlink()
    assert dict(store) == {B: line_of(B)}
    assert store.problems is None
    store.put(A, line_of(A))
    assert store.get(A) == line_of(A)


def test_what_is_no_file_is_no_recording(path: Path, store: FolderStore) -> None:
    """A folder or a pipe under the name of one keeps nobody from reading the others."""
    store.put(A, line_of(A))
    file_of(path, B).parent.mkdir(exist_ok=True)
    file_of(path, B).mkdir()
    if os.name != "nt":
        file_of(path, C).parent.mkdir(exist_ok=True)
        os.mkfifo(file_of(path, C))
    assert dict(store) == {A: line_of(A)}
    assert list(store.all_keys()) == [A]
    assert len(store) == 1
    assert store.providers == {"openai"}


def test_what_a_killed_writer_left_is_cleared_away(path: Path, store: FolderStore) -> None:
    """An hour later; until then its writer may be at work."""
    store.put(A, line_of(A))
    old, new = path / ".aside" / "1-1-1", path / ".aside" / "1-2-1"
    old.write_bytes(b"x")
    new.write_bytes(b"x")
    os.utime(old, (time.time() - 7200,) * 2)
    FolderStore(f"{path}/").put(B, line_of(B))
    assert (old.exists(), new.exists()) == (False, True)


def test_somebody_elses_folder_is_left_alone(path: Path, store: FolderStore) -> None:
    """A folder of other things is no store, and nothing is put into it."""
    path.mkdir()
    (path / "notes.txt").write_text("dear diary")
    with pytest.raises(StoreError, match="is not a folder of recordings"):
        store.put(A, line_of(A))
    assert [file.name for file in path.iterdir()] == ["notes.txt"]


def test_a_file_in_its_place(path: Path, store: FolderStore) -> None:
    """A file where the folder should be is an error with a way out."""
    path.write_bytes(b"x")
    for use in (lambda: store.get(A), lambda: store.put(A, line_of(A)), lambda: len(store)):
        with pytest.raises(StoreError, match="CACHY_STORE"):
            use()


def test_a_folder_that_goes_away_while_it_is_used(path: Path, store: FolderStore) -> None:
    """`git clean`, or a person: the next recording makes it anew."""
    import shutil

    store.put(A, line_of(A))
    shutil.rmtree(path)
    assert store.get(A) is None
    store.put(B, line_of(B))
    assert dict(store) == {B: line_of(B)}


def test_the_order_of_what_is_written_within_one_tick(store: FolderStore) -> None:
    """A file system's clock stands still for milliseconds; the order of recording is kept all the same."""
    keys = [f"{number * 7919 % 200:032x}" for number in range(200)]
    for key in keys:
        store.put(key, line_of(key))
    assert [key for key, _ in store] == keys


# git


def git(where: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", "-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false", *arguments],
        cwd=where, check=check, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("autocrlf", ["true", "input", "false"])
def test_two_branches_that_record_merge_clean(tmp_path: Path, autocrlf: str) -> None:
    """Different recordings on two branches, and a deletion, merge without conflict and come back byte for byte, also
    into a fresh clone that converts line ends."""
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "-q", "-b", "main")
    git(work, "config", "core.autocrlf", autocrlf)
    store = FolderStore(f"{work}/calls/")
    bodies = {A: "base\n", B: "event: a\r\n\r\ndata: b\n\n", C: "c\n"}

    def record(*keys: str) -> None:
        for key in keys:
            store.put(key, line_of(key, bodies[key]))
        git(work, "add", "-A")
        git(work, "commit", "-qm", "more")

    record(A, C)
    git(work, "checkout", "-qb", "other")
    store.delete(C)
    record(B)
    git(work, "checkout", "-q", "main")
    bodies["d" * 32] = "d\n"
    record("d" * 32)
    git(work, "merge", "-q", "-m", "both", "other")
    clone = tmp_path / "clone"
    git(tmp_path, "-c", f"core.autocrlf={autocrlf}", "clone", "-q", "--depth=1", f"file://{work}", "clone")
    for where in (work, clone):
        found = FolderStore(f"{where}/calls/")
        assert dict(found) == {key: line_of(key, bodies[key]) for key in (A, B, "d" * 32)}
        assert found.problems is None
    assert git(work, "status", "--porcelain").stdout == ""


@pytest.mark.slow
def test_the_same_key_on_two_branches_is_a_conflict_in_one_file(tmp_path: Path) -> None:
    """Two answers to one question: git asks, the others are untouched, and taking either side is enough."""
    git(tmp_path, "init", "-q", "-b", "main")
    store = FolderStore(f"{tmp_path}/calls/")
    store.put(B, line_of(B))
    for branch, text in (("main", "mine\n"), ("other", "theirs\n")):
        git(tmp_path, "checkout", "-q", "-B", branch, *([] if branch == "main" else ["main~1"]))
        if branch == "main":
            git(tmp_path, "add", "-A")
            git(tmp_path, "commit", "-qm", "base")
        store.put(A, line_of(A, text))
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "-qm", branch)
    assert git(tmp_path, "merge", "main", check=False).returncode == 1
    assert dict(store) == {A: line_of(A, "theirs\n"), B: line_of(B)}
    git(tmp_path, "checkout", "--theirs", f"calls/{A[:2]}/{A}.rec")
    assert store.get(A) == line_of(A, "mine\n")


@pytest.mark.slow
@pytest.mark.parametrize("how", [[], ["-Xours"], ["-Xtheirs"]], ids=["by hand", "ours", "theirs"])
def test_two_answers_are_never_mixed(tmp_path: Path, how: list[str]) -> None:
    """Of two answers of many lines that differ in some, git would take the lines of one here, of the other there."""
    git(tmp_path, "init", "-q", "-b", "main")
    store = FolderStore(f"{tmp_path}/calls/")
    answers = {}
    for branch, place, year in (("main", -1, b"2020"), ("mine", 1, b"2021"), ("theirs", 7, b"2022")):
        git(tmp_path, "checkout", "-q", "-B", branch, *([] if branch == "main" else ["main"]))
        body = [f"data: {number}\n" for number in range(10)]
        if place >= 0:
            body[place] = "data: x\n"
        answers[branch] = line_of(A, "".join(body)).replace(b"2026", year)
        store.put(A, answers[branch])
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "-qm", branch)
    git(tmp_path, "checkout", "-q", "mine")
    merged = git(tmp_path, "merge", *how, "theirs", check=False)
    assert merged.returncode == (0 if how else 1)
    assert store.get(A) == answers["theirs" if how == ["-Xtheirs"] else "mine"]
