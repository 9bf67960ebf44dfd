"""What every store must do: subclass `StoreContract` and give it the fixture `reopen`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from cachy.exchange import Response
from cachy.recording import Recording

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
