"""Identical requests in flight at once cause one call."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

import cachy
from cachy import flights

EVENTS = [b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n', b"data: [DONE]\n\n"]


class Gate:
    """An answer that is held back until the test opens the gate."""

    def __init__(self, server: Any, path: str = "/v1", statuses: tuple[int, ...] = (), stream: bool = False):
        self.open = threading.Event()
        self.asked = threading.Semaphore(0)
        self.statuses = list(statuses)
        self.stream = stream
        self.url = server.on(path, self.answer)

    def answer(self, handler: Any) -> None:
        number = len(handler.scripted.calls)
        self.asked.release()
        if self.stream:
            handler.head(content_type="text/event-stream", transfer_encoding="chunked")
            handler.chunk(EVENTS[0])
        assert self.open.wait(20)
        if self.stream:
            handler.chunk(EVENTS[1])
            handler.end()
        else:
            handler.whole(b'{"call":%d}' % number, status=self.statuses.pop(0) if self.statuses else 200)


@pytest.fixture
def enabled(store: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """cachy for all threads, as a with-block is for one."""
    monkeypatch.delenv("CACHY", raising=False)
    monkeypatch.delenv("CI", raising=False)

    def enable(mode: Any = "auto", **settings: Any) -> None:
        cachy.enable(mode, store=store, hosts=["127.0.0.1:*"], summary=False, **settings)

    yield enable
    cachy.disable()


@pytest.fixture
def followers(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Is released each time that somebody begins to wait for a leader."""
    waiting = threading.Semaphore(0)
    wait, on_landing = flights.Flight.wait, flights.Flight.on_landing

    def counting_wait(self: Any, seconds: float) -> None:
        waiting.release()
        wait(self, seconds)

    def counting_on_landing(self: Any, wake: Any) -> None:
        waiting.release()
        on_landing(self, wake)

    monkeypatch.setattr(flights.Flight, "wait", counting_wait)
    monkeypatch.setattr(flights.Flight, "on_landing", counting_on_landing)
    return waiting


def acquire(semaphore: threading.Semaphore, times: int = 1) -> None:
    for _ in range(times):
        assert semaphore.acquire(timeout=20)


def test_threads(lib: Any, server: Any, enabled: Any, followers: Any) -> None:
    """Eight threads ask at once: one call, eight equal answers."""
    gate = Gate(server)
    enabled()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(lib.post, gate.url, json={"q": 1}) for _ in range(8)]
        acquire(followers, 7)
        gate.open.set()
        assert [one.result().json() for one in asked] == [{"call": 1}] * 8
    assert len(server.calls) == 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_tasks(lib: Any, server: Any, using: Any, followers: Any, backend: str) -> None:
    """Tasks of one loop, on asyncio and trio; the loop goes on meanwhile."""
    gate = Gate(server)
    answers: list[Any] = []

    async def one(client: Any) -> None:
        answers.append((await client.post(gate.url, json={"q": 1})).json())

    def opener() -> None:
        acquire(followers, 7)
        gate.open.set()

    async def main_asyncio() -> None:
        async with lib.AsyncClient() as client:
            await asyncio.gather(*(one(client) for _ in range(8)))

    async def main_trio() -> None:
        import trio

        async with lib.AsyncClient() as client, trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(one, client)

    thread = threading.Thread(target=opener)
    thread.start()
    with using():
        if backend == "asyncio":
            asyncio.run(main_asyncio())
        else:
            import trio

            trio.run(main_trio)
    thread.join()
    assert answers == [{"call": 1}] * 8
    assert len(server.calls) == 1


def test_several_event_loops(lib: Any, server: Any, enabled: Any, followers: Any) -> None:
    """A leader on one loop wakes followers on others, and blocking ones."""
    gate = Gate(server)
    enabled()

    async def one() -> Any:
        async with lib.AsyncClient() as client:
            return (await client.post(gate.url, json={"q": 1})).json()

    with ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(lambda: asyncio.run(one())) for _ in range(4)]
        asked.append(pool.submit(lambda: lib.post(gate.url, json={"q": 1}).json()))
        acquire(followers, 4)
        gate.open.set()
        assert [found.result() for found in asked] == [{"call": 1}] * 5
    assert len(server.calls) == 1


def test_a_stream_is_shared_when_it_has_ended(lib: Any, server: Any, enabled: Any, followers: Any) -> None:
    """Followers of a stream get all its pieces."""
    gate = Gate(server, "/v1/chat/completions", stream=True)
    enabled()
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(lib.post, gate.url, json={"stream": True}) for _ in range(3)]
        acquire(followers, 2)
        gate.open.set()
        assert {one.result().content for one in asked} == {b"".join(EVENTS)}
    assert len(server.calls) == 1


def test_when_the_leader_fails_one_follower_takes_over(
    lib: Any, server: Any, enabled: Any, followers: Any
) -> None:
    """The error is the leader's alone; the next one calls, and the rest get its answer."""
    gate = Gate(server, statuses=(503,))
    enabled()
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(lib.post, gate.url, json={"q": 1}) for _ in range(4)]
        acquire(followers, 3)
        gate.open.set()
        answers = sorted((one.result().status_code, one.result().json()["call"]) for one in asked)
    assert answers == [(200, 2), (200, 2), (200, 2), (503, 1)]
    assert len(server.calls) == 2


def test_a_cancelled_leader_is_followed(lib: Any, server: Any, using: Any, followers: Any) -> None:
    """The task that made the call is cancelled: another one makes it."""
    gate = Gate(server)

    async def main() -> Any:
        async with lib.AsyncClient() as client:
            leader = asyncio.ensure_future(client.post(gate.url, json={"q": 1}))
            await asyncio.to_thread(acquire, gate.asked)
            follower = asyncio.ensure_future(client.post(gate.url, json={"q": 1}))
            await asyncio.to_thread(acquire, followers)
            leader.cancel()
            await asyncio.to_thread(acquire, gate.asked)
            gate.open.set()
            return (await follower).json()

    with using():
        assert asyncio.run(main()) == {"call": 2}


def test_a_follower_has_its_own_time_limit(lib: Any, server: Any, using: Any, followers: Any) -> None:
    """Who gives up waiting gives up alone."""
    gate = Gate(server)

    async def main() -> Any:
        async with lib.AsyncClient() as client:
            leader = asyncio.ensure_future(client.post(gate.url, json={"q": 1}))
            await asyncio.to_thread(acquire, gate.asked)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.post(gate.url, json={"q": 1}), 0.05)
            gate.open.set()
            return (await leader).json()

    with using():
        assert asyncio.run(main()) == {"call": 1}
    assert len(server.calls) == 1


def test_who_leads_does_not_wait_for_itself(lib: Any, server: Any, using: Any) -> None:
    """A consumer in the middle of a stream asks the same again, itself and in a task that it waits for."""
    gate = Gate(server, "/v1/chat/completions", stream=True)
    with using(), lib.stream("POST", gate.url, json={"stream": True}) as response:
        pieces = response.iter_raw()
        assert next(pieces) == EVENTS[0]
        gate.open.set()
        assert lib.post(gate.url, json={"stream": True}).content == b"".join(EVENTS)
        assert next(pieces) == EVENTS[1]

    async def main() -> bytes:
        async with lib.AsyncClient() as client, client.stream("POST", gate.url, json={"n": 2}) as response:
            async for _ in response.aiter_raw():
                return (await asyncio.ensure_future(client.post(gate.url, json={"n": 2}))).content  # type: ignore[no-any-return]
        raise AssertionError

    with using():
        assert asyncio.run(main()) == b"".join(EVENTS)


def test_a_leader_that_reads_no_further_is_left_behind(
    lib: Any, server: Any, enabled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that somebody holds open without reading holds nobody up for ever."""
    monkeypatch.setattr(flights, "PATIENCE", 0.0)
    gate = Gate(server, "/v1/chat/completions", stream=True)
    enabled()
    with lib.stream("POST", gate.url, json={"stream": True}) as response:
        assert next(response.iter_raw()) == EVENTS[0]
        gate.open.set()
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(lib.post, gate.url, json={"stream": True}).result(20).status_code == 200
    assert len(server.calls) == 2


def test_a_leader_that_was_forgotten(lib: Any, server: Any, enabled: Any, followers: Any) -> None:
    """An answer that is dropped without being read or closed lands too."""
    gate = Gate(server, "/v1/chat/completions", stream=True)
    enabled()
    client = lib.Client()
    response = client.send(client.build_request("POST", gate.url, json={"stream": True}), stream=True)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(lib.post, gate.url, json={"stream": True})
        acquire(followers)
        gate.open.set()
        del response
        assert asked.result(20).content == b"".join(EVENTS)
    client.close()


def test_different_questions_do_not_wait(lib: Any, server: Any, enabled: Any) -> None:
    """Only what is identical waits."""
    slow, quick = Gate(server, "/slow"), Gate(server, "/quick")
    quick.open.set()
    enabled()
    with ThreadPoolExecutor(2) as pool:
        held = pool.submit(lib.post, slow.url, json={"q": 1})
        acquire(slow.asked)
        assert lib.post(quick.url, json={"q": 1}).status_code == 200
        slow.open.set()
        assert held.result(20).status_code == 200


@pytest.mark.parametrize(
    ("mode", "settings"), [("record", {}), ("auto", {"repeats": "sequence"})], ids=["record", "sequence"]
)
def test_where_each_call_counts_there_is_none(
    lib: Any, server: Any, enabled: Any, mode: str, settings: Any
) -> None:
    """In record mode and in a sequence every call is made."""
    gate = Gate(server)
    enabled(mode, **settings)
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(lib.post, gate.url, json={"q": 1}) for _ in range(3)]
        acquire(gate.asked, 3)
        gate.open.set()
        assert sorted(one.result(20).json()["call"] for one in asked) == [1, 2, 3]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_its_parents_leader(lib: Any, server: Any, enabled: Any) -> None:
    """The leader flies on in the parent; the child calls for itself."""
    gate = Gate(server)
    enabled()
    with ThreadPoolExecutor(1) as pool:
        leader = pool.submit(lib.post, gate.url, json={"q": 1})
        acquire(gate.asked)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = 0 if lib.post(gate.url, json={"q": 1}).status_code == 200 else 1
            finally:
                os._exit(status)
        acquire(gate.asked)  # the child has called
        gate.open.set()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert leader.result(20).status_code == 200


@pytest.mark.parametrize("how", ["thread", "task"])
def test_who_has_less_time_does_not_wait_longer(how: str, lib: Any, server: Any, enabled: Any) -> None:
    """A follower waits no longer than for an answer of its own, then calls for itself, with its own time limit."""
    gate = Gate(server)
    enabled()

    async def ask() -> None:
        async with lib.AsyncClient(timeout=0.2) as client:
            await client.get(gate.url)

    def follow() -> None:
        if how == "task":
            asyncio.run(ask())
        else:
            with lib.Client(timeout=0.2) as client:
                client.get(gate.url)

    with ThreadPoolExecutor(2) as pool, lib.Client(timeout=None) as client:
        leader = pool.submit(client.get, gate.url)
        assert gate.asked.acquire(timeout=20)
        follower = pool.submit(follow)
        alone = gate.asked.acquire(timeout=20)
        problem = follower.exception(timeout=20) if alone else None
        gate.open.set()
        assert leader.result(timeout=20).json() == {"call": 1}
    assert alone
    assert isinstance(problem, lib.ReadTimeout)


def shortly_in_requests(url: str) -> None:
    pytest.importorskip("requests").get(url, timeout=0.2)


def shortly_in_urllib3(url: str) -> None:
    urllib3 = pytest.importorskip("urllib3")
    with urllib3.PoolManager(timeout=urllib3.Timeout(total=0.2), retries=False) as manager:
        manager.request("GET", url)


def shortly_in_lm15(url: str) -> None:
    transports = pytest.importorskip("lm15.transports")
    request = transports.TransportRequest("GET", url)
    with transports.StdlibTransport(read_timeout=0.2) as transport, transport.stream(request) as response:
        response.read()


def shortly_in_lm15_async(url: str) -> None:
    transports = pytest.importorskip("lm15.transports")

    async def main() -> None:
        request = transports.TransportRequest("GET", url, read_timeout=0.2)
        async with transports.StdlibAsyncTransport() as transport, transport.stream(request) as response:
            await response.read()

    asyncio.run(main())


@pytest.mark.parametrize(
    "ask", [shortly_in_requests, shortly_in_urllib3, shortly_in_lm15, shortly_in_lm15_async]
)
def test_nor_does_who_has_another_client(ask: Any, server: Any, enabled: Any) -> None:
    gate = Gate(server)
    enabled()
    with ThreadPoolExecutor(2) as pool, httpx.Client(timeout=None) as client:
        leader = pool.submit(client.get, gate.url)
        assert gate.asked.acquire(timeout=20)
        follower = pool.submit(ask, gate.url)
        alone = gate.asked.acquire(timeout=5)
        problem = follower.exception(timeout=20) if alone else None
        gate.open.set()
        assert leader.result(timeout=20).json() == {"call": 1}
    assert alone
    assert re.search("timed? ?out", str(problem), re.IGNORECASE)


# Across processes

ASK = """
import sys
import cachy, {lib}
cachy.enable("auto", store=sys.argv[1], hosts=["127.0.0.1:*"], summary=False)
print({lib}.post(sys.argv[2], json={{"q": 1}}, timeout=30).text, flush=True)
print(cachy.stats().hits, cachy.stats().recorded, flush=True)
"""


def asking(lib: Any, store: str, url: str, folder: Path) -> subprocess.Popen[str]:
    """A process of its own that asks."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("CACHY") and name != "CI"}
    env.update(
        XDG_CACHE_HOME=str(folder), LOCALAPPDATA=str(folder), PYTHONPATH=str(Path(cachy.__file__).parents[1])
    )
    code = ASK.format(lib=lib.__name__)
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", code, store, url], env=env, stdout=pipe, stderr=pipe, text=True
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["calls.jsonl", "calls/", "calls.db"])
def test_processes(lib: Any, server: Any, tmp_path: Path, name: str) -> None:
    """Of four processes that ask the same at once one calls, and all get its answer."""
    gate = Gate(server)
    askers = [asking(lib, f"{tmp_path}/{name}", gate.url, tmp_path) for _ in range(4)]
    acquire(gate.asked)
    assert not gate.asked.acquire(timeout=1.5)  # the others have come meanwhile
    gate.open.set()
    found = [asker.communicate(timeout=60) for asker in askers]
    assert [out.split("\n")[0] for out, _ in found] == ['{"call":1}'] * 4, found
    assert sorted(out.split("\n")[1] for out, _ in found) == ["0 1", "1 0", "1 0", "1 0"]
    assert not gate.asked.acquire(blocking=False)


@pytest.mark.slow
def test_a_process_that_is_killed_while_it_calls(lib: Any, server: Any, tmp_path: Path) -> None:
    """Who waits for it calls at once."""
    gate = Gate(server)
    first = asking(lib, f"{tmp_path}/calls.jsonl", gate.url, tmp_path)
    acquire(gate.asked)
    second = asking(lib, f"{tmp_path}/calls.jsonl", gate.url, tmp_path)
    assert not gate.asked.acquire(timeout=1.5)
    first.kill()
    first.communicate()
    acquire(gate.asked)
    gate.open.set()
    assert second.communicate(timeout=60)[0] == '{"call":2}\n0 1\n'
