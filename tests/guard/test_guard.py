"""What reaches a known provider past the adapters is counted and told; in replay mode it is refused."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

import cachy
from cachy import guard

from .conftest import HOST, Provider

Enable = Callable[..., None]
REQUEST = b"GET / HTTP/1.1\r\n\r\n"


def by_socket(port: int) -> bytes:
    with socket.create_connection((HOST, port)) as connection:
        connection.sendall(REQUEST)
        return connection.recv(12)


async def by_streams(port: int) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(REQUEST)
        return await reader.read(12)
    finally:
        writer.close()
        await writer.wait_closed()


def run_streams(port: int) -> bytes:
    return asyncio.run(by_streams(port))


def run_trio(port: int) -> bytes:
    import trio

    async def call() -> bytes:
        async with await trio.open_tcp_stream(HOST, port) as stream:
            await stream.send_all(REQUEST)
            return bytes(await stream.receive_some(12))

    return trio.run(call)


def run_anyio(port: int) -> bytes:
    import anyio

    async def call() -> bytes:
        async with await anyio.connect_tcp(HOST, port) as stream:
            await stream.send(REQUEST)
            return await stream.receive(12)

    return anyio.run(call)


WAYS = pytest.mark.parametrize("way", [by_socket, run_streams, run_trio, run_anyio])


@WAYS
def test_a_call_past_the_adapters_is_counted_once(way: Any, provider: Provider, enable: Enable) -> None:
    """It goes out, and counts one: not one for the look-up and one for each address or thread on the way."""
    enable()
    assert way(provider.port) == b"HTTP/1.1 200"
    assert cachy.stats().escaped == 1
    way(provider.port)
    assert cachy.stats().escaped == 2


@WAYS
def test_replay_refuses_it_before_it_connects(way: Any, provider: Provider, enable: Enable) -> None:
    """The caller gets a Miss that names the host, and nothing arrives."""
    enable("replay")
    with pytest.raises(cachy.Miss, match=HOST):
        way(provider.port)
    assert provider.greeted == 0
    assert (cachy.stats().missed, cachy.stats().escaped) == (1, 0)


@WAYS
def test_bypass_is_allowed_in_every_mode(way: Any, provider: Provider, enable: Enable) -> None:
    """In `with cachy.bypass()` nothing is counted and nothing refused, whichever thread looks the name up."""
    enable("replay")
    with cachy.bypass():
        assert way(provider.port) == b"HTTP/1.1 200"
    assert cachy.stats().handled == 0


def test_the_line_and_the_library_are_told_once(
    provider: Provider, enable: Enable, capfd: pytest.CaptureFixture[str]
) -> None:
    """Stderr gets one line for a library, the exit line the place of the commonest escape."""
    enable()
    for _ in range(2):
        by_socket(provider.port)
    (line,) = capfd.readouterr().err.splitlines()
    number = by_socket.__code__.co_firstlineno + 1
    assert line.startswith("cachy: socket at ")
    assert f"test_guard.py:{number} reached {HOST} past cachy" in line
    assert list(cachy.stats().escapes.values()) == [2]
    from cachy.report.terminal import exit_line

    (place,) = cachy.stats().escapes
    assert exit_line(cachy.stats(), "").endswith(f"2 escaped ({place})")


async def over_aiohttp(url: str) -> None:
    aiohttp: Any = pytest.importorskip("aiohttp")
    connector = aiohttp.TCPConnector(resolver=aiohttp.ThreadedResolver())  # not one past the socket module
    async with aiohttp.ClientSession(connector=connector) as session, session.get(url) as response:
        await response.read()


@pytest.mark.parametrize("client", ["sync", "asyncio", "trio", "aiohttp"])
def test_a_recorded_call_is_no_escape(client: str, provider: Provider, enable: Enable) -> None:
    """The live call of an adapter of ours is known as such, though asyncio looks its name up in another thread."""
    enable()
    url = f"http://{HOST}:{provider.port}/v1"

    async def call() -> None:
        async with httpx.AsyncClient() as http:
            await http.get(url)

    if client == "sync":
        httpx.get(url)
    elif client == "asyncio":
        asyncio.run(call())
    elif client == "aiohttp":
        asyncio.run(over_aiohttp(url))
    else:
        import trio

        trio.run(call)
    assert (cachy.stats().recorded, cachy.stats().escaped) == (1, 0)


def test_a_kept_connection_is_no_second_escape(provider: Provider, enable: Enable) -> None:
    """Only connections are seen; requests that follow on one are not counted again."""
    enable()
    with socket.create_connection((HOST, provider.port)) as connection:
        for _ in range(3):
            connection.sendall(REQUEST)
            connection.recv(200)
    assert cachy.stats().escaped == 1


def test_the_other_addresses_of_a_host_are_the_same_call(
    provider: Provider, enable: Enable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the first address does not answer and the next does, one call has escaped."""
    both = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", provider.port)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", provider.port)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both[::-1])
    enable()
    by_socket(provider.port)
    by_socket(provider.port)
    assert cachy.stats().escaped == 2


def test_a_name_that_cannot_be_looked_up_counts(enable: Enable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network the call escapes as well; it only comes to nothing."""

    def fail(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "no network")

    with monkeypatch.context() as offline:
        offline.setattr(socket, "getaddrinfo", fail)
        enable(hosts=[HOST])
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(f"http://{HOST}/")
        cachy.disable()
    (by,) = cachy.stats().escapes
    assert by.startswith("urllib.request at ")


def test_another_host_at_the_same_address_is_left_alone(provider: Provider, enable: Enable) -> None:
    """Hosts share addresses at a CDN: an address belongs to the name that was looked up last."""
    enable()
    by_socket(provider.port)
    with socket.create_connection(("another.test", provider.port)):
        pass
    assert cachy.stats().escaped == 1


@pytest.mark.parametrize("hosts", [["localhost:*"], ["127.0.0.1:{port}"], ["127.0.0.1"], ["*.guarded.test"]])
def test_where_a_connection_alone_says_nothing_the_guard_is_quiet(
    hosts: list[str], provider: Provider, enable: Enable
) -> None:
    """Servers on loopback are knocked at to see whether they are up; on any port of a host anything may listen."""
    enable("replay", hosts=[host.format(port=provider.port) for host in hosts])
    for name in ("127.0.0.1", "localhost", HOST):
        with socket.create_connection((name, provider.port)):
            pass
    assert cachy.stats().handled == 0


def test_it_can_be_switched_off(provider: Provider, enable: Enable) -> None:
    """With `guard=False` calls past the adapters are nobody's business, in replay mode too."""
    enable("replay", guard=False)
    assert by_socket(provider.port) == b"HTTP/1.1 200"
    assert cachy.stats().handled == 0


def test_a_block_is_guarded_with_its_own_mode(provider: Provider, enable: Enable, tmp_path: Any) -> None:
    """`using("replay")` refuses what the mode around it would let escape, and only in its own context."""
    enable()
    hosts = [f"{HOST}:{provider.port}"]
    with cachy.using("replay", hosts=hosts, store=tmp_path / "other.jsonl"), ThreadPoolExecutor(1) as pool:
        for way in (by_socket, run_streams):
            with pytest.raises(cachy.Miss):
                way(provider.port)
        assert pool.submit(by_socket, provider.port).result(10) == b"HTTP/1.1 200"
    assert (cachy.stats().missed, cachy.stats().escaped) == (2, 1)


def test_a_thread_gets_the_refusal_too(provider: Provider, enable: Enable) -> None:
    """What runs in a thread is refused there."""
    enable("replay")
    with ThreadPoolExecutor(1) as pool, pytest.raises(cachy.Miss):
        pool.submit(by_socket, provider.port).result(10)
    assert provider.greeted == 0


def test_disabled_nothing_is_left_behind(provider: Provider, enable: Enable) -> None:
    """`cachy.disable()` puts every function back: cachy that is off costs nothing."""
    import subprocess

    def doors() -> list[Any]:
        return [
            socket.getaddrinfo,
            vars(socket.socket).get("connect"),
            vars(socket.socket).get("connect_ex"),
            asyncio.BaseEventLoop.getaddrinfo,
            ssl.SSLContext.wrap_socket,
            ssl.SSLContext.wrap_bio,
            subprocess.Popen.__init__,
        ]

    before = doors()
    enable()
    assert not any(one is other for one, other in zip(before, doors(), strict=True) if one)
    cachy.disable()
    assert doors() == before


def test_a_patch_on_top_of_ours_stays(
    provider: Provider, enable: Enable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else's wrapper around ours is not torn off; what is left of ours below it judges nothing."""
    enable("replay")
    ours = socket.getaddrinfo

    def theirs(*rest: Any, **named: Any) -> Any:
        return ours(*rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", theirs)
    cachy.disable()
    assert socket.getaddrinfo is theirs
    assert by_socket(provider.port) == b"HTTP/1.1 200"


def test_an_error_of_the_guard_lets_the_call_pass(
    provider: Provider,
    enable: Enable,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Whatever goes wrong in judging, the program connects, and one line says so."""
    from cachy import session

    enable()

    def fail() -> Any:
        raise ZeroDivisionError("made for this test")

    monkeypatch.setattr(session, "guarding", fail)
    assert by_socket(provider.port) == b"HTTP/1.1 200"
    assert capfd.readouterr().err.count("the guard could not judge a connection") == 1


class _Handshakes:
    """TLS towards nobody: only its beginning matters."""

    context = ssl.create_default_context()

    def begin(self) -> ssl.SSLObject:
        return self.context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=HOST)


def test_a_handshake_is_seen_where_the_connection_was_not(enable: Enable) -> None:
    """Behind a proxy, or with addresses from a resolver of its own, the TLS handshake still names the host."""
    enable(hosts=[HOST])
    _Handshakes().begin()
    assert cachy.stats().escaped == 1


def test_a_handshake_after_a_counted_connection_is_the_same_call(provider: Provider, enable: Enable) -> None:
    """A connection that was counted and then turns to TLS counts once."""
    enable(hosts=[HOST, f"{HOST}:{provider.port}"])
    by_socket(provider.port)
    _Handshakes().begin()
    assert cachy.stats().escaped == 1


def test_a_refused_handshake_can_be_caught_by_the_event_loop(provider: Provider, enable: Enable) -> None:
    """asyncio begins TLS in a callback: only what is an ordinary error, too, reaches the task that waits for it."""
    enable("replay", hosts=[HOST])

    async def call() -> None:
        # Connected by address, as with a resolver of one's own; the socket is ours to close: asyncio forgets it.
        with socket.create_connection(("127.0.0.1", provider.port)) as sock:
            sock.setblocking(False)
            facts: Any = {"sock": sock, "ssl": _Handshakes.context, "server_hostname": HOST}
            await asyncio.wait_for(asyncio.open_connection(**facts), 10)

    with pytest.raises(ConnectionRefusedError, match=HOST) as refused:
        asyncio.run(call())
    assert isinstance(refused.value, cachy.Miss)


def test_eight_threads_escape_eight_times(provider: Provider, enable: Enable) -> None:
    """Counting is safe for threads that connect at once."""
    enable()
    threads = [threading.Thread(target=by_socket, args=(provider.port,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cachy.stats().escaped == 8


def test_the_doors_are_those_that_the_hook_watches() -> None:
    """Each module that the import hook hands to the guard has something to watch in it."""
    from cachy import hooks

    for name in hooks.DOORS - {"uvloop"}:
        module = __import__(name, fromlist=["x"])
        guard.patch(name, module)
        assert guard._patched, name
        guard.unpatch()


@pytest.mark.parametrize("client", ["urllib3", "aiohttp"])
def test_a_call_of_another_adapter_is_no_escape(client: str, provider: Provider, enable: Enable) -> None:
    """Each adapter makes its live calls where the guard knows them as ours."""
    module: Any = pytest.importorskip(client)
    enable()
    url = f"http://{HOST}:{provider.port}/v1"

    async def call() -> None:
        # Its own resolver asks name servers where aiodns is installed.
        connector = module.TCPConnector(resolver=module.ThreadedResolver())
        async with module.ClientSession(connector=connector) as session, session.get(url) as response:
            await response.read()

    if client == "aiohttp":
        asyncio.run(call())
    else:
        with module.PoolManager() as pool:
            pool.request("GET", url)
    assert (cachy.stats().recorded, cachy.stats().escaped) == (1, 0)
