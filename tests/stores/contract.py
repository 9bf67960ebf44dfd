"""What every store must do: subclass `StoreContract` and give it the fixture `reopen`."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cachy
from cachy.exchange import Response
from cachy.recording import Recording
from cachy.stores import indexed, side_files

ROOT = str(Path(cachy.__file__).parent.parent)

KEYS = [f"{number:032x}" for number in range(1, 9)]
A, B, C = KEYS[:3]


def line_of(key: str, text: str | bytes = "answer") -> bytes:
    """The line of a real recording, whose answer is `text`."""
    body = text.encode() if isinstance(text, str) else text
    request = {
        "method": "POST",
        "host": "api.openai.com",
        "path": "/v1/x",
        "body": {"json": {"n": [{"m": {}}]}},
    }
    answer = Response(200, (("content-type", "application/json"),), body)
    return Recording(key, "2026-11-23T08:00:00Z", "openai", request, answer).to_line()


def child(code: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """A process of its own that runs `code` with this cachy, its pipes open."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("CACHY", "PYTHON"))}
    env["CACHY"] = "0"
    prelude = (
        f"import sys; sys.path[:0] = {[ROOT, str(Path(ROOT) / 'tests'), str(Path(__file__).parents[1])]!r}\n"
        "from cachy.stores import StoreError, index, side_files, indexed, open_store\n"
        "from cachy.stores.jsonl import JsonlStore\n"
        f"side_files.folder = lambda: {side_files.folder()!r}\n"
        f"indexed._SCANNED, indexed._IN_MEMORY = {indexed._SCANNED}, {indexed._IN_MEMORY}\n"
    )
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", prelude + code, *map(str, arguments)],
        env=env, stdin=pipe, stdout=pipe, stderr=pipe, text=True, **options,
    )  # fmt: skip


def run(code: str, *arguments: object, **options: Any) -> str:
    """The output of a child that must end well."""
    process = child(code, *arguments, **options)
    try:
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()  # one that hangs must not hang the tests
    assert process.returncode == 0, err
    return out


def url_of(store: Any) -> str:
    """What another process opens the store with; that of a shared one has more in it than its name tells."""
    return str(getattr(store, "opened_with", store.url))


class StoreContract:
    """The behaviour of `cachy.stores.Store`. Each call of the fixture `reopen` opens the same store once more."""

    @pytest.fixture
    def reopen(self) -> Callable[[], Any]:
        raise NotImplementedError

    @pytest.fixture
    def store(self, reopen: Callable[[], Any]) -> Any:
        return reopen()

    def test_an_empty_store(self, store: Any) -> None:
        """A store that nobody wrote to answers every question, and has a name."""
        assert store.get(A) is None
        assert store.delete(A) is False
        assert len(store) == 0
        assert list(store) == []
        assert store.legacy is False
        assert isinstance(store.url, str)

    @pytest.mark.parametrize(
        "text",
        ["", "short", "h\u00e9 \u2603 \u2028 \x85 \0 \\n\n\r\n\t", b"\xff\xfe\0", "x" * 3_000_000],
        ids=["empty", "short", "odd", "binary", "3 MB"],
    )
    def test_a_line_comes_back_byte_for_byte(
        self, store: Any, reopen: Callable[[], Any], text: str | bytes
    ) -> None:
        """Whatever an answer holds, and however long it is, its line and its neighbours are untouched."""
        lines = {A: line_of(A, "before"), B: line_of(B, text), C: line_of(C, "after")}
        for key, line in lines.items():
            store.put(key, line)
        for opened in (store, reopen()):
            assert {key: opened.get(key) for key in lines} == lines

    def test_the_newest_line_of_a_key_wins(self, store: Any, reopen: Callable[[], Any]) -> None:
        """Recording again replaces, and does not count twice."""
        store.put(A, line_of(A, "old"))
        assert store.get(A) == line_of(A, "old")
        store.put(A, line_of(A, "new"))
        for opened in (store, reopen()):
            assert opened.get(A) == line_of(A, "new")
            assert len(opened) == 1

    def test_a_deleted_key_is_gone_until_it_is_recorded_again(
        self, store: Any, reopen: Callable[[], Any]
    ) -> None:
        """`delete` says whether there was something to delete, and touches no other key."""
        store.put(A, line_of(A))
        store.put(B, line_of(B))
        assert store.delete(A) is True
        assert store.delete(A) is False
        for opened in (store, reopen()):
            assert opened.get(A) is None
            assert dict(opened) == {B: line_of(B)}
        store.put(A, line_of(A, "again"))
        for opened in (store, reopen()):
            assert opened.get(A) == line_of(A, "again")
            assert len(opened) == 2

    def test_keys_are_told_without_their_lines(self, store: Any, reopen: Callable[[], Any]) -> None:
        """Those that are there, each once, whatever was replaced or deleted; many of them, too."""
        many = [f"{number:032x}" for number in range(1, 1200)]
        for key in many:
            store.put(key, line_of(key))
        store.put(many[0], line_of(many[0], "again"))
        store.delete(many[1])
        for opened in (store, reopen()):
            assert sorted(opened.all_keys()) == [many[0], *many[2:]]

    def test_iteration_goes_from_the_oldest_to_the_newest(self, store: Any) -> None:
        """A key that was recorded again takes the place of its newest line."""
        for key in (C, A, B):
            store.put(key, line_of(key))
        store.put(A, line_of(A, "again"))
        assert list(store) == [(C, line_of(C)), (B, line_of(B)), (A, line_of(A, "again"))]
        assert list(reversed(store)) == list(store)[::-1]

    def test_iteration_over_more_than_is_read_at_a_time(self, store: Any) -> None:
        """Lines of every size come whole and in order, from either end."""
        lines = {f"{n:032x}": line_of(f"{n:032x}", "x" * (n * 7919 % 120_000)) for n in range(40)}
        for key, line in lines.items():
            store.put(key, line)
        assert list(store) == list(lines.items())
        assert list(reversed(store)) == list(lines.items())[::-1]

    def test_the_providers_of_its_recordings(self, store: Any, reopen: Callable[[], Any]) -> None:
        """The store knows whose recordings it holds."""
        assert store.providers == frozenset()
        for key, name in ((A, "openai"), (B, "openai"), (C, "x-é")):
            store.put(key, line_of(key).replace(b'"openai"', f'"{name}"'.encode()))
        for opened in (store, reopen()):
            assert opened.providers == {"openai", "x-é"}

    def test_two_open_stores_see_each_other(self, store: Any, reopen: Callable[[], Any]) -> None:
        """What one writes or deletes the other sees at its next look, also after it looked in vain."""
        other = reopen()
        assert other.get(A) is None
        store.put(A, line_of(A))
        assert other.get(A) == line_of(A)
        other.put(A, line_of(A, "new"))
        other.put(B, line_of(B))
        assert store.get(A) == line_of(A, "new")
        assert len(store) == 2
        store.delete(B)
        assert other.get(B) is None
        assert list(other) == list(store)

    def test_another_process_sees_it_at_once(self, store: Any) -> None:
        """What one process writes or deletes another one that has the store open sees at its next look."""
        code = """
store = open_store(sys.argv[1])
for key in sys.stdin:
    print(repr(store.get(key.strip())), len(store), flush=True)
"""
        other = child(code, url_of(store))
        assert other.stdin is not None
        assert other.stdout is not None

        def seen() -> str:
            other.stdin.write(A + "\n")
            other.stdin.flush()
            return str(other.stdout.readline()).strip()

        try:
            assert seen() == "None 0"
            store.put(A, line_of(A))
            assert seen() == f"{line_of(A)!r} 1"
            store.put(A, line_of(A, "new"))
            assert seen() == f"{line_of(A, 'new')!r} 1"
            store.delete(A)
            assert seen() == "None 0"
        finally:
            other.communicate(timeout=30)
        assert other.returncode == 0

    @pytest.mark.slow
    def test_many_processes_write_at_once(self, store: Any, reopen: Callable[[], Any]) -> None:
        """Six processes, each with keys of its own and one key that all write: nothing is lost or mixed."""
        code = """
from stores.contract import line_of
store, number = open_store(sys.argv[1]), int(sys.argv[2])
for turn in range(40):
    for key in (f"{number:016x}{turn:016x}", "f" * 32):
        store.put(key, line_of(key, f"{number} {turn} " * (turn * 50)))
"""
        writers = [child(code, url_of(store), number) for number in range(1, 7)]
        for writer in writers:
            _, err = writer.communicate(timeout=120)
            assert writer.returncode == 0, err
        found = reopen()
        assert len(found) == 6 * 40 + 1
        for number in range(1, 7):
            for turn in range(40):
                key = f"{number:016x}{turn:016x}"
                assert found.get(key) == line_of(key, f"{number} {turn} " * (turn * 50))
        last = {line_of("f" * 32, f"{number} 39 " * 39 * 50) for number in range(1, 7)}
        assert found.get("f" * 32) in last

    @pytest.mark.slow
    def test_a_writer_that_is_killed_loses_nothing_it_was_done_with(
        self, store: Any, reopen: Callable[[], Any]
    ) -> None:
        """kill -9 at some moment, again and again: what `put` had returned for is there, and writing goes on."""
        code = """
from stores.contract import line_of
store, number = open_store(sys.argv[1]), int(sys.argv[2])
for turn in range(100_000):
    key = f"{number:016x}{turn:016x}"
    store.put(key, line_of(key, "x" * 20_000))
    print(key, flush=True)
"""
        done: list[str] = []
        for number in range(1, 9):
            writer = child(code, url_of(store), number)
            assert writer.stdout is not None
            done.append(writer.stdout.readline().strip())
            time.sleep(0.011 * number)
            writer.kill()
            rest, _ = writer.communicate(timeout=30)
            done += [key for key in rest.split("\n")[:-1] if len(key) == 32]
        found = reopen()
        assert len(done) >= 8
        assert [key for key in done if found.get(key) != line_of(key, "x" * 20_000)] == []
        found.put(A, line_of(A))
        assert dict(reopen())[A] == line_of(A)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_a_forked_child_goes_on_with_it(self, store: Any) -> None:
        """Parent and child read and write what was open before the fork, both at once."""
        store.put(A, line_of(A))
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                store.put(B, line_of(B))
                status = 0 if store.get(A) == line_of(A) else 2
            finally:
                os._exit(status)
        store.put(C, line_of(C))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert {key for key, _ in store} == {A, B, C}

    def test_a_recording_of_pycachy(self, store: Any, reopen: Callable[[], Any]) -> None:
        """Its line keeps its own key and bytes in every store; both of its forms."""
        old = {
            "0123abcd": b'{"key": "0123abcd", "response": "{}", "headers": null, "status_code": 200, "binary": false}',
            "89abcdef": b'89abcdef|{"a":1}',
        }
        for key, line in old.items():
            store.put(key, line)
        store.put(A, line_of(A))
        for opened in (store, reopen()):
            assert dict(opened) == {**old, A: line_of(A)}
            assert opened.legacy is True
            assert opened.providers == {"openai"}
        for key in old:
            assert store.delete(key)
        assert store.legacy is False

    @pytest.mark.parametrize(
        ("key", "line"),
        [(A, line_of(B)), (A, line_of(A)[:-2]), (A, line_of(A) + b"\n"), ("xyz", b"{}"), ("../up", b'{"key":"../up",}'),
         ("0123abcd", b'{"key": "0123abce", "response": "{}"}')],
    )  # fmt: skip
    def test_what_is_no_recording_is_not_taken(self, store: Any, key: str, line: bytes) -> None:
        """A line under another key, half a line, two lines: a mistake of a program, told at once."""
        with pytest.raises(ValueError, match="not the line of a recording"):
            store.put(key, line)
        assert store.get(key) is None
        assert len(store) == 0

    def test_a_closed_store_can_be_used_again(self, store: Any) -> None:
        """`close` only lets go; closing twice is no error."""
        store.put(A, line_of(A))
        store.close()
        store.close()
        assert store.get(A) == line_of(A)
        store.close()
        store.put(B, line_of(B))
        assert len(store) == 2

    def test_many_threads_at_once(self, store: Any, reopen: Callable[[], Any]) -> None:
        """Eight threads that write and read, on one store and on another, lose nothing and read no other's line."""
        wrong: list[object] = []
        other = reopen()

        def work(number: int) -> None:
            try:
                for turn in range(25):
                    key = f"{number:016x}{turn:016x}"
                    mine = (store, other)[turn % 2]
                    mine.put(key, line_of(key, f"{number} {turn} " * 50))
                    for opened in (store, other):
                        if opened.get(key) != line_of(key, f"{number} {turn} " * 50):
                            wrong.append(key)
            except Exception as problem:  # noqa: BLE001 - shown by the assertion
                wrong.append(problem)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert len(store) == len(reopen()) == 200
