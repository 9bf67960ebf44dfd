"""How aiohttp is patched: what stays its own around a recorded call, which sessions, and how it is undone."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

import pytest
from transports.aiohttp_asking import aiohttp, ask, lines_of, parsed, stream_events, text

import cachy

OF_REQUESTS = {
    "request_start",
    "request_headers_sent",
    "request_chunk_sent",
    "request_redirect",
    "response_chunk_received",
    "request_end",
}
OF_CONNECTIONS = {"connection_create_start", "connection_reuseconn", "dns_resolvehost_start"}


def traced(seen: list[Any]) -> Any:
    """A trace configuration that notes what is called and with what."""
    config = aiohttp.TraceConfig()

    def noting(name: str) -> Any:
        async def note(_session: Any, _context: Any, params: Any) -> None:
            about = getattr(params, "chunk", None) or getattr(params, "method", "")
            seen.append((name, about, str(getattr(params, "url", ""))))

        return note

    for name in (*OF_REQUESTS, *OF_CONNECTIONS, "request_exception"):
        getattr(config, f"on_{name}").append(noting(name))
    return config


def test_trace_hooks_see_a_replay(server: Any, using: Any) -> None:
    """Every hook fires on a replay as it did live, those of a connection apart: there is none."""
    server.on("/from", lambda h: h.whole(b"", status=307, location="/to"))
    seen: list[Any] = []

    def call() -> list[Any]:
        seen.clear()
        ask(server.url + "/from", of_session={"trace_configs": [traced(seen)]}, data=b"body")
        return list(seen)

    with using():
        live, replayed = call(), call()
    assert replayed == [one for one in live if one[0] not in OF_CONNECTIONS]
    assert {name for name, _, _ in replayed} == OF_REQUESTS
    assert live != replayed


def test_trace_hooks_see_a_miss(server: Any, using: Any) -> None:
    """A miss is an exception of the request, like any other."""
    seen: list[Any] = []
    with using("replay"), pytest.raises(cachy.Miss):
        ask(server.url + "/v1", of_session={"trace_configs": [traced(seen)]})
    assert [name for name, _, _ in seen] == ["request_start", "request_exception"]


def test_around_a_hit_the_client_does_its_own_work(server: Any, using: Any) -> None:
    """Redirects, cookies of the request, auth and middlewares work on a hit as they do live."""
    server.on("/from", lambda h: h.whole(b"", status=302, location="/to"))
    passed: list[Any] = []

    async def middleware(request: Any, handler: Any) -> Any:
        request.headers["authorization"] = "Bearer first-secret-token"
        response = await handler(request)
        passed.append((request.url.path, response.status, type(request).__name__))
        return response

    has_middlewares = hasattr(aiohttp, "ClientHandlerType")
    of_session = {"cookies": {"c": "1"}, **({"middlewares": [middleware]} if has_middlewares else {})}

    async def look(response: Any) -> Any:
        return [one.status for one in response.history], response.url.path, await response.json()

    with using():
        live, replayed = (ask(server.url + "/from", look, "GET", of_session) for _ in range(2))
    assert live == replayed == ([302], "/to", {"call": 2})
    assert passed[: len(passed) // 2] == passed[len(passed) // 2 :]
    assert len(passed) == (4 if has_middlewares else 0)
    assert len(server.calls) == 2


def test_cookies_of_a_live_answer_reach_the_jar(server: Any, using: Any, store: Any) -> None:
    """Recording does not take a cookie from the client, and does not write it down."""
    url = server.on("/c", lambda h: h.whole(b"{}", set_cookie="session=abc123"))
    jars = []

    async def main() -> None:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            async with session.get(url) as response:
                await response.read()
            jars.append({cookie.key: cookie.value for cookie in session.cookie_jar})

    with using():
        asyncio.run(main())
        asyncio.run(main())
    assert jars == [{"session": "abc123"}, {}]
    assert "abc123" not in store.read_text()


def test_keys_never_matter_and_are_never_stored(server: Any, using: Any, store: Any) -> None:
    """Another API key, in a header or in the query, is the same call."""
    with using(hosts={"127.0.0.1:*": "gemini"}):
        for key in ("sk-first-secret-1234567890", "sk-second-secret-1234567890"):
            url, headers = server.url + f"/v1?key={key}", {"Authorization": f"Bearer {key}"}
            assert ask(url, parsed, headers=headers, json={}) == {"call": 1}
    assert "secret" not in store.read_text()


def test_a_session_made_before_activation_is_covered(server: Any, using: Any) -> None:
    """A session that exists, and has open connections, when cachy starts records and replays like a new one."""

    async def main() -> list[Any]:
        async with aiohttp.ClientSession() as session:

            async def call() -> Any:
                async with session.post(server.url + "/v1") as response:
                    return await response.json()

            before = await call()
            with using():
                return [before, await call(), await call()]

    assert asyncio.run(main()) == [{"call": 1}, {"call": 2}, {"call": 2}]


def test_classes_of_the_users_own(server: Any, using: Any) -> None:
    """A replay is made with the session's own classes of sessions, requests, responses and connectors."""

    class Response(aiohttp.ClientResponse):  # type: ignore[misc, name-defined]
        async def start(self, connection: Any) -> Any:
            started = await super().start(connection)
            self.seen = f"{self.status} by {type(connection.protocol).__name__}"
            return started

    class Request(aiohttp.ClientRequest):  # type: ignore[misc, name-defined]
        async def send(self, connection: Any) -> Any:
            self.headers["x-own"] = "1"
            return await super().send(connection)

    class Connector(aiohttp.TCPConnector):  # type: ignore[misc, name-defined]
        asked = 0

        async def connect(self, *args: Any, **options: Any) -> Any:
            Connector.asked += 1
            return await super().connect(*args, **options)

    async def look(response: Any) -> Any:
        return type(response), response.seen[:3], response.request_info.headers["x-own"]

    async def main() -> Any:
        options = {"request_class": Request, "response_class": Response}
        async with (
            aiohttp.ClientSession(connector=Connector(), **options) as session,
            session.get(server.url + "/v1") as response,
        ):
            await response.read()
            return await look(response)

    with using():
        assert [asyncio.run(main()), asyncio.run(main())] == [(Response, "200", "1")] * 2
    assert Connector.asked == 2
    assert server.calls[0].headers["x-own"] == "1"
    assert len(server.calls) == 1


def test_a_connector_that_answers_itself_is_left_alone(server: Any, using: Any, store: Any) -> None:
    """A stub in the connector's place, as tests have, is neither recorded nor replaced."""

    class Stub(aiohttp.BaseConnector):  # type: ignore[misc, name-defined]
        async def connect(self, *_: Any, **__: Any) -> Any:
            raise aiohttp.ClientConnectionError("stubbed")

    async def main() -> None:
        async with aiohttp.ClientSession(connector=Stub()) as session:
            await session.get(server.url + "/v1")

    with using():
        ask(server.url + "/v1", method="GET")
        with pytest.raises(aiohttp.ClientConnectionError, match="stubbed"):
            asyncio.run(main())


def test_no_connection_is_used_for_a_hit(server: Any, using: Any) -> None:
    """A hit needs no free connection, puts none into the pool, and asks for none on a closed server."""

    async def main() -> Any:
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(connector=connector) as session:
            async with session.post(server.url + "/v1") as response:
                await response.read()
            pooled = sum(map(len, connector._conns.values()))
            # The one connection is taken by a stream that is held open.
            async with session.post(server.on("/s", stream_events), json={}) as held:
                async with session.post(server.url + "/v1") as hit:
                    assert await hit.json() == {"call": 1}
                await held.read()
            return pooled, sum(map(len, connector._conns.values()))

    with using():
        assert asyncio.run(main()) == (1, 1)
    assert len(server.calls) == 2


def test_an_async_hit_lets_other_tasks_run(server: Any, using: Any) -> None:
    """A loop of hits does not starve the other tasks of the event loop."""

    async def main() -> int:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        async with aiohttp.ClientSession() as session:
            task = None
            for _ in range(11):
                async with session.get(server.url + "/v1") as response:
                    await response.read()
                task = task or asyncio.ensure_future(tick())
            task.cancel()
        return ticks

    with using():
        assert asyncio.run(main()) >= 10
    assert len(server.calls) == 1


def test_websockets_are_left_alone(using: Any, store: Any) -> None:
    """A WebSocket to a known host works as without cachy; nothing of it is recorded."""
    from aiohttp import web

    async def echo(request: Any) -> Any:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data + " back")
        return socket

    async def main() -> Any:
        app = web.Application()
        app.router.add_get("/v1/realtime", echo)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}/v1/realtime"
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
            await socket.send_str("there and")
            answer = (await socket.receive()).data
        await runner.cleanup()
        return answer

    with using():
        assert [asyncio.run(main()), asyncio.run(main())] == ["there and back"] * 2
    assert lines_of(store) == []


def test_what_cannot_be_wrapped(
    server: Any, using: Any, store: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where aiohttp is not what we think it is, calls go out live with one line that says so; in replay mode they
    are refused."""

    monkeypatch.setattr("cachy.notices._said", set())
    with using():
        assert ask(server.url, text) == '{"call":1}'
    monkeypatch.setattr("cachy.providers.Registry.place", lambda *_: 1 / 0)
    with using():
        assert ask(server.url, text) == '{"call":2}'
    assert capsys.readouterr().err.count("aiohttp could not be wrapped (ZeroDivisionError") == 1
    with using("replay"), pytest.raises(cachy.Miss, match="nothing was sent"):
        ask(server.url, text)
    assert len(server.calls) == 2


def test_what_cannot_be_recorded(
    server: Any, using: Any, store: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error of ours in the middle of a live call costs the recording, not the call."""
    monkeypatch.setattr("cachy.notices._said", set())
    monkeypatch.setattr("cachy.transports.aiohttp_kit.Kit._attach", lambda *_: 1 / 0)
    with using():
        assert [ask(server.url, text) for _ in range(2)] == ['{"call":1}', '{"call":2}']
    assert lines_of(store) == []
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_patch_and_unpatch(server: Any, using: Any) -> None:
    """Patching twice wraps once; unpatching puts the very method back; another patch on top is left alone."""
    from cachy.transports import aiohttp as adapter

    connector = aiohttp.BaseConnector
    adapter.unpatch(aiohttp)
    original = connector.connect
    adapter.patch(aiohttp)
    adapter.patch(aiohttp)
    assert connector.connect is not original
    assert connector.connect.__wrapped__ is original
    adapter.unpatch(aiohttp)
    assert connector.connect is original
    adapter.patch(aiohttp)
    ours = connector.connect

    async def theirs(self: Any, *args: Any, **options: Any) -> Any:
        return await ours(self, *args, **options)

    connector.connect = theirs
    adapter.unpatch(aiohttp)
    assert connector.connect is theirs
    connector.connect = ours
    with using():
        assert [ask(server.url, text) for _ in range(2)] == ['{"call":1}'] * 2


def test_the_hook_and_the_adapters_know_the_same_clients() -> None:
    """Each client that the import hook watches for has an adapter that can patch and unpatch it."""
    from cachy import hooks, transports

    assert set(transports.ADAPTERS) == set(hooks.CLIENTS)
    for name in transports.ADAPTERS.values():
        adapter = importlib.import_module(f"cachy.transports.{name}")
        assert callable(adapter.patch)
        assert callable(adapter.unpatch)
