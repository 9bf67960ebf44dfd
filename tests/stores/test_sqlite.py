"""The SQLite store on real files: what it keeps, what it lets go of, and what it refuses."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from stores.contract import KEYS, A, B, C, StoreContract, line_of

from cachy.stores import StoreError, open_store, sqlite
from cachy.stores.sqlite import SqliteStore
from cachy.values import Limits


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a" / "calls.db"


@pytest.fixture
def reopen(path: Path) -> Iterator[Callable[..., SqliteStore]]:
    opened: list[SqliteStore] = []

    def reopen(**limits: Any) -> SqliteStore:
        opened.append(SqliteStore(path, Limits(**limits)))
        return opened[-1]

    yield reopen
    for store in opened:
        store.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the time."""
    now = [1_000_000.0]
    monkeypatch.setattr(sqlite, "_now", lambda: now[0])

    def pass_by(seconds: float) -> None:
        now[0] += seconds

    return pass_by


class TestContract(StoreContract):
    """The SQLite store keeps the contract of all stores."""

    @pytest.fixture
    def reopen(self, reopen: Callable[..., SqliteStore]) -> Callable[..., SqliteStore]:
        return reopen


@pytest.mark.parametrize("name", ["calls.db", "calls.sqlite", "calls.SQLITE3"])
def test_the_name_tells_that_it_is_a_database(tmp_path: Path, name: str) -> None:
    """Nothing is created by looking; the first recording makes an SQLite file."""
    store = open_store(str(tmp_path / name))
    assert (store.get(A), len(store), store.delete(A), store.problems) == (None, 0, False, None)
    assert list(tmp_path.iterdir()) == []
    store.put(A, line_of(A))
    assert (tmp_path / name).read_bytes().startswith(b"SQLite format 3\0")
    store.close()


def test_the_least_recently_used_go_first(
    reopen: Callable[..., SqliteStore], clock: Callable[[float], None]
) -> None:
    """Above the number of recordings, those stay that were written or replayed last, by whichever process."""
    store = reopen(count=5)
    for key in KEYS[:5]:
        store.put(key, line_of(key))
        clock(100)
    reader = reopen(count=5)
    assert reader.get(KEYS[0])
    reader.close()
    assert store.get(KEYS[2])
    for key in KEYS[5:8]:
        store.put(key, line_of(key))
        clock(100)
    left = {key for key, _ in store}
    assert KEYS[7] in left
    assert {KEYS[0], KEYS[2]} <= left
    assert not {KEYS[1], KEYS[3]} & left
    assert len(store) == len(left) <= 5


def test_the_size_of_all_recordings_is_kept_below_a_limit(
    path: Path, reopen: Callable[..., SqliteStore]
) -> None:
    """Also when one recording alone is above it; and the file does not grow on."""
    limit = 200_000
    store = reopen(size=limit)
    for number in range(200):
        key = f"{number:032x}"
        store.put(key, line_of(key, "x" * 5_000))
        assert sum(len(line) for _, line in store) <= limit if number % 40 == 0 else True
    assert sum(len(line) for _, line in store) <= limit
    assert store.get(key)
    store.put(A, line_of(A, "x" * 2 * limit))
    assert dict(store) == {A: line_of(A, "x" * 2 * limit)}
    store.put(B, line_of(B))
    assert list(store) == [(B, line_of(B))]
    store.compact()
    assert path.stat().st_size < limit


def test_a_recording_above_its_age_is_let_go(
    reopen: Callable[..., SqliteStore], clock: Callable[[float], None]
) -> None:
    """By the time of recording, however often it was used."""
    store = reopen(age=1000)
    store.put(A, line_of(A))
    clock(900)
    assert store.get(A)
    store.put(B, line_of(B))
    clock(200)
    store.put(C, line_of(C))
    assert {key for key, _ in store} == {B, C}


def test_without_limits_nothing_goes_and_a_hit_writes_nothing(
    path: Path, reopen: Callable[..., SqliteStore]
) -> None:
    """A private cache grows as its owner wishes."""
    store = reopen()
    for number in range(300):
        store.put(f"{number:032x}", line_of(f"{number:032x}"))
    before = path.with_name("calls.db-wal").stat().st_mtime_ns
    for key, _ in store:
        assert store.get(key)
    assert path.with_name("calls.db-wal").stat().st_mtime_ns == before
    assert len(store) == 300


def test_a_file_that_is_no_database_of_ours_is_left_alone(path: Path) -> None:
    """Neither text nor somebody else's database is written to."""
    path.parent.mkdir()
    path.write_bytes(b"dear diary" * 1000)
    store = SqliteStore(path)
    for use in (
        lambda: store.get(A),
        lambda: store.put(A, line_of(A)),
        lambda: len(store),
        lambda: list(store),
    ):
        with pytest.raises(StoreError, match=r"is not a file of recordings.*CACHY_STORE"):
            use()
    assert path.read_bytes() == b"dear diary" * 1000
    path.unlink()
    with sqlite3.connect(path) as theirs:
        theirs.execute("CREATE TABLE t (x)")
    theirs.close()
    with pytest.raises(StoreError, match="is not a file of recordings"):
        store.put(A, line_of(A))
    path.unlink()
    path.write_bytes(b"")
    assert store.get(A) is None
    store.put(A, line_of(A))
    assert store.get(A)
    store.close()


def test_a_database_of_a_newer_cachy_is_refused(path: Path, reopen: Callable[..., SqliteStore]) -> None:
    """With a word on what to do, and unharmed."""
    store = reopen()
    store.put(A, line_of(A))
    store.close()
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version = 2")
    newer.close()
    with pytest.raises(StoreError, match="newer cachy"):
        store.get(A)


def test_a_file_that_is_replaced_or_goes_away(path: Path, reopen: Callable[..., SqliteStore]) -> None:
    """The store goes on with what lies there now."""
    store, other = reopen(), SqliteStore(path.with_name("other.db"))
    store.put(A, line_of(A))
    other.put(B, line_of(B))
    other.close()
    store.close()
    assert store.get(A)
    for file in path.parent.glob("calls.db*"):
        file.unlink()
    assert store.get(A) is None
    os.replace(path.with_name("other.db"), path)
    assert dict(store) == {B: line_of(B)}


def test_a_folder_that_cannot_be_written(
    path: Path, reopen: Callable[..., SqliteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database in an image that is read-only replays, and nothing is laid beside it."""
    store = reopen()
    store.put(A, line_of(A))
    store.close()
    monkeypatch.setattr(os, "access", lambda path, mode: mode == os.R_OK)
    reader = reopen()
    assert reader.get(A) == line_of(A)
    with pytest.raises(StoreError, match=r"cannot be read .*readonly"):
        reader.delete(A)
    reader.close()
    assert [file.name for file in path.parent.iterdir()] == ["calls.db"]


def test_what_others_write_into_a_folder_that_we_cannot_write(
    path: Path, reopen: Callable[..., SqliteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container that mounts the cache read-only sees what the machine goes on recording."""
    with closing(SqliteStore(path)) as writer:
        writer.put(A, line_of(A, "1"))
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode == os.R_OK and real(path, mode))
    reader = reopen()
    assert reader.get(A) == line_of(A, "1")
    with closing(SqliteStore(path)) as writer:
        writer.put(A, line_of(A, "2"))
        assert reader.get(A) == line_of(A, "2")
        writer.put(B, line_of(B))
        assert reader.get(B) == line_of(B)
        reader.close()
    assert reader.get(A) == line_of(A, "2")  # opened as a file that never changes, once more
    with closing(SqliteStore(path)) as writer:
        for key in KEYS:
            writer.put(key, line_of(key, "3" * 10_000))
    assert dict(reader) == {key: line_of(key, "3" * 10_000) for key in KEYS}


@pytest.mark.parametrize("obstacle", ["read-only", "locked"])
def test_a_hit_does_not_need_to_write(
    path: Path,
    reopen: Callable[..., SqliteStore],
    clock: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
    obstacle: str,
) -> None:
    """When recordings were last used is noted where that is possible, and else not; nobody waits for it."""
    keys = [f"{number:032x}" for number in range(300)]
    writer = reopen()
    for key in keys:
        writer.put(key, line_of(key))
    clock(1000)
    holder = sqlite3.connect(path, isolation_level=None)
    if obstacle == "read-only":
        writer.close()
        monkeypatch.setattr(os, "access", lambda path, mode: mode == os.R_OK)
    else:
        holder.execute("BEGIN IMMEDIATE")
    reader = reopen(count=1000)
    for key in keys:
        assert reader.get(key) == line_of(key)
    reader.close()
    holder.close()


@pytest.mark.parametrize("column", ["number", "size"])
def test_a_total_that_is_not_so(path: Path, reopen: Callable[..., SqliteStore], column: str) -> None:
    """A damaged file says that there is more to evict than there is: nobody looks for it for ever."""
    with closing(reopen()) as store:
        store.put(A, line_of(A))
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE total SET {column} = 1000000, number = max(number, 9)")
    connection.close()
    store = reopen(count=100, size=100_000)
    store.put(B, line_of(B))
    assert store.get(B) == line_of(B)


def test_no_damage_makes_reading_endless(
    path: Path, reopen: Callable[..., SqliteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite follows what is written there, in circles, too: here the last row of a batch has a number that lies before
    all others."""
    with closing(reopen()) as store:
        for number in range(200):
            store.put(f"{number:032x}", line_of(f"{number:032x}", "y" * 500))
    page = sqlite3.connect(path)
    size, root = (
        page.execute(sql).fetchone()[0]
        for sql in ("PRAGMA page_size", "SELECT rootpage FROM sqlite_master WHERE name = 'recordings'")
    )
    page.close()
    data = bytearray(path.read_bytes())
    start = (root - 1) * size
    assert data[start] == 5  # an interior page of a table: https://sqlite.org/fileformat2.html#b_tree_pages
    leaf = (int.from_bytes(data[start + 8 : start + 12], "big") - 1) * size
    assert data[leaf] == 13
    cell = leaf + int.from_bytes(data[leaf + 8 : leaf + 10], "big")
    monkeypatch.setattr(
        sqlite, "_BATCH", int.from_bytes(data[leaf + 3 : leaf + 5], "big")
    )  # the rows of that page
    # A cell: the length of the row in two bytes, then its number, here in one or two; now the largest there are two for.
    at = cell + 2
    assert data[at] & 0x80
    data[at : at + 2] = b"\xff\x7f"
    path.write_bytes(data)
    store = reopen()
    for ask in (lambda: list(store), lambda: list(reversed(store)), lambda: list(store.all_keys())):
        with suppress(StoreError):
            assert len(ask()) < 1000


def test_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    """On Linux the name of a file is any bytes."""
    name = tmp_path / os.fsdecode(b"a\xff?%41#.db")
    try:
        name.touch()
    except OSError:
        pytest.skip("no such names here")
    with closing(SqliteStore(name)) as store:
        store.put(A, line_of(A))
    with closing(SqliteStore(name)) as store:
        assert store.get(A) == line_of(A)


def test_a_writer_that_holds_on_to_it(
    path: Path, reopen: Callable[..., SqliteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who never ends a transaction costs the time limit, and reading goes on meanwhile."""
    monkeypatch.setattr(sqlite, "_PATIENCE", 0.05)
    store = reopen()
    store.put(A, line_of(A))
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        store.put(B, line_of(B))
    assert store.get(A) == line_of(A)
    holder.close()
    store.put(B, line_of(B))
    assert len(store) == 2


def test_providers_of_many(reopen: Callable[..., SqliteStore]) -> None:
    """Every name once; one that has no recording any more is gone."""
    store = reopen()
    for number in range(60):
        key = f"{number:032x}"
        store.put(key, line_of(key).replace(b'"openai"', b'"p%d"' % (number % 3)))
    assert store.providers == {"p0", "p1", "p2"}
    for number in range(0, 60, 3):
        store.delete(f"{number:032x}")
    assert store.providers == {"p1", "p2"}


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX system")
def test_a_program_that_closes_every_descriptor(tmp_path: Path) -> None:
    """A daemon closes what it finds open and opens its own: SQLite, which would not notice, touches none of those."""
    code = """
import os
from stores.contract import A, B, C, line_of
from cachy.stores.sqlite import SqliteStore
from cachy.values import Limits
store = SqliteStore("calls.db", Limits(count=9))
store.put(A, line_of(A)); assert store.get(A) == line_of(A)
os.closerange(3, 64)
for n in range(8): os.open(str(n), os.O_RDWR | os.O_CREAT)
assert store.get(A) == line_of(A)
store.put(B, line_of(B)); assert store.get(B) == line_of(B)
os.closerange(3, 64)
store.close()
mine = [open(f"{n}", "w+") for n in range(8)]
store.put(C, line_of(C))
import builtins
builtins.mine = mine  # these outlive the store
for file in mine:
    file.write("mine")
"""
    path = os.pathsep.join((str(Path(__file__).parents[1]), *sys.path))
    env = {**os.environ, "PYTHONPATH": path, "CACHY": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert {(tmp_path / f"{number}").read_text() for number in range(8)} == {"mine"}
    store = SqliteStore(tmp_path / "calls.db")
    assert [key for key, _ in store] == [A, B, C]
    store.close()
