"""Shared stores on real servers: the contract of all stores, leases, and what becomes of a server that fails."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stores.contract import A, B, StoreContract, line_of
from stores.servers import AZURE_ACCOUNT, Bucket, bucket, redis_server

from cachy.stores import StoreError, open_store


@pytest.fixture(scope="module")
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with redis_server(tmp_path_factory.mktemp("redis")) as (port, _):
        yield port


@pytest.fixture(scope="module", params=["s3", "gs", "az"])
def cloud(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with bucket(request.param, tmp_path_factory.mktemp(request.param)) as made:
        yield made


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

    @pytest.mark.parametrize("expired", [False, True], ids=["free", "expired"])
    def test_of_many_that_want_a_lease_one_gets_it(self, reopen: Callable[[], Any], expired: bool) -> None:
        """However many ask at once, and whether or not its last holder died."""
        import time

        stores = [reopen() for _ in range(16)]
        for turn in range(3):
            key = f"{turn:032x}"
            if expired:
                assert stores[0].acquire(key, "dead", 0.01)
                time.sleep(0.02)
            together, got = threading.Barrier(16), []

            def contend(number: int, key: str = key, got: list[int] = got, together: Any = together) -> None:
                together.wait(30)
                if stores[number].acquire(key, str(number), 30):
                    got.append(number)

            threads = [threading.Thread(target=contend, args=(number,)) for number in range(16)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(got) == 1
            assert stores[1].renew(key, str(got[0]), 30)


@pytest.mark.slow
class TestRedis(_Shared):
    """redis-server."""

    @pytest.fixture
    def url(self, redis_port: int) -> str:
        return f"redis://127.0.0.1:{redis_port}/0?prefix=t{next(_numbers)}"

    def test_what_the_server_has_evicted_is_skipped(self, store: Any) -> None:
        """Its key is still in the index; the others come."""
        store.put(A, line_of(A))
        store.put(B, line_of(B))
        store._client.delete(store._line + A)
        assert dict(store) == {B: line_of(B)}
        assert store.get(A) is None


@pytest.mark.slow
class TestObjects(_Shared):
    """s3rver, fake-gcs-server and Azurite."""

    @pytest.fixture
    def url(self, cloud: Bucket, monkeypatch: pytest.MonkeyPatch) -> str:
        for name, value in cloud.env.items():
            monkeypatch.setenv(name, value)
        return cloud.url(f"t{next(_numbers)}")

    # What an object store does not promise, or its client does not: an order of time, and to survive a fork.
    test_iteration_goes_from_the_oldest_to_the_newest = None
    test_a_forked_child_goes_on_with_it = None

    @pytest.mark.parametrize("expired", [False, True], ids=["free", "expired"])
    def test_of_many_that_want_a_lease_one_gets_it(
        self, cloud: Bucket, reopen: Callable[[], Any], expired: bool
    ) -> None:
        """Where the service writes on conditions: all three do, but not s3rver."""
        if cloud.scheme == "s3":
            pytest.skip("s3rver knows no conditional writes")
        super().test_of_many_that_want_a_lease_one_gets_it(reopen, expired)

    def test_a_lease_that_is_about_to_expire_is_left_to_that(
        self, store: Any, reopen: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It may be another machine's when the deletion arrives, and nothing deletes on a condition."""
        from cachy.stores import objects

        assert store.acquire(A, "me", 4)
        store.release(A, "me")
        assert not reopen().acquire(A, "you", 30)
        monkeypatch.setattr(objects, "_MARGIN", 0)
        store.release(A, "me")
        assert reopen().acquire(A, "you", 30)

    def test_two_that_delete_the_same(self, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """The second one finds nothing to do; that is no failure of the store."""
        store.put(A, line_of(A))
        get = store._get

        def slowly(path: str) -> Any:
            found = get(path)
            store._api.delete(store._store, path)
            return found

        monkeypatch.setattr(store, "_get", slowly)
        store.delete(A)
        monkeypatch.undo()
        assert store.get(A) is None

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


@pytest.mark.slow
def test_the_ways_to_name_an_account_of_azure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the URL, by the variables of `az`, by a connection string: one store."""
    with bucket("az", tmp_path) as made:
        key = made.env["AZURE_STORAGE_ACCOUNT_KEY"]
        text = f"DefaultEndpointsProtocol=http;AccountName={AZURE_ACCOUNT};AccountKey={key};BlobEndpoint={made.endpoint};"
        ways: list[tuple[str, dict[str, str]]] = [
            (made.url("x"), made.env),
            (
                f"az://calls@{AZURE_ACCOUNT}.blob.core.windows.net/x?endpoint={made.endpoint}",
                {"AZURE_STORAGE_KEY": key},
            ),
            ("az://calls/x", {"AZURE_STORAGE_CONNECTION_STRING": text}),
        ]
        for number, (url, env) in enumerate(ways):
            with monkeypatch.context() as patch:
                for name, value in env.items():
                    patch.setenv(name, value)
                store = open_store(url)
                store.put(f"{number:032x}", line_of(f"{number:032x}"))
                assert len(store) == number + 1
                assert key not in store.url


def test_credentials_that_obstore_does_not_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Google's federation, as in GitHub's actions: what to do instead."""
    pytest.importorskip("obstore")
    (tmp_path / "federated.json").write_text(
        '{"type": "external_account", "audience": "//iam.googleapis.com/x"}'
    )
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "federated.json"))
    with pytest.raises(StoreError, match=r"gs://calls/x cannot be used: .*GOOGLE_BEARER_TOKEN"):
        open_store("gs://calls/x")


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
