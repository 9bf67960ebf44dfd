"""The side file of a large JSONL store: it spares reading, and is never believed against the file."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stores.contract import line_of

from cachy.stores import indexed, side_files
from cachy.stores.jsonl import JsonlStore

KEYS = [f"{number * 7919:032x}" for number in range(1, 201)]
NEW = "f" * 32


class Reading:
    """Counts the bytes that are read of files."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes = 0
        pread = indexed.pread

        def counting(fd: int, size: int, offset: int) -> bytes:
            data = pread(fd, size, offset)
            self.bytes += len(data)
            return data

        monkeypatch.setattr(indexed, "pread", counting)

    def taken(self) -> int:
        taken, self.bytes = self.bytes, 0
        return taken


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache" / "index"
    monkeypatch.setattr(side_files, "folder", lambda: str(folder))
    monkeypatch.setattr(indexed, "_SCANNED", 10_000)
    return folder


@pytest.fixture
def path(tmp_path: Path, folder: Path) -> Path:
    path = tmp_path / "calls.jsonl"
    path.write_bytes(b"".join(line_of(key, f"answer to {key}") + b"\n" for key in KEYS))
    return path


@pytest.fixture
def reopen(path: Path) -> Iterator[Callable[[], JsonlStore]]:
    opened: list[JsonlStore] = []

    def reopen() -> JsonlStore:
        for store in opened:
            store.close()
        opened.append(JsonlStore(path))
        return opened[-1]

    yield reopen
    for store in opened:
        store.close()


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Reading:
    return Reading(monkeypatch)


def expect(store: JsonlStore, path: Path) -> None:
    """That a store says of every key what the file says."""
    last = {}
    for line in path.read_bytes().splitlines():
        last.pop(line[8:40].decode(), None)
        last[line[8:40].decode()] = line
    live = {key: line for key, line in last.items() if b'"deleted":true' not in line[:64]}
    assert list(store) == list(live.items())
    assert list(reversed(store)) == list(reversed(live.items()))
    assert len(store) == len(live)
    for key in (*KEYS, NEW):
        assert store.get(key) == live.get(key)


def test_the_second_process_reads_no_more_than_it_needs(
    path: Path, folder: Path, reopen: Callable[[], JsonlStore], reading: Reading
) -> None:
    """With an index, a first look-up reads one line and some samples; without, all of the file."""
    store = reopen()
    assert store.get(KEYS[100])
    assert reading.taken() > path.stat().st_size
    assert not folder.exists()  # it is written when there is time: at the end
    store = reopen()
    assert store.get(KEYS[100])
    assert store._index is not None
    assert reading.taken() < 5_000
    assert len(store) == 200
    assert store.providers == {"openai"}
    assert reading.taken() == 0
    expect(store, path)


def test_a_small_file_has_no_index(
    path: Path, folder: Path, reopen: Callable[[], JsonlStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left in the user's cache folder for files that are read in a few milliseconds."""
    monkeypatch.setattr(indexed, "_SCANNED", path.stat().st_size + 1)
    reopen().get(KEYS[0])
    reopen()
    assert not folder.exists()


def test_places_are_written_down_while_a_huge_file_is_read(
    path: Path, reopen: Callable[[], JsonlStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory that is needed does not grow with the file."""
    monkeypatch.setattr(indexed, "_IN_MEMORY", 20_000)
    monkeypatch.setattr(indexed, "BLOCK", 5_000)
    store = reopen()
    assert store.get(KEYS[3])
    assert len(store._lines.places) < len(KEYS) / 2
    expect(store, path)


def test_what_was_appended_since_is_found(
    path: Path, reopen: Callable[[], JsonlStore], reading: Reading
) -> None:
    """New keys, new answers and deletions behind the indexed part count, in the process that made the index too."""
    reopen().get(NEW)
    store = reopen()
    other = JsonlStore(path)
    for one in (store, other):
        assert one.get(KEYS[0])
        assert one._index is not None
    other.put(KEYS[5], line_of(KEYS[5], "another answer"))
    other.put(NEW, line_of(NEW))
    other.delete(KEYS[6])
    other.delete(KEYS[7])
    other.put(KEYS[7], line_of(KEYS[7], "again"))
    reading.taken()
    for one in (store, other):
        expect(one, path)
    other.close()
    store = reopen()
    reading.taken()
    store.get(KEYS[0])
    assert reading.taken() < 10_000
    expect(store, path)


def test_the_index_takes_in_what_was_appended(
    path: Path, reopen: Callable[[], JsonlStore], reading: Reading
) -> None:
    """When much was appended, the next process need not read it again either; superseded places are gone."""
    reopen().get(NEW)
    store = reopen()
    for key in KEYS[:100]:
        store.put(key, line_of(key, "renewed"))
    store.delete(KEYS[150])
    store = reopen()
    reading.taken()
    assert store.get(KEYS[0]) == line_of(KEYS[0], "renewed")
    assert reading.taken() < 5_000
    expect(store, path)


@pytest.mark.parametrize("how", ["renamed", "rewritten"])
def test_a_file_that_was_replaced_is_read_again(
    path: Path, reopen: Callable[[], JsonlStore], how: str
) -> None:
    """A checkout or a merge leaves nothing of the index: same size or longer, while it is open or afterwards."""
    reopen().get(NEW)
    for turn in range(2):
        store = reopen()
        assert store.get(KEYS[1])
        assert store._index is not None
        if turn:
            store.close()
        lines = path.read_bytes().splitlines(keepends=True)
        lines[40:60] = reversed(lines[40:60])
        lines.insert(10, line_of(NEW, f"{turn}") + b"\n")
        if how == "renamed":
            path.with_suffix(".new").write_bytes(b"".join(lines))
            os.replace(path.with_suffix(".new"), path)
        else:
            path.write_bytes(b"".join(lines))
        if turn:
            store = JsonlStore(path)
        expect(store, path)
        store.close()


def test_the_same_size_and_inode_do_not_make_it_the_same_file(
    path: Path, reopen: Callable[[], JsonlStore]
) -> None:
    """One key was exchanged for another in the middle: the time of the change tells."""
    reopen().get(NEW)
    reopen().close()
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.write(content.replace(KEYS[120].encode(), NEW.encode()))
    store = reopen()
    assert store.get(NEW)
    assert store.get(KEYS[120]) is None


DAMAGE: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "empty": lambda file: file.write_bytes(b""),
    "no database": lambda file: file.write_bytes(b"something else" * 1000),
    "cut off": lambda file: file.write_bytes(file.read_bytes()[:9000]),
    "torn pages": lambda file: file.write_bytes(file.read_bytes()[:4096] + b"\xff" * 20_000),
    "no facts": lambda file: _sql(file, "DELETE FROM facts"),
    "facts of nothing": lambda file: _sql(file, "UPDATE facts SET json = '[]'"),
    "another version": lambda file: _sql(
        file, "UPDATE facts SET json = replace(json, '\"version\": 1', '\"version\": 9')"
    ),
    "another store": lambda file: _sql(
        file, "UPDATE facts SET json = replace(json, 'calls.jsonl', 'other.jsonl')"
    ),
    "no table": lambda file: _sql(file, "DROP TABLE place"),
    "wrong places": lambda file: _sql(file, "UPDATE place SET length = length + 1"),
}


def _sql(file: Path, statement: str) -> None:
    connection = sqlite3.connect(file)
    connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize("when", ["before it is opened", "while it is open"])
def test_a_damaged_index_changes_nothing(
    path: Path, folder: Path, reopen: Callable[[], JsonlStore], damage: Callable[[Path], object], when: str
) -> None:
    """Whatever became of the side file, every key is found; it is made anew when it cannot be used."""
    reopen().get(NEW)
    store = reopen()
    if when == "while it is open":
        assert store.get(KEYS[1])
        assert store._index is not None
    (file,) = folder.iterdir()
    damage(file)
    for key in (*KEYS, NEW):
        assert (store.get(key) or b"")[8:40].decode() == (key if key != NEW else "")
    expect(store, path)
    store = reopen()
    store.get(NEW)
    store = reopen()
    expect(store, path)


def test_a_cache_folder_that_cannot_be_written(
    path: Path, folder: Path, reopen: Callable[[], JsonlStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a place for the index the file is read each time."""
    monkeypatch.setattr(indexed, "_IN_MEMORY", 20_000)
    folder.parent.mkdir()
    folder.write_text("not a folder")
    store = reopen()
    expect(store, path)
    monkeypatch.setattr(side_files, "folder", lambda: None)
    store = reopen()
    expect(store, path)


def test_two_processes_that_write_the_index_at_once(path: Path, reopen: Callable[[], JsonlStore]) -> None:
    """The one that knows less does not undo what the other one wrote."""
    reopen().get(NEW)
    early, late = JsonlStore(path), JsonlStore(path)
    assert early.get(KEYS[0])
    assert late.get(KEYS[0])
    for key in KEYS[:50]:
        late.put(key, line_of(key, "y" * 300))
    late.close()
    early.close()
    store = reopen()
    assert store.get(KEYS[0]) == line_of(KEYS[0], "y" * 300)
    expect(store, path)


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX system")
def test_a_program_that_closes_every_descriptor(
    path: Path, folder: Path, reopen: Callable[[], JsonlStore], tmp_path: Path
) -> None:
    """A daemon closes what it finds open and opens its own: the index reads none of those, and closes none."""
    reopen().get(KEYS[0])
    reopen().close()
    code = f"""
import os
from cachy.stores import index, side_files, indexed
from cachy.stores.jsonl import JsonlStore
side_files.folder, indexed._SCANNED = lambda: {str(folder)!r}, 10_000
store = JsonlStore({str(path)!r})
assert store.get({KEYS[0]!r})
assert store._index is not None
os.closerange(3, 64)
for n in range(8): os.open(str(n), os.O_RDWR | os.O_CREAT)
assert all(map(store.get, {KEYS!r}))
store.close()
os.closerange(3, 64)
store.close()
mine = [open(f"{{n}}", "w+") for n in range(8)]
del store
for file in mine:
    file.write("mine"); file.flush()
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "CACHY": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert {(tmp_path / f"{number}").read_text() for number in range(8)} == {"mine"}
    assert list(folder.iterdir())
    expect(reopen(), path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_a_connection_of_its_own(path: Path, reopen: Callable[[], JsonlStore]) -> None:
    """Parent and child go on with the index, and neither spoils it for the other."""
    reopen().get(NEW)
    store = reopen()
    assert store.get(KEYS[0])
    child = os.fork()
    if not child:
        fine = all(store.get(key) for key in KEYS)
        store.close()
        os._exit(0 if fine else 1)
    assert os.waitpid(child, 0)[1] == 0
    expect(store, path)


def test_pycachys_recordings_stay_in_memory(
    path: Path, folder: Path, reopen: Callable[[], JsonlStore]
) -> None:
    """Of their keys the first line wins, so they are not put where the last one does."""
    old = b'{"key": "0123abcd", "response": "{}", "headers": null, "status_code": 200, "binary": false}'
    path.write_bytes(old + b"\n" + path.read_bytes())
    store = reopen()
    assert store.get("0123abcd") == old
    store = reopen()
    assert not folder.exists()
    assert store.get("0123abcd") == old
    assert store.legacy


def test_indexes_that_nobody_uses_are_deleted(
    path: Path, folder: Path, reopen: Callable[[], JsonlStore]
) -> None:
    """Those of files that were not asked for in months go when a new one is made."""
    folder.mkdir(parents=True)
    old = folder / "old.sqlite"
    old.write_bytes(b"")
    os.utime(old, (1, 1))
    reopen().get(NEW)
    reopen()
    (file,) = folder.iterdir()
    assert file != old
    assert file.stat().st_mode & 0o077 == 0 or os.name == "nt"


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("what", ["folder", "folder of everybody", "index", "link"])
def test_an_index_that_another_user_may_have_made(
    path: Path, folder: Path, tmp_path: Path, reopen: Callable[[], JsonlStore], what: str
) -> None:
    """Where people share a cache folder, one could hide recordings of another, or make them up from parts of others."""
    assert reopen().get(NEW) is None
    reopen()
    (file,) = folder.iterdir()
    with sqlite3.connect(file) as index:
        index.execute("DELETE FROM place WHERE offset >= (SELECT max(offset) FROM place)")
    index.close()
    assert reopen().get(KEYS[-1]) is None  # such an index would be believed
    reopen().close()
    if what == "folder":
        os.chown(folder, 12345, -1)
    elif what == "folder of everybody":
        folder.chmod(0o777)
    elif what == "index":
        os.chown(file, 12345, -1)
    else:
        file.rename(tmp_path / "elsewhere")
        file.symlink_to(tmp_path / "elsewhere")
    expect(reopen(), path)


@pytest.mark.filterwarnings("error")
def test_a_store_that_nobody_closes_leaves_no_database_open(
    path: Path, reopen: Callable[[], JsonlStore]
) -> None:
    """Python 3.13 warns of those."""
    reopen().get(NEW)
    reopen()
    store = JsonlStore(path)
    assert store.get(KEYS[0])
    index_of_it = store._index
    assert index_of_it is not None
    del store
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        index_of_it._connection.execute("SELECT 1")


def test_an_index_is_never_put_under_a_name_that_another_one_had(
    path: Path, folder: Path, reopen: Callable[[], JsonlStore]
) -> None:
    """A process that is killed while it writes leaves a journal, which would be played back into another database of
    the same name; places would be missing then."""
    names = set()
    for turn in range(3):
        reopen().get(NEW)
        reopen().close()
        names |= {file.name for file in folder.iterdir()}
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join([*lines[1:], line_of(NEW, f"{turn}") + b"\n"]))
        for file in folder.iterdir():
            os.utime(file, (1, 1))
    assert len(names) == 3
    reopen().get(NEW)
    reopen()
    assert len(list(folder.iterdir())) == 1  # the others were replaced long ago


def test_memory_does_not_grow_with_what_a_process_writes(
    path: Path, reopen: Callable[[], JsonlStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that records for days, or copies a million recordings."""
    monkeypatch.setattr(indexed, "_IN_MEMORY", 20_000)
    store = reopen()
    for number in range(300):
        key = f"{number:032x}"
        store.put(key, line_of(key))
    assert store.get(KEYS[0])
    assert len(store._lines.places) < 150
    assert len(store) == 500


def test_what_another_process_has_indexed_is_counted_once(
    path: Path, reopen: Callable[[], JsonlStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its places are in the side file, and in the memory of who read them too."""
    reopen().get(NEW)
    store = reopen()
    assert len(store) == 200
    monkeypatch.setattr(indexed, "_IN_MEMORY", 1)
    other = JsonlStore(path)
    other.put(NEW, line_of(NEW))
    other.put(KEYS[0], line_of(KEYS[0], "again"))
    assert other.get(NEW)
    assert len(store) == len(other) == 201
    other.close()
