"""The JSONL store under real git: a file that is merged, rebased, checked out and cloned while programs use it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stores.contract import KEYS, A, B, C, line_of

from cachy.cli import main
from cachy.stores import indexed, side_files
from cachy.stores.jsonl import JsonlStore

D = KEYS[3]
Git = Callable[..., "subprocess.CompletedProcess[bytes]"]
pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="no git here")


@pytest.fixture(autouse=True, params=["in memory", "side file"])
def side_file(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every test runs twice: the second time all files are large enough for an index in a file of its own."""
    if request.param == "side file":
        folder = tmp_path_factory.mktemp("side")
        monkeypatch.setattr(side_files, "folder", lambda: str(folder))
        monkeypatch.setattr(indexed, "_SCANNED", 1)
        monkeypatch.setattr(indexed, "_IN_MEMORY", 1)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


@pytest.fixture
def git(work: Path, tmp_path: Path) -> Git:
    """Git in the work tree, untouched by the settings of whoever runs the tests."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(tmp_path), "GIT_EDITOR": "true"}  # fmt: skip
    who = ["-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false"]

    def git(*words: str, check: bool = True, where: Path = work) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["git", *who, *words], cwd=where, env=env, capture_output=True, check=check, timeout=60
        )

    work.mkdir()
    git("init", "-q", "-b", "main")
    return git


@pytest.fixture
def store(work: Path) -> Iterator[JsonlStore]:
    store = JsonlStore(work / "calls.jsonl")
    yield store
    store.close()


@pytest.fixture
def union(work: Path, git: Git) -> None:
    """As `cachy init` leaves it."""
    (work / ".gitattributes").write_text("*.jsonl merge=union eol=lf\n")
    git("add", ".gitattributes")


def recorded(git: Git, store: JsonlStore, *keys: str, text: str = "answer") -> None:
    for key in keys:
        store.put(key, line_of(key, text))
    git("add", "calls.jsonl")
    git("commit", "-qm", "recorded")


def branches(git: Git, store: JsonlStore) -> None:
    """A on both, B on `other`, C on `main`, which is checked out; the store knows all three states."""
    recorded(git, store, A)
    git("checkout", "-qb", "other")
    recorded(git, store, B)
    git("checkout", "-q", "main")
    assert store.get(B) is None
    recorded(git, store, C)


def all_of(*keys: str) -> dict[str, bytes]:
    return {key: line_of(key) for key in keys}


def test_a_merge_that_nobody_prepared(git: Git, store: JsonlStore) -> None:
    """It conflicts; every recording of both branches is found all the same, and the markers are told of."""
    branches(git, store)
    assert git("merge", "-q", "other", check=False).returncode == 1
    assert dict(store) == all_of(A, B, C)
    assert "3 lines are skipped, the first is line 2: left by a git merge" in (store.problems or "")
    store.put(D, line_of(D))
    assert dict(store) == all_of(A, B, C, D)
    git("checkout", "-qf", "other")
    assert dict(store) == all_of(A, B)


@pytest.mark.usefixtures("union")
def test_a_merge_leaves_nothing_to_clean_up(git: Git, store: JsonlStore) -> None:
    """With `merge=union` it is clean, while the store is in use."""
    branches(git, store)
    git("merge", "-q", "other")
    assert dict(store) == all_of(A, B, C)
    assert store.problems is None
    store.put(D, line_of(D))
    assert dict(store) == dict(JsonlStore(store.url)) == all_of(A, B, C, D)


@pytest.mark.usefixtures("union")
def test_a_rebase(git: Git, store: JsonlStore) -> None:
    """Commits that recorded are put on top of others that did."""
    branches(git, store)
    recorded(git, store, D)
    git("rebase", "-q", "other")
    assert dict(store) == all_of(A, B, C, D)
    assert store.problems is None


@pytest.mark.usefixtures("union")
def test_two_answers_to_one_question(git: Git, store: JsonlStore, work: Path) -> None:
    """Both lines survive the merge, the last one counts, and `cachy compact` drops the other."""
    recorded(git, store, A)
    git("checkout", "-qb", "other")
    recorded(git, store, A, text="theirs")
    git("checkout", "-q", "main")
    recorded(git, store, A, B, text="ours")
    git("merge", "-q", "other")
    path = work / "calls.jsonl"
    last = [line for line in path.read_bytes().splitlines() if A.encode() in line[:48]][-1]
    assert store.get(A) == last
    assert last in (line_of(A, "ours"), line_of(A, "theirs"))
    assert main(["compact", "--store", str(path)]) == 0
    assert sorted(path.read_bytes().splitlines()) == sorted([last, line_of(B, "ours")])
    assert dict(store) == {A: last, B: line_of(B, "ours")}


@pytest.mark.usefixtures("union")
def test_a_deletion_on_one_side(git: Git, store: JsonlStore, work: Path) -> None:
    """What one branch has deleted and compacted away does not come back by a merge."""
    recorded(git, store, A, B)
    git("checkout", "-qb", "other")
    recorded(git, store, C)
    git("checkout", "-q", "main")
    store.delete(A)
    assert main(["compact", "--store", str(work / "calls.jsonl")]) == 0
    git("commit", "-qam", "deleted")
    git("merge", "-q", "other")
    assert dict(store) == all_of(B, C)


@pytest.mark.parametrize("side", ["--ours", "--theirs"])
def test_a_conflict_solved_by_taking_one_side(git: Git, store: JsonlStore, side: str) -> None:
    """The other side's recordings are gone, as git was told, and nothing else is."""
    branches(git, store)
    git("merge", "-q", "other", check=False)
    git("checkout", side, "calls.jsonl")
    git("commit", "-qam", "solved")
    assert dict(store) == all_of(A, C if side == "--ours" else B)
    assert store.problems is None


@pytest.mark.usefixtures("union")
def test_stash_and_pop(git: Git, store: JsonlStore) -> None:
    """Recordings that are not committed yet go away and come back."""
    recorded(git, store, A)
    store.put(B, line_of(B))
    git("stash", "-q")
    assert dict(store) == all_of(A)
    git("stash", "pop", "-q")
    assert dict(store) == all_of(A, B)


@pytest.mark.parametrize("prepared", [True, False], ids=["eol=lf", "as it comes"])
def test_line_endings_of_windows(
    git: Git, store: JsonlStore, work: Path, tmp_path: Path, prepared: bool
) -> None:
    """`core.autocrlf=true` changes the file on checkout unless `.gitattributes` says otherwise; it is read either way,
    written to, and merged back."""
    if prepared:
        (work / ".gitattributes").write_text("*.jsonl merge=union eol=lf\n")
        git("add", ".gitattributes")
    recorded(git, store, A, B)
    git("-c", "core.autocrlf=true", "clone", "-q", str(work), str(tmp_path / "clone"), where=tmp_path)
    there = tmp_path / "clone"
    git("config", "core.autocrlf", "true", where=there)
    clone = JsonlStore(there / "calls.jsonl")
    assert (b"\r\n" in (there / "calls.jsonl").read_bytes()) is not prepared
    assert dict(clone) == all_of(A, B)
    clone.put(C, line_of(C))
    clone.put(A, line_of(A, "changed"))
    assert dict(clone) == {**all_of(B, C), A: line_of(A, "changed")}
    assert dict(JsonlStore(clone.url)) == dict(clone)
    git("commit", "-qam", "from Windows", where=there)
    git("pull", "-q", str(there), "main")
    assert b"\r" not in (work / "calls.jsonl").read_bytes()
    assert dict(store) == dict(clone)
    clone.close()


def test_a_shallow_clone(git: Git, store: JsonlStore, work: Path, tmp_path: Path) -> None:
    """As CI makes it: all recordings are there, and pulled ones appear in a store that is in use."""
    recorded(git, store, A)
    recorded(git, store, B)
    there = tmp_path / "clone"
    git("clone", "-q", "--depth=1", f"file://{work}", str(there), where=tmp_path)
    clone = JsonlStore(there / "calls.jsonl")
    assert dict(clone) == all_of(A, B)
    recorded(git, store, C)
    git("fetch", "-q", "--depth=1", where=there)
    git("reset", "-q", "--hard", "origin/main", where=there)
    assert dict(clone) == all_of(A, B, C)
    clone.close()


def test_a_bisect(git: Git, store: JsonlStore) -> None:
    """Going back and forth between commits, the store is at each moment what is checked out."""
    for number, key in enumerate(KEYS):
        recorded(git, store, key)
        git("tag", f"t{number}")
    for number in (3, 0, 7, 5, 6, 1):
        git("checkout", "-q", f"t{number}")
        assert dict(store) == all_of(*KEYS[: number + 1])
