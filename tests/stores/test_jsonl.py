"""The JSONL store on real files: what it reads, what it refuses, and what it survives."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores.contract import KEYS, A, B, C, StoreContract, child, line_of, run

import cachy
from cachy.recording import response_of
from cachy.stores import StoreError, indexed, jsonl, lines, locking, open_store, side_files
from cachy.stores.jsonl import JsonlStore

ROOT = str(Path(cachy.__file__).parent.parent)
posix = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX system")

OLD = "0123abcd"  # a key of pycachy
OLD_LINE = b'{"key": "0123abcd", "response": "{}", "headers": null, "status_code": 200, "binary": false}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


@pytest.fixture
def store(path: Path) -> Iterator[JsonlStore]:
    store = JsonlStore(path)
    yield store
    store.close()


@pytest.fixture(autouse=True, params=["in memory", "side file"])
def side_file(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path | None:
    """Every test runs twice: the second time all files are large enough for an index in a file of its own, in here."""
    if request.param == "in memory":
        return None
    folder = tmp_path_factory.mktemp("side")
    monkeypatch.setattr(side_files, "folder", lambda: str(folder))
    monkeypatch.setattr(indexed, "_SCANNED", 1)
    monkeypatch.setattr(indexed, "_IN_MEMORY", 1)
    return folder


class TestContract(StoreContract):
    """The JSONL store keeps the contract of all stores, with its file held open and without (as on Windows)."""

    @pytest.fixture(params=[True, False], ids=["held open", "opened each time"])
    def reopen(
        self, request: pytest.FixtureRequest, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Callable[[], JsonlStore]]:
        monkeypatch.setattr(indexed, "_HOLD", request.param)
        opened: list[JsonlStore] = []

        def reopen() -> JsonlStore:
            opened.append(JsonlStore(path))
            return opened[-1]

        yield reopen
        for store in opened:
            assert request.param or store._fd is None
            store.close()


# What a file may hold


def test_a_path_or_an_url_opens_this_store(path: Path) -> None:
    """Every spelling of a path gives a JSONL store; another scheme is refused with a word on what to use."""
    for url in (str(path), f"jsonl:{path}"):
        opened = open_store(url)
        opened.put(A, line_of(A))
        assert path.exists()
        opened.close()
    with pytest.raises(StoreError, match=r"no store for ftp://.*cachy\.jsonl"):
        open_store("ftp://localhost")


def test_nothing_is_created_before_the_first_put(tmp_path: Path) -> None:
    """Looking makes no file and no folder; the first recording makes both."""
    path = tmp_path / "a" / "b" / "calls.jsonl"
    store = JsonlStore(path)
    assert (store.get(A), len(store), store.delete(A), store.problems) == (None, 0, False, None)
    assert list(tmp_path.iterdir()) == []
    store.put(A, line_of(A))
    assert path.read_bytes() == line_of(A) + b"\n"
    store.close()


def test_a_relative_path_keeps_its_meaning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that changes its directory goes on with the same file."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    store = JsonlStore("calls.jsonl")
    monkeypatch.chdir("elsewhere")
    store.put(A, line_of(A))
    assert (tmp_path / "calls.jsonl").exists()
    assert store.url == "calls.jsonl"
    store.close()


@posix
def test_a_directory_that_is_gone(tmp_path: Path) -> None:
    """A relative path in a deleted working directory is an error with a way out."""
    code = "import os; os.rmdir(os.getcwd())\ntry: JsonlStore('x.jsonl')\nexcept StoreError as error: print(error)"
    (tmp_path / "gone").mkdir()
    assert "give a full path" in run(code, cwd=tmp_path / "gone")


def test_lines_of_pycachy_stand_beside_ours(path: Path, store: JsonlStore) -> None:
    """Both kinds are found by key; of pycachy's the first line wins, as in pycachy, of ours the last."""
    text = b'89abcdef|{"a":1}'
    streamed = b'89abcde0|"data: 1\\n\\n"'
    tight = b'{"key":"00000001","response":"{}"}'
    wide = b' { "key" : "00000002" , "response" : "{}"}'
    file = [
        OLD_LINE,
        text,
        line_of(A, "old"),
        streamed,
        tight,
        wide,
        OLD_LINE.replace(b"200", b"201"),
        line_of(A),
    ]
    path.write_bytes(b"\n".join(file) + b"\n")
    expected = {OLD: OLD_LINE, "89abcdef": text, "89abcde0": streamed, "00000001": tight, "00000002": wide, A: line_of(A)}  # fmt: skip
    assert {key: store.get(key) for key in expected} == expected
    assert dict(store) == expected
    assert store.legacy
    assert store.problems is None
    assert store.get("fffffff0") is None


def test_a_recording_of_pycachy_can_be_deleted(path: Path, store: JsonlStore) -> None:
    """A deletion covers every line of the key; `legacy` ends with the last of them."""
    path.write_bytes(OLD_LINE + b"\n" + OLD_LINE + b"\n" + line_of(A) + b"\n")
    assert store.legacy
    assert store.delete(OLD)
    for opened in (store, JsonlStore(path)):
        assert opened.get(OLD) is None
        assert not opened.legacy
        assert opened.problems is None
        opened.close()
    with path.open("ab") as file:
        file.write(OLD_LINE + b"\n")
    assert store.get(OLD) == OLD_LINE
    assert store.legacy


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"], ids=["", "bom"])
def test_line_ends_of_windows_and_a_byte_order_mark(
    path: Path, store: JsonlStore, end: bytes, start: bytes
) -> None:
    """A checkout with core.autocrlf, or an editor that adds a BOM, changes no answer."""
    dead = lines.tombstone(B.encode())
    path.write_bytes(start + end.join([line_of(A), line_of(B), OLD_LINE, b"", dead, line_of(C), b""]))
    assert dict(store) == {A: line_of(A), OLD: OLD_LINE, C: line_of(C)}
    assert store.problems is None
    store.put(B, line_of(B))
    assert dict(store) == {A: line_of(A), OLD: OLD_LINE, C: line_of(C), B: line_of(B)}


def test_what_is_no_recording_is_skipped_and_told(path: Path, store: JsonlStore) -> None:
    """Markers of a merge, torn and foreign lines cost only themselves; blank lines are not worth a word."""
    torn = line_of(B)[:90]
    marked = [
        line_of(A),
        b"",
        b"<<<<<<< HEAD",
        line_of(B),
        b"=======",
        line_of(C),
        b">>>>>>> other",
        torn,
        b"# hi",
    ]
    path.write_bytes(b"\n".join(marked) + b"\n")
    assert dict(store) == {A: line_of(A), B: line_of(B), C: line_of(C)}
    assert store.problems == (
        f"{path}: 5 lines are skipped, the first is line 3: left by a git merge; delete such lines"
    )
    path.write_bytes(line_of(A) + b"\n" + torn + b"\n")
    assert (
        store.problems == f"{path}: 1 line is skipped, the first is line 2: not a whole recording; delete it"
    )
    path.write_bytes(line_of(A) + b"\n")
    assert store.problems is None


@pytest.mark.parametrize("last", [line_of(B), OLD_LINE, b'0123abcd|{"a":1}'], ids=["ours", "pycachy", "txt"])
def test_a_last_line_without_a_newline_counts(path: Path, store: JsonlStore, last: bytes) -> None:
    """An editor that strips the last newline loses nothing, now or when the next line is written."""
    path.write_bytes(line_of(A) + b"\n" + last)
    key = B if last == line_of(B) else OLD
    assert store.get(key) == last
    assert len(store) == 2
    store.put(C, line_of(C))
    for opened in (store, JsonlStore(path)):
        assert [opened.get(A), opened.get(key), opened.get(C)] == [line_of(A), last, line_of(C)]
        assert opened.problems is None
        opened.close()


@pytest.mark.parametrize("before", [[], [line_of(A, "good")]], ids=["alone", "behind another"])
def test_a_torn_line_costs_only_itself(path: Path, before: list[bytes]) -> None:
    """Wherever a writer was killed, the next line is whole and an older one of the same key stays the answer."""
    whole = line_of(A, '{"a": {"b": 1}}')
    # All of the start, and wherever the rest could pass for the end of something.
    for cut in [
        cut for cut in range(1, len(whole)) if cut < 50 or whole[cut - 1 : cut] in (b"}", b"]", b'"')
    ]:
        path.write_bytes(b"".join(line + b"\n" for line in before) + whole[:cut])
        store = JsonlStore(path)
        store.put(B, line_of(B))
        for opened in (store, JsonlStore(path)):
            assert opened.get(B) == line_of(B), cut
            assert opened.get(A) == (before[0] if before else None), cut
            opened.close()


@pytest.mark.parametrize("block", [64, 100, 1000])
def test_blocks_of_any_size_give_the_same_index(
    path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    """Lines across the border of a block, and lines longer than it, are found all the same."""
    found = [line_of(key, "x" * (77 * number)) for number, key in enumerate(KEYS)]
    path.write_bytes(b"\n".join([found[0], b"", b"=======", OLD_LINE, *found[1:], b""]))
    monkeypatch.setattr(indexed, "BLOCK", block)
    store = JsonlStore(path)
    assert [line for _, line in store] == [found[0], OLD_LINE, *found[1:]]
    assert "1 line is skipped, the first is line 3" in (store.problems or "")
    store.close()


# What lies in the way

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 10
FOREIGN = {
    "picture": PNG,
    "big binary": PNG * 1000,
    "text": b"Dear diary,\ntoday I recorded nothing.\n",
    "big text": b"2026-11-23 08:00:00 INFO hello\n" * 70_000,
    "one long line": b"x" * 2_500_000,
    "json": b'{\n  "key": "value"\n}\n',
    "other json lines": b'{"key":"user","value":1}\n{"key":"0123abcz","response":1}\n',
    "no newline": b'{"key":"user","value":1}',
    "toml": b"[tool.cachy]\nenabled = true\n",
    "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n",
    "only markers": b"<<<<<<< HEAD\n=======\n>>>>>>> x\n",
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_file_is_refused_and_left_alone(path: Path, store: JsonlStore, content: bytes) -> None:
    """A file without a single recording is somebody else's: an error says so and not a byte is written."""
    path.write_bytes(content)
    for use in (
        lambda: store.get(A),
        lambda: store.put(A, line_of(A)),
        lambda: store.delete(A),
        lambda: len(store),
        lambda: list(store),
    ):
        with pytest.raises(StoreError, match="is not a file of recordings; set CACHY_STORE") as error:
            use()
        assert "\n" not in str(error.value)
    assert path.read_bytes() == content
    path.unlink()
    store.put(A, line_of(A))
    assert store.get(A) == line_of(A)


@pytest.mark.parametrize("content", [b"", b"\n\n", b" \r\n"])
def test_an_empty_file_is_nobody_elses(path: Path, store: JsonlStore, content: bytes) -> None:
    """pycachy makes an empty file at once; recording into it is right."""
    path.write_bytes(content)
    assert store.get(A) is None
    store.put(A, line_of(A))
    assert store.get(A) == line_of(A)


def test_a_directory_in_the_place_of_the_store(path: Path, store: JsonlStore) -> None:
    """The error says that it is a directory and what to set."""
    path.mkdir()
    for use in (lambda: store.get(A), lambda: store.put(A, line_of(A))):
        with pytest.raises(StoreError, match="is a directory; set CACHY_STORE to the path of a file"):
            use()


@posix
def test_a_pipe_in_the_place_of_the_store(path: Path, store: JsonlStore) -> None:
    """A special file is refused, not opened: opening a pipe would wait for ever."""
    os.mkfifo(path)
    for use in (lambda: store.get(A), lambda: store.put(A, line_of(A))):
        with pytest.raises(StoreError, match="is not a regular file"):
            use()


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    """Where no folder can be made, looking finds nothing and recording says why."""
    (tmp_path / "file").write_text("x")
    store = JsonlStore(tmp_path / "file" / "calls.jsonl")
    assert store.get(A) is None
    with pytest.raises(StoreError, match=r"cannot be written \(.*\); make it writable, or set CACHY_STORE"):
        store.put(A, line_of(A))


@posix
def test_a_store_that_must_not_be_written_or_read() -> None:
    """A read-only store replays, and says what to do when it should record; an unreadable one says so too."""
    code = (
        "import os\n"
        "path, key, other = sys.argv[1:4]\n"
        "store = JsonlStore(path)\n"
        "if os.getuid() == 0: os.seteuid(65534)  # the superuser may write everywhere\n"
        "try:\n"
        "    line = store.get(key)\n"
        "    print(line is not None)\n"
        "    store.put(other, line.replace(key.encode(), other.encode(), 1))\n"
        "except StoreError as problem: print(problem)\n"
    )
    with tempfile.TemporaryDirectory() as name:  # not tmp_path, which no other user may enter
        path = Path(name) / "calls.jsonl"
        path.write_bytes(line_of(A) + b"\n")
        path.chmod(0o444)
        path.parent.chmod(0o555)
        found, problem = run(code, path, A, B).splitlines()
        assert found == "True"
        assert problem == (
            f"{path} cannot be written (Permission denied); make it writable, or set CACHY_STORE to another path"
        )
        path.chmod(0o000)
        assert run(code, path, A, B).splitlines() == [
            f"{path} cannot be read (Permission denied); make it readable, or set CACHY_STORE to another path"
        ]
        path.parent.chmod(0o755)


FILL = """
path, limit = sys.argv[1], int(sys.argv[2])
from stores.contract import line_of
if limit:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
store, written = JsonlStore(path), 0
try:
    while written < 100:
        store.put(f"{written:032x}", line_of(f"{written:032x}", "x" * 3000))
        written += 1
except StoreError as problem:
    print(problem)
assert all(store.get(f"{n:032x}") == line_of(f"{n:032x}", "x" * 3000) for n in range(written))
assert len(store) == len(JsonlStore(path)) == written and store.problems is None
assert open(path, "rb").read().endswith(b"}\\n")
print(written)
"""


@posix
def test_a_limit_on_the_size_of_files(path: Path) -> None:
    """A line that does not fit is taken back whole: an error, and everything before it is still there."""
    problem, written = run(FILL, path, 20_000).splitlines()
    assert problem.startswith(f"{path} cannot be written (File too large); make room, or set CACHY_STORE")
    assert 0 < int(written) < 7


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small file system in a namespace of its own")
def test_a_full_disk(tmp_path: Path) -> None:
    """On a file system that is full the half line is taken back and the error says what to do."""
    mount = f"mount -t tmpfs -o size=64k tmpfs {tmp_path} && exec"
    probe = subprocess.run(["unshare", "-m", "sh", "-c", f"{mount} true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip(f"cannot mount here: {probe.stderr.decode().strip()}")
    python = [
        sys.executable,
        "-c",
        f"import sys; sys.path[:0] = {[ROOT, str(Path(__file__).parents[1])]!r}\n",
    ]
    python[-1] += "from cachy.stores import StoreError\nfrom cachy.stores.jsonl import JsonlStore\n" + FILL
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f'{mount} "$@"', "sh", *python, str(tmp_path / "calls.jsonl"), "0"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    problem, written = done.stdout.splitlines()
    assert "cannot be written (No space left on device); make room, or set CACHY_STORE" in problem
    assert 5 < int(written) < 22


@pytest.mark.parametrize(
    ("key", "line"),
    [
        (A, line_of(B)),
        (A, line_of(A) + b"\n"),
        (A, line_of(A)[:-2]),
        (A, line_of(A) + b"\n" + line_of(B)),
        (OLD, line_of(A)),
        (A, b""),
    ],
)
def test_only_the_line_of_the_key_is_written(path: Path, store: JsonlStore, key: str, line: bytes) -> None:
    """A line that would damage the file is a mistake of the caller, and nothing is written."""
    with pytest.raises(ValueError, match="not the line of a recording"):
        store.put(key, line)
    assert not path.exists()


# A file that changes under a running process


def replaced(path: Path, content: bytes) -> None:
    aside = path.with_suffix(".new")
    aside.write_bytes(content)
    os.replace(aside, path)


def rewritten(path: Path, content: bytes) -> None:
    path.write_bytes(content)


@pytest.mark.parametrize("change", [replaced, rewritten])
@pytest.mark.parametrize(
    "after",
    [
        [line_of(B), line_of(C)],
        [line_of(B, "answes")],
        [line_of(C), line_of(A, "longer than before")],
        [line_of(C, "x" * 5000), line_of(B)],
        [line_of(B), line_of(A, "changed"), line_of(C)],
        [OLD_LINE],
        [],
    ],
    ids=["other keys", "same size", "other order", "longer", "one more", "pycachy", "empty"],
)
def test_a_file_that_was_replaced_is_noticed(
    path: Path, store: JsonlStore, change: Callable[[Path, bytes], None], after: list[bytes]
) -> None:
    """A checkout, by a new file or into the same one, leaves nothing of the old index, and writing goes to the new."""
    path.write_bytes(line_of(A) + b"\n")
    assert store.get(A) == line_of(A)
    if after == [line_of(B, "answes")]:
        assert len(after[0]) == len(line_of(A))
    change(path, b"".join(line + b"\n" for line in after))
    fresh = JsonlStore(path)
    for key in (A, B, C, OLD):
        assert store.get(key) == fresh.get(key)
    assert dict(store) == dict(fresh)
    store.put(KEYS[5], line_of(KEYS[5]))
    assert path.read_bytes().endswith(line_of(KEYS[5]) + b"\n")
    assert fresh.get(KEYS[5]) == line_of(KEYS[5])
    fresh.close()


def test_a_file_that_was_deleted(path: Path, store: JsonlStore) -> None:
    """Nothing is found any more, and the next recording starts a new file."""
    store.put(A, line_of(A))
    assert store.get(A) == line_of(A)
    path.unlink()
    assert store.get(A) is None
    store.put(B, line_of(B))
    assert path.read_bytes() == line_of(B) + b"\n"
    assert dict(store) == {B: line_of(B)}


def test_a_change_that_the_clock_does_not_show(path: Path, store: JsonlStore) -> None:
    """Even when inode, size and time stay the same, a look-up never gives another key's line."""
    path.write_bytes(line_of(A, "1") + b"\n" + line_of(B, "22") + b"\n")
    before = path.stat()
    assert store.get(A) == line_of(A, "1")
    path.write_bytes(line_of(B, "22") + b"\n" + line_of(A, "1") + b"\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.get(A) == line_of(A, "1")
    assert store.get(B) == line_of(B, "22")


@posix
@pytest.mark.parametrize("name", ["now.jsonl", "now/calls.jsonl"])
def test_a_link_that_leads_elsewhere_now(tmp_path: Path, name: str) -> None:
    """A program that runs on while its data are switched, in one step, plays what lies there now."""
    for number in "12":
        with closing(JsonlStore(tmp_path / number / "calls.jsonl")) as made:
            made.put(A, line_of(A, number))
    link = tmp_path / name.partition("/")[0]
    end = "" if "/" in name else "/calls.jsonl"
    link.symlink_to(f"1{end}")
    with closing(JsonlStore(tmp_path / name)) as store:
        assert store.get(A) == line_of(A, "1")
        (tmp_path / "new").symlink_to(f"2{end}")
        (tmp_path / "new").replace(link)
        assert store.get(A) == line_of(A, "2")
        store.put(B, line_of(B))
    assert dict(JsonlStore(tmp_path / "1" / "calls.jsonl")) == {A: line_of(A, "1")}
    assert dict(JsonlStore(tmp_path / "2" / "calls.jsonl")) == {A: line_of(A, "2"), B: line_of(B)}


def test_a_disk_that_cannot_be_read_is_no_file_without_recordings(
    store: JsonlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever copies or compacts a store must not take lines that cannot be read for lines that are gone."""
    for key in KEYS:
        store.put(key, line_of(key))
    assert store.get(A)
    real, bad = indexed.pread, line_of(B)

    def pread(fd: int, size: int, offset: int) -> bytes:
        data = real(fd, size, offset)
        if bad in data:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return data

    monkeypatch.setattr(indexed, "pread", pread)
    for ask in (lambda: store.get(B), lambda: list(store), lambda: list(reversed(store))):
        with pytest.raises(StoreError, match="cannot be read"):
            ask()
    monkeypatch.undo()
    assert store.get(B) == bad


@pytest.mark.parametrize("change", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
def test_a_file_that_changes_while_its_problems_are_looked_for(
    path: Path, store: JsonlStore, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object]
) -> None:
    """They are told of the file as it was; nobody looks for ever."""
    path.write_bytes(line_of(A) + b"\n" + b"torn\n")
    assert "the first is line 2" in (store.problems or "")
    refresh = store._refresh

    def refreshed() -> None:
        refresh()
        change(path)

    monkeypatch.setattr(store, "_refresh", refreshed)
    assert "1 line is skipped" in (store.problems or "")


@pytest.mark.parametrize("name", ["a\0b.jsonl", "a\0b.db", "a\0b/"])
def test_a_path_that_no_file_can_have(name: str) -> None:
    """A slip in a settings file is told as any other store that cannot be used."""
    with pytest.raises(StoreError, match="cannot be the path of a file"):
        open_store(name)


def test_a_clock_that_goes_backwards(path: Path, store: JsonlStore) -> None:
    """What was appended or replaced in the past is seen as well as what comes from the future."""
    path.write_bytes(line_of(A) + b"\n")
    assert store.get(B) is None
    for year, key, new in ((2001, B, False), (1990, C, True), (2040, KEYS[4], False)):
        content = path.read_bytes() + line_of(key) + b"\n"
        (replaced if new else rewritten)(path, content)
        os.utime(path, (year * 31_556_952 - 62_167_219_200,) * 2)
        assert store.get(key) == line_of(key)
        assert store.get(A) == line_of(A)


@posix
def test_a_program_that_closes_every_descriptor() -> None:
    """A daemon closes what it finds open and opens its own: the store reads on, and touches none of those."""
    code = """
import os, tempfile
from stores.contract import A, B, line_of
folder = tempfile.mkdtemp()
store = JsonlStore(folder + "/calls.jsonl")
store.put(A, line_of(A)); assert store.get(A) == line_of(A)
os.closerange(3, 64)
mine = [open(f"{folder}/{n}", "w+") for n in range(8)]
assert store.get(A) == line_of(A)
store.put(B, line_of(B)); assert store.get(B) == line_of(B)
store.close()
for file in mine:
    file.write("mine"); file.flush(); file.close()
assert {open(f"{folder}/{n}").read() for n in range(8)} == {"mine"}
assert len(open(folder + "/calls.jsonl", "rb").read().splitlines()) == 2
"""
    run(code)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("pdogtrx"), st.integers(0, 2), st.integers(0, 1)), max_size=14))
def test_any_course_of_events_is_that_of_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, course: list[tuple[str, int, int]]
) -> None:
    """Puts, deletes, old and torn lines, replacements, by two stores in any order: both always tell the same truth."""
    path = tmp_path_factory.mktemp("course") / "calls.jsonl"
    stores = [JsonlStore(path), JsonlStore(path)]
    truth: dict[str, bytes] = {}
    for step, (event, number, which) in enumerate(course):
        key, old = KEYS[number], f"{number:08x}"
        if event == "p":
            truth[key] = line_of(key, f"step {step}")
            stores[which].put(key, truth[key])
        elif event == "d":
            assert stores[which].delete(key) == (truth.pop(key, None) is not None)
        elif event == "x":
            assert stores[which].delete(old) == (truth.pop(old, None) is not None)
        elif event == "g":
            assert stores[which].get(key) == truth.get(key)
        elif event in "ot" and path.exists() and path.read_bytes()[-1:] in (b"", b"\n"):
            with path.open("ab") as file:
                line = b'{"key": "%s", "response": "step %d"}' % (old.encode(), step)
                if event == "o":
                    file.write(line + b"\n")
                    truth.setdefault(old, line)
                else:
                    file.write(line_of(key, f"torn {step}")[: 80 + number])
        elif event == "r" and path.exists():
            replaced(path, b"".join(line + b"\n" for line in truth.values()))
    for store in (*stores, JsonlStore(path)):
        assert dict(store) == truth
        assert len(store) == len(truth)
        assert store.legacy == any(len(key) == 8 for key in truth)
        store.close()


def test_the_end_of_the_interpreter_is_silent(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that outlives its module, whose names are None by then, is let go of without a word."""
    store = JsonlStore(path)
    store.put(A, line_of(A))
    with monkeypatch.context() as gone:
        for name in vars(jsonl):
            if not name.startswith("__"):
                gone.setattr(jsonl, name, None)
        store.__del__()
    store.close()


# Many processes


def test_two_processes_see_each_other(path: Path, store: JsonlStore) -> None:
    """What another process appends is found by the next look-up, also after one in vain, and the other way round."""
    code = """
from stores.contract import line_of
store = JsonlStore(sys.argv[1])
for word in sys.stdin:
    verb, key = word.split()
    if verb == "put": store.put(key, line_of(key, "theirs"))
    print(verb == "put" or store.get(key) == line_of(key, "ours"), flush=True)
"""
    other = child(code, path)
    assert other.stdin
    assert other.stdout

    def ask(verb: str, key: str) -> str:
        assert other.stdin
        assert other.stdout
        other.stdin.write(f"{verb} {key}\n")
        other.stdin.flush()
        return other.stdout.readline().strip()

    for key in KEYS:
        assert store.get(key) is None
        assert ask("put", key) == "True"
        assert store.get(key) == line_of(key, "theirs")
        assert ask("get", key) == "False"
        store.put(key, line_of(key, "ours"))
        assert ask("get", key) == "True"
    assert other.communicate() == ("", "")


def test_a_lock_that_is_never_given_back(
    path: Path, store: JsonlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that hangs with the lock delays a writer, not for ever, and readers not at all."""
    store.put(A, line_of(A))
    with path.open("rb+") as held:
        assert locking.lock(held.fileno())
        monkeypatch.setattr(locking, "PATIENCE", 0.01)
        with pytest.raises(
            StoreError, match="is locked by another process that seems to hang; end that process"
        ):
            store.put(B, line_of(B))
        assert store.get(A) == line_of(A)
        locking.unlock(held.fileno())
        store.put(B, line_of(B))
    assert len(store) == 2


def test_who_waits_for_the_lock_keeps_no_thread_from_reading(path: Path, store: JsonlStore) -> None:
    """Hits go on while another process hangs with the lock."""
    store.put(A, line_of(A))
    waiting = threading.Event()
    refresh = store._refresh

    def refreshed() -> None:
        refresh()
        waiting.set()

    store._refresh = refreshed  # type: ignore[method-assign]
    with path.open("rb+") as held:
        assert locking.lock(held.fileno())
        writer = threading.Thread(target=store.put, args=(B, line_of(B)))
        writer.start()
        assert waiting.wait(60)
        for _ in range(100):
            assert store.get(A) == line_of(A)
        assert writer.is_alive()
        locking.unlock(held.fileno())
        writer.join()
    assert store.get(B) == line_of(B)


def test_a_writer_waits_for_the_lock(path: Path, store: JsonlStore) -> None:
    """A lock that is given back after a while only delays the line."""
    store.put(A, line_of(A))
    with path.open("rb+") as held:
        assert locking.lock(held.fileno())
        timer = threading.Timer(0.05, locking.unlock, [held.fileno()])
        timer.start()
        store.put(B, line_of(B))
        timer.join()
    assert len(store) == 2


MANY = """
import os, threading
from stores.contract import line_of
path, number = sys.argv[1], int(sys.argv[2])
stores = [JsonlStore(path), JsonlStore(path)]
wrong = []
def work(thread):
    for turn in range(20):
        key = f"{number:08x}{thread:08x}{turn:016x}"
        line = line_of(key, f"{number} {thread} {turn} " * (5000 if turn % 10 == 0 else 100))
        stores[thread % 2].put(key, line)
        if stores[turn % 2].get(key) != line: wrong.append(key)
threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not wrong, wrong
"""


@pytest.mark.slow
def test_many_processes_with_many_threads(path: Path) -> None:
    """Eight processes of four threads write long and short lines at once: each is there, whole, once."""
    writers = [child(MANY, path, number) for number in range(8)]
    for writer in writers:
        _, err = writer.communicate()
        assert writer.returncode == 0, err
    store = JsonlStore(path)
    assert len(store) == 8 * 4 * 20
    assert store.problems is None
    for key, line in store:
        number, thread, turn = int(key[:8], 16), int(key[8:16], 16), int(key[16:], 16)
        assert response_of(line).body.startswith(f"{number} {thread} {turn} ".encode())
    assert len(path.read_bytes().splitlines()) == len(store)
    store.close()


FORKS = """
import os, threading, warnings
from stores.contract import line_of
warnings.simplefilter("ignore")  # Python warns of forks with threads; programs do it all the same
store, stop = JsonlStore(sys.argv[1]), threading.Event()
def work(name):
    turn = 0
    while not stop.is_set():
        key = f"{os.getpid():08x}{name:08x}{turn:016x}"
        store.put(key, line_of(key, "x" * 20_000)); turn += 1
        assert store.get(key) == line_of(key, "x" * 20_000)
threads = [threading.Thread(target=work, args=(name,)) for name in range(3)]
for thread in threads: thread.start()
children = []
for number in range(12):
    pid = os.fork()
    if pid == 0:
        for turn in range(5):
            key = f"{os.getpid():08x}{99:08x}{turn:016x}"
            store.put(key, line_of(key))
            if store.get(key) != line_of(key): os._exit(1)
        os._exit(0)
    children.append(pid)
codes = [os.waitpid(pid, 0)[1] for pid in children]
stop.set()
for thread in threads: thread.join()
assert codes == [0] * 12, codes
assert store.problems is None
assert sum(key[8:16] == f"{99:08x}" for key, _ in store) == 60
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forks_in_the_middle_of_writing(path: Path) -> None:
    """A child forked while threads of its parent write can itself read and write at once."""
    run(FORKS, path)


KILLED = """
import os
from stores.contract import line_of
store, number, turn = JsonlStore(sys.argv[1]), int(sys.argv[2]), 0
while True:
    key = f"{number:016x}{turn:016x}"
    store.put(key, line_of(key, f"{number} {turn} " * 20_000))
    os.write(1, f"{key}\\n".encode())
    turn += 1
"""


@pytest.mark.slow
def test_writers_that_are_killed_at_any_moment(path: Path) -> None:
    """`kill -9` costs at most the line that was being written: every put that returned is there."""
    moments = random.Random(7)
    promised: list[str] = []
    for number in range(0, 15, 3):
        writers = [child(KILLED, path, number + one) for one in range(3)]
        for writer in writers:
            assert writer.stdout
            for _ in range(moments.randrange(1, 15)):
                promised.append(writer.stdout.readline().strip())
            writer.kill()
            rest, err = writer.communicate()
            assert err == ""
            promised += [word for word in rest.split("\n") if len(word) == 32]
    store = JsonlStore(path)
    assert len(promised) > 15
    for key in promised:
        line = store.get(key)
        assert line == line_of(key, f"{int(key[:16], 16)} {int(key[16:], 16)} " * 20_000)
    store.put(A, line_of(A))
    assert store.get(A) == line_of(A)
    store.close()
