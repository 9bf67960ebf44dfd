"""Shared stores on real servers: the contract of all stores, leases, and what becomes of a server that fails."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stores.contract import A, B, StoreContract, line_of
from stores.servers import redis_server, s3_server

from cachy.stores import StoreError, open_store

KEYS_OF_S3 = {"AWS_ACCESS_KEY_ID": "S3RVER", "AWS_SECRET_ACCESS_KEY": "S3RVER", "AWS_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with redis_server(tmp_path_factory.mktemp("redis")) as (port, _):
        yield port


@pytest.fixture(scope="module")
def s3_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with s3_server(tmp_path_factory.mktemp("s3")) as (port, _):
        yield port


_numbers = iter(range(10_000))


class _Shared(StoreContract):
    """What the contract of all stores says, as far as a server can keep it."""

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def reopen(self, url: str) -> Iterator[Callable[[], Any]]:
        opened: list[Any] = []

        def reopen() -> Any:
            opened.append(open_store(url))
            opened[-1].opened_with = url
            return opened[-1]

        yield reopen
        for store in opened:
            store.close()

    def test_a_lease_belongs_to_one(self, store: Any, reopen: Callable[[], Any]) -> None:
        """Nobody else gets, renews or gives back what one holds; when it is given back, the next one gets it."""
        other = reopen()
        assert store.acquire(A, "me", 30)
        assert not other.acquire(A, "you", 30)
        assert other.acquire(B, "you", 30)
        assert store.renew(A, "me", 30)
        assert not other.renew(A, "you", 30)
        other.release(A, "you")
        assert not other.acquire(A, "you", 30)
        store.release(A, "me")
        assert other.acquire(A, "you", 30)
        assert not store.renew(A, "me", 30)

    def test_a_lease_expires(self, store: Any, reopen: Callable[[], Any]) -> None:
        """Who died holding one is not waited for longer than that."""
        import time

        assert store.acquire(A, "me", 0.3)
        assert not reopen().acquire(A, "you", 30)
        time.sleep(0.4)
        assert reopen().acquire(A, "you", 30)


@pytest.mark.slow
class TestRedis(_Shared):
    """redis-server."""

    @pytest.fixture
    def url(self, redis_port: int) -> str:
        return f"redis://127.0.0.1:{redis_port}/0?prefix=t{next(_numbers)}"

    def test_of_many_that_want_a_lease_one_gets_it(self, reopen: Callable[[], Any]) -> None:
        """However many ask at once."""
        stores = [reopen() for _ in range(16)]
        got: list[int] = []

        def contend(number: int) -> None:
            if stores[number].acquire(A, str(number), 30):
                got.append(number)

        threads = [threading.Thread(target=contend, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) == 1

    def test_what_the_server_has_evicted_is_skipped(self, store: Any) -> None:
        """Its key is still in the index; the others come."""
        store.put(A, line_of(A))
        store.put(B, line_of(B))
        store._client.delete(store._line + A)
        assert dict(store) == {B: line_of(B)}
        assert store.get(A) is None


@pytest.mark.slow
class TestS3(_Shared):
    """s3rver."""

    @pytest.fixture
    def url(self, s3_port: int, monkeypatch: pytest.MonkeyPatch) -> str:
        for name, value in KEYS_OF_S3.items():
            monkeypatch.setenv(name, value)
        return f"s3://calls/t{next(_numbers)}?endpoint=http://127.0.0.1:{s3_port}"

    # What an object store does not promise, or its client does not: an order of time, and to survive a fork.
    test_iteration_goes_from_the_oldest_to_the_newest = None
    test_a_forked_child_goes_on_with_it = None

    def test_it_is_not_used_after_a_fork(self, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where its client would hang, an error says what to do."""
        from cachy.stores import objects

        monkeypatch.setattr(objects, "_process", 1)
        with pytest.raises(StoreError, match="after a fork"):
            open_store("s3://calls/x")


@pytest.mark.slow
def test_a_password_is_in_no_name_and_no_error(tmp_path: Path) -> None:
    """Neither in the name of the store nor in what is said when it is wrong or the server is gone."""
    with redis_server(tmp_path, "--requirepass", "right") as (port, process):
        store = open_store(f"redis://:right@127.0.0.1:{port}/0")
        assert store.get(A) is None
        wrong = open_store(f"redis://:s3cr3t@127.0.0.1:{port}/0")
        with pytest.raises(StoreError) as error:
            wrong.get(A)
        assert store.url == f"redis://127.0.0.1:{port}/0"
        assert "s3cr3t" not in str(error.value) + wrong.url + repr(error.value.__cause__)
        process.kill()
        process.wait()
        with pytest.raises(StoreError, match="cannot be used") as error:
            store.get(A)
        assert "right" not in str(error.value)


@pytest.mark.parametrize(
    "url", ["redis://:pa55word@[", "redis://:pa55word@h/0?socket_timeout=x", "redis://:pa55word@h:port"]
)
def test_a_url_that_is_wrong(url: str) -> None:
    """It is told without its password."""
    pytest.importorskip("redis")
    with pytest.raises(StoreError, match="not a URL that redis-py understands") as error:
        open_store(url)
    assert "pa55word" not in str(error.value)


def test_a_server_that_does_not_answer_costs_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that accepts and says nothing."""
    pytest.importorskip("redis")
    import cachy.stores

    monkeypatch.setattr(cachy.stores, "TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = open_store(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        with pytest.raises(StoreError, match=r"cannot be used .*Timeout"):
            store.get(A)
        store.close()
