"""A shared store behind a local one: what travels, who waits, and that a failure costs its time limit once."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stores.contract import A, B, C, StoreContract, line_of

from cachy import notices
from cachy.engine import Engine, Wait
from cachy.exchange import Body, Request, Response
from cachy.flights import Flight
from cachy.keys import canonical
from cachy.providers import Claim
from cachy.providers.plain import PLAIN
from cachy.recording import Recording
from cachy.settings import Settings
from cachy.stores import StoreError, background, leases, shared_leases
from cachy.stores.folder import FolderStore
from cachy.stores.jsonl import JsonlStore
from cachy.stores.layered import LayeredStore
from cachy.stores.link import Link
from cachy.values import TtlRule


class Shared(FolderStore):
    """A shared store that is a folder of this machine, and as slow or broken as a test wants it."""

    in_order = True

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}/shared/")
        self.asked: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.problem: BaseException | None = None
        self.leases: dict[str, tuple[str, float]] = {}
        self._guard = threading.Lock()

    def _pass(self, what: str) -> None:
        self.asked.append(what)
        assert self.gate.wait(30)
        if self.problem is not None:
            raise self.problem

    def get(self, key: str) -> bytes | None:
        self._pass("get")
        return super().get(key)

    def put(self, key: str, line: bytes) -> None:
        self._pass("put")
        super().put(key, line)

    @property
    def providers(self) -> frozenset[str]:
        self._pass("providers")
        return super().providers

    def acquire(self, key: str, owner: str, seconds: float) -> bool:
        self._pass("acquire")
        with self._guard:
            holder, until = self.leases.get(key, ("", 0.0))
            if holder and until > time.monotonic():
                return False
            self.leases[key] = (owner, time.monotonic() + seconds)
            return True

    def renew(self, key: str, owner: str, seconds: float) -> bool:
        self._pass("renew")
        with self._guard:
            if self.leases.get(key, ("", 0))[0] != owner:
                return False
            self.leases[key] = (owner, time.monotonic() + seconds)
            return True

    def release(self, key: str, owner: str) -> None:
        self._pass("release")
        with self._guard:
            if self.leases.get(key, ("", 0))[0] == owner:
                del self.leases[key]


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(notices, "_said", set())
    monkeypatch.setattr(leases, "user_folder", lambda _: str(tmp_path))
    monkeypatch.setattr(leases, "_file", leases._File())


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shared]:
    made = Shared(tmp_path)
    yield made
    made.gate.set()


@pytest.fixture
def machine(tmp_path: Path, shared: Shared) -> Iterator[Callable[..., LayeredStore]]:
    """A store as another machine opens it: with a local store of its own."""
    opened: list[LayeredStore] = []

    def make(timeout: float = 20.0, read_only: bool = False) -> LayeredStore:
        local = JsonlStore(tmp_path / f"{len(opened)}.jsonl")
        link = Link("redis://host", lambda: shared, timeout, local.url)
        opened.append(LayeredStore(local, link, read_only))
        return opened[-1]

    yield make
    shared.gate.set()
    for store in opened:
        store.close()


def fetched(store: LayeredStore, key: str) -> bytes | None:
    """What the engine does: wait for what is under way, and look again."""
    while flight := store.fetch(key):
        flight.wait(20)
        assert flight.landed
    return store.get(key)


def led(store: LayeredStore, key: str) -> Flight:
    """A flight that leads, once everybody else has landed."""
    while True:
        flight = Flight()
        awaited = store.lease(key, flight)
        if awaited is None:
            return flight
        awaited.wait(20)
        assert awaited.landed


class TestContract(StoreContract):
    """With its shared store gone, it is what its local one is."""

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Iterator[Callable[[], Any]]:
        opened: list[LayeredStore] = []

        def reopen() -> Any:
            local = JsonlStore(tmp_path / "local.jsonl")

            def connect() -> Any:
                raise StoreError("redis://host is gone")

            store = LayeredStore(local, Link("redis://host", connect, 5.0, local.url))
            store.opened_with = local.url  # type: ignore[attr-defined]
            opened.append(store)
            return store

        yield reopen
        for store in opened:
            store.close()


# What travels


def test_what_one_machine_records_another_replays(machine: Any) -> None:
    """Written through in the background, fetched when it is asked for, and local from then on."""
    one, other = machine(), machine()
    one.put(A, line_of(A))
    one.flush()
    assert other.get(A) is None
    assert fetched(other, A) == line_of(A)
    assert other.local.get(A) == line_of(A)
    assert other.fetch(B) is not None
    assert fetched(other, B) is None


def test_a_local_recording_asks_nobody(machine: Any, shared: Shared) -> None:
    """A hit costs what it costs without a shared store."""
    store = machine(read_only=True)
    store.local.put(A, line_of(A))
    assert store.get(A) == line_of(A)
    assert shared.asked == []


def test_many_that_want_the_same_ask_once(machine: Any, shared: Shared) -> None:
    """And what is not there is not asked for again at once."""
    store = machine()
    shared.gate.clear()
    assert store.fetch(A) is store.fetch(A)
    shared.gate.set()
    assert fetched(store, A) is None
    assert store.fetch(A) is None
    assert shared.asked == ["get"]


def test_a_read_only_store_writes_nothing_there(machine: Any, shared: Shared) -> None:
    """CI reads what main has recorded."""
    shared.put(A, line_of(A))
    store = machine(read_only=True)
    assert fetched(store, A) == line_of(A)
    store.put(B, line_of(B))
    assert led(store, C).lease is not None  # of this machine alone
    store.flush()
    assert dict(store) == {A: line_of(A), B: line_of(B)}
    assert dict(FolderStore(shared.url)) == {A: line_of(A)}
    assert "acquire" not in shared.asked


def test_what_a_reader_left_half_way_stays_here(machine: Any, shared: Shared) -> None:
    """It must not take the place of the whole answer of another machine."""
    whole = Recording.from_line(line_of(A))
    partial = Recording(
        A, whole.at, "openai", whole.request, Response(200, (), b"an", partial=True)
    ).to_line()
    store = machine()
    store.put(A, partial)
    store.flush()
    assert store.get(A) == partial
    assert shared.asked == []


def test_a_full_disk_here_does_not_lose_what_is_there(machine: Any, shared: Shared, capsys: Any) -> None:
    """What cannot be written here is sent all the same, and what is fetched is served from memory."""
    shared.put(A, line_of(A))
    store = machine()
    os.mkdir(store.local.url)
    with pytest.raises(StoreError, match="directory"):
        store.put(B, line_of(B))
    store.flush()
    assert FolderStore(shared.url).get(B) == line_of(B)
    assert store.fetch(A).wait(20) is None
    assert store._kept[A] == line_of(A)


def test_providers_of_both(machine: Any, shared: Shared) -> None:
    """So that a fresh machine that replays knows whose keys it can do without."""
    shared.put(A, line_of(A))
    store = machine()
    store.put(B, line_of(B).replace(b'"openai"', b'"cohere"'))
    assert store.providers == {"openai", "cohere"}
    assert shared.asked.count("providers") == 1


def test_providers_of_a_store_that_fails(machine: Any, shared: Shared) -> None:
    """Nobody waits for what will not come."""
    shared.problem = StoreError("gone")
    store = machine(timeout=3600.0)
    store.put(B, line_of(B))
    assert store.providers == {"openai"}


def test_a_miss_is_explained_by_what_is_there(machine: Any, shared: Shared) -> None:
    """Behind the local recordings come the newest shared ones."""
    shared.put(A, line_of(A))
    store = machine()
    store.local.put(B, line_of(B))
    assert list(reversed(store)) == [(B, line_of(B))]  # nobody has asked there yet, and a miss must not wait
    fetched(store, C)
    assert list(reversed(store)) == [(B, line_of(B)), (A, line_of(A))]


def test_what_is_here_gives_way_to_what_is_newer_there_and_to_nothing_else(
    machine: Any, shared: Shared
) -> None:
    """A recording that was made here while another machine's older one was on its way stays."""
    old, new = line_of(A, "old"), line_of(A, "new").replace(b"2026-11-23", b"2026-11-24")
    store = machine()
    for there, here, left in ((old, new, new), (new, old, new)):
        shared.put(A, there)
        store.local.put(A, here)
        store._asked.clear()
        assert fetched(store, A) == left


@pytest.mark.parametrize("mode", ["auto", "replay"])
def test_an_answer_that_has_expired_here_is_looked_for_there(
    machine: Any, shared: Shared, mode: str, capsys: Any
) -> None:
    """Another machine may have renewed it; only when nobody has is it called again, or replayed as old as it is."""
    settings = Settings(active=True, mode=mode, ttl=(TtlRule("*", 3600),))
    store = machine()
    engine = Engine(settings, store)
    asked = Request(
        "POST", "https://api.example.com/v1/x", (("content-type", "application/json"),), Body(b"{}")
    )
    claim = Claim(PLAIN, "api.example.com")
    wanted = canonical(asked, claim)

    def recording(at: str, text: bytes) -> bytes:
        return Recording(wanted.key, at, "plain", wanted.data(), Response(200, (), text)).to_line()

    def verdict() -> Any:
        while isinstance(found := engine.ask(asked, claim), Wait):
            found.flight.wait(20)
        return found

    store.local.put(wanted.key, recording("2001-01-01T00:00:00Z", b"old"))
    if mode == "replay":
        assert verdict().response.body == b"old"
        assert "older than their ttl" in capsys.readouterr().err
    shared.put(wanted.key, recording("9999-01-01T00:00:00Z", b"new"))
    store._asked.clear()
    notices._said.clear()
    assert verdict().response.body == b"new"
    assert capsys.readouterr().err == ""


# A store that fails


class Panic(BaseException):
    """As obstore's: no Exception."""


@pytest.mark.parametrize(
    "problem",
    [StoreError("redis://host cannot be used"), RuntimeError("a bug of a client"), Panic("request valid: x")],
)
def test_a_failure_is_told_once_and_the_run_goes_on(
    machine: Any, shared: Shared, problem: BaseException, capsys: Any
) -> None:
    """Whatever the client raises: from then on there is the local store alone."""
    shared.problem = problem
    store = machine()
    assert fetched(store, A) is None
    assert fetched(store, B) is None
    store.put(A, line_of(A))
    store.put(B, line_of(B))
    assert led(store, C).lease is not None
    store.flush()
    assert shared.asked == ["get"]
    err = capsys.readouterr().err
    assert err.count("this run goes on with") == 1
    assert f"2 new recordings are not in redis://host; `cachy copy {store.local.url} URL`" in err


def test_an_answer_that_does_not_come_costs_the_time_limit_once(
    machine: Any, shared: Shared, capsys: Any
) -> None:
    """A server that hangs, in a client that knows no time limits."""
    store = machine(timeout=0.1)
    shared.gate.clear()
    assert fetched(store, A) is None
    assert "no answer within 0.1 s" in capsys.readouterr().err
    assert store.fetch(B) is None
    assert store.lease(B, Flight()) is None
    store.put(C, line_of(C))
    store.close()
    assert shared.asked == ["get"]


def test_a_client_that_does_not_come_to_life_costs_the_time_limit_once(tmp_path: Path, capsys: Any) -> None:
    """Its import waits for ever in a child that was forked while another thread imported it. Nobody waits with it."""
    gate = threading.Event()

    def connect() -> Any:
        gate.wait(30)
        raise StoreError("redis://host is gone")

    local = JsonlStore(tmp_path / "local.jsonl")
    store = LayeredStore(local, Link("redis://host", connect, 0.1, local.url))
    began = store.fetch(A)
    assert began is not None
    assert store.fetch(B) is not None
    began.wait(20)
    assert began.landed
    assert store.fetch(C) is None
    assert "no answer within 0.1 s" in capsys.readouterr().err
    assert not gate.is_set()
    gate.set()
    store.close()


def test_what_nothing_can_be_connected_for_is_let_go(tmp_path: Path, capsys: Any) -> None:
    """A URL that cannot be meant, a client that is not installed; in mode `record`, which asks nothing first."""

    def connect() -> Any:
        raise StoreError("redis://host needs a client")

    local = JsonlStore(tmp_path / "local.jsonl")
    store = LayeredStore(local, Link("redis://host", connect, 20.0, local.url))
    for _ in range(3):
        store.put(A, line_of(A))
        store.put(B, line_of(B))
        store._link.settle()
    store.flush()
    assert store._unsent == {}
    assert store._unsent_bytes == 0
    err = capsys.readouterr().err
    assert err.count("needs a client; this run goes on") == 1
    store.close()


def test_who_waits_for_a_lease_when_it_fails_goes_on(machine: Any, shared: Shared) -> None:
    """Nobody waits for a store that is gone."""
    one, other = machine(), machine()
    led(one, A)
    awaited = other.lease(A, Flight())
    assert awaited is not None
    shared.problem = StoreError("gone")
    fetched(other, B)
    awaited.wait(20)
    assert awaited.landed
    assert other.lease(A, Flight()) is None


def test_what_is_unsent_at_the_end_is_told(machine: Any, shared: Shared, capsys: Any) -> None:
    """The end of a program waits for the time limit, not for ever."""
    store = machine(timeout=0.1)
    shared.gate.clear()
    store.put(A, line_of(A))
    store.flush()
    assert "1 new recording is not in redis://host" in capsys.readouterr().err


def test_what_was_told_as_unsent_is_not_told_again(machine: Any, shared: Shared, capsys: Any) -> None:
    """Not even when it fails later on; and of what has arrived late nothing is told."""
    store = machine(timeout=0.1)
    shared.gate.clear()
    store.put(A, line_of(A))
    store.put(B, line_of(B))
    store.flush()
    assert "2 new recordings are not in redis://host" in capsys.readouterr().err
    notices._said.clear()
    store._link.fail("it hangs")
    shared.problem = StoreError("gone")
    shared.gate.set()
    store._link._sending.settle(time.monotonic() + 20)
    store.put(C, line_of(C))
    store.flush()
    assert "1 new recording is not in redis://host" in capsys.readouterr().err


def test_the_newest_recording_of_a_key_arrives_last(
    machine: Any, shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many threads send, and however long the older one takes."""
    held, put = threading.Event(), shared.put

    def slow(key: str, line: bytes) -> None:
        if line == line_of(A):
            assert held.wait(30)
        put(key, line)

    monkeypatch.setattr(shared, "put", slow)
    store = machine()
    for text in ("answer", "better", "best"):
        store.put(A, line_of(A, text))
    store.put(B, line_of(B))  # another thread sends this one meanwhile
    while "put" not in shared.asked:
        time.sleep(0.001)
    held.set()
    store.flush()
    assert FolderStore(shared.url).get(A) == line_of(A, "best")
    assert store._unsent == {}
    assert store._unsent_bytes == 0


def test_no_more_threads(machine: Any, shared: Shared, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """At a limit of the system, what a thread that is there already sends is sent, and counted once."""
    store = machine()
    store.put(A, line_of(A))
    while store._link._watched:
        time.sleep(0.01)

    class Refused(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr("cachy.stores.link.Thread", Refused)
    store.put(B, line_of(B))
    store.put(B, line_of(B, "again"))
    store.flush()
    assert FolderStore(shared.url).get(B) == line_of(B, "again")
    assert not store._unsent
    assert capsys.readouterr().err == ""


# One call across machines


def test_one_machine_calls_and_the_others_find_its_recording(
    machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease is given back after the recording has arrived, never before."""
    monkeypatch.setattr(shared_leases, "_PAUSES", (0.01, 0.02))
    one, other = machine(), machine()
    assert fetched(other, A) is None
    flight = led(one, A)
    assert flight.lease is not None
    awaited = other.lease(A, Flight())
    assert awaited is not None
    assert other.lease(A, Flight()) is awaited
    awaited.wait(0.1)
    assert not awaited.landed
    one.put(A, line_of(A))
    flight.land()
    awaited.wait(20)
    assert awaited.landed
    assert fetched(other, A) == line_of(A)


def test_the_end_of_a_program_gives_its_leases_back(machine: Any, shared: Shared, monkeypatch: Any) -> None:
    """Else the others would wait until they expire, for a recording that is there."""
    release = shared.release

    def slow(key: str, owner: str) -> None:
        time.sleep(0.2)
        release(key, owner)

    monkeypatch.setattr(shared, "release", slow)
    store = machine()
    flight = led(store, A)
    store.put(A, line_of(A))
    flight.land()
    store.flush()
    assert FolderStore(shared.url).get(A) == line_of(A)
    assert A not in shared.leases


def test_who_waits_for_a_lease_goes_on_when_it_cannot_be_given_back(
    machine: Any, shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store fails at the moment when the other machine has let go."""
    monkeypatch.setattr(shared_leases, "_PAUSES", (0.01, 0.02))

    def broken(key: str, owner: str) -> None:
        raise StoreError("gone")

    monkeypatch.setattr(shared, "release", broken)
    shared.leases[A] = ("another", time.monotonic() + 0.3)
    store = machine()
    awaited = store.lease(A, Flight())
    awaited.wait(20)
    assert awaited.landed


def test_a_failure_is_told_before_anybody_goes_on(machine: Any, shared: Shared, capsys: Any) -> None:
    """A call that goes out because of it goes out after the warning, and asks for no lease."""
    shared.problem = StoreError("gone")
    store = machine()
    told: list[str] = []
    flight = store.fetch(A)
    flight.on_landing(lambda: told.append(store._link.down))
    flight.wait(20)
    assert told == ["gone"]
    assert "gone; this run goes on with" in capsys.readouterr().err


def test_a_recording_that_arrived_since_it_was_looked_for(machine: Any, shared: Shared) -> None:
    """Another machine has recorded and let go between our look and our lease: its answer is used, nobody calls."""
    one, other = machine(), machine()
    assert fetched(other, A) is None
    flight = led(one, A)
    one.put(A, line_of(A))
    flight.land()
    one.flush()
    other.lease(A, Flight()).wait(20)
    assert other.get(A) == line_of(A)
    other.flush()
    assert A not in shared.leases


def test_a_recording_there_that_is_no_better_is_called_again(machine: Any, shared: Shared) -> None:
    """One that has expired here and there: the lease is held, and the call made."""
    shared.put(A, line_of(A))
    store = machine()
    assert fetched(store, A) == line_of(A)
    assert led(store, A).lease is not None


def test_when_the_first_one_fails_the_next_one_calls(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that was not recorded leaves the lease to the others, one by one."""
    monkeypatch.setattr(shared_leases, "_PAUSES", (0.01, 0.02))
    stores = [machine() for _ in range(4)]
    leading: list[int] = []
    most: list[int] = []

    def call(number: int) -> None:
        flight = led(stores[number], A)
        leading.append(number)
        most.append(len(leading))
        time.sleep(0.02)
        leading.remove(number)
        flight.land()

    threads = [threading.Thread(target=call, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]


def test_a_machine_that_dies_is_waited_for_until_its_lease_expires(
    machine: Any, shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody renews it any more."""
    monkeypatch.setattr(shared_leases, "_PAUSES", (0.01, 0.02))
    shared.leases[A] = ("dead", time.monotonic() + 0.3)
    store = machine()
    assert store.lease(A, flight := Flight()) is not None
    flight = led(store, A)
    assert flight.lease is not None
    assert shared.leases[A][0] == store._leases._owner


def test_a_long_call_keeps_its_lease_and_one_that_stalls_does_not(
    machine: Any, shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is renewed as long as the answer moves."""
    monkeypatch.setattr(shared_leases, "_RENEWAL", 0.0)
    clock = [1000.0]
    monkeypatch.setattr(shared_leases, "now", lambda: clock[0])
    store = machine()
    flight = led(store, A)

    def renewed() -> bool:
        shared.asked.clear()
        clock[0] += 1
        time.sleep(0.3)
        return "renew" in shared.asked

    assert renewed()
    flight.moved()
    assert renewed()
    clock[0] += 60
    assert not renewed()
    flight.moved()
    assert renewed()


def test_a_lease_that_nobody_picks_up_is_given_back(
    machine: Any, shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task that wanted it was cancelled."""
    store = machine()
    store.lease(A, Flight()).wait(20)
    assert A in shared.leases
    monkeypatch.setattr(shared_leases, "_RENEWAL", 0.0)
    until = time.monotonic() + 20
    while A in shared.leases and time.monotonic() < until:
        time.sleep(0.02)
    assert A not in shared.leases


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own(machine: Any, shared: Shared) -> None:
    """It fetches, records and flushes; it ends no lease of its parent and does not wait for it."""
    shared.put(A, line_of(A))
    store = machine()
    store.put(B, line_of(B))
    flight = led(store, C)
    store.flush()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            shared._guard = threading.Lock()
            flight.land()
            ok = fetched(store, A) == line_of(A) and store.lease(C, Flight()) is None
            store.put("d" * 32, line_of("d" * 32))
            store.flush()
            status = 0 if ok else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert FolderStore(shared.url).get("d" * 32) is not None
    assert shared.leases[C][0] == store._leases._owner


def test_threads_end_with_the_store() -> None:
    """A store that is closed leaves no thread behind; one that is used again has new ones."""
    done = threading.Event()
    threads = background.Threads(2, lambda problem: None)
    assert threads.do(done.set, 1.0)
    assert done.wait(20)
    threads.settle(background.now() + 20)
    assert threads.idle
    threads.end()
    done.clear()
    assert threads.do(done.set, 1.0)
    assert done.wait(20)
    threads.end()
