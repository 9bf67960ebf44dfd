"""How httpx and httpx2 are patched: which clients, which transports, and how it is undone."""

from __future__ import annotations

import asyncio
import copy
import importlib
import threading
from typing import Any

import pytest

import cachy


def test_clients_made_before_activation_are_covered(lib: Any, server: Any, using: Any) -> None:
    """A client that exists when cachy starts records and replays like a new one."""
    with lib.Client() as client, using():
        assert [client.get(server.url + "/v1").json() for _ in range(2)] == [{"call": 1}, {"call": 1}]


def test_a_class_imported_by_name_before_activation_is_covered(lib: Any, server: Any, using: Any) -> None:
    """`from httpx import AsyncClient` before the patch is the patched class."""
    kept = lib.AsyncClient

    async def main() -> list[Any]:
        async with kept() as client:
            return [(await client.get(server.url + "/v1")).json() for _ in range(2)]

    with using():
        assert asyncio.run(main()) == [{"call": 1}, {"call": 1}]


def test_custom_transports_are_covered(lib: Any, using: Any) -> None:
    """A transport of the user's own (as LiteLLM has) is recorded, whether it answers with a stream or with content."""
    calls: list[str] = []

    class Own(lib.BaseTransport):  # type: ignore[misc, name-defined]
        def handle_request(self, request: Any) -> Any:
            calls.append(request.url.path)
            if request.url.path == "/stream":
                return lib.Response(200, headers={"content-type": "text/plain"}, content=iter([b"a", b"b"]))
            return lib.Response(200, json={"n": len(calls)})

    with using(hosts=["own.example"]), lib.Client(transport=Own()) as client:
        assert [client.get("https://own.example/json").json() for _ in range(2)] == [{"n": 1}, {"n": 1}]
        assert [client.get("https://own.example/stream").text for _ in range(2)] == ["ab", "ab"]
    assert calls == ["/json", "/stream"]


def test_async_custom_transports_are_covered(lib: Any, using: Any) -> None:
    """The same for AsyncClient."""
    calls: list[str] = []

    class Own(lib.AsyncBaseTransport):  # type: ignore[misc, name-defined]
        async def handle_async_request(self, request: Any) -> Any:
            calls.append(request.url.path)
            return lib.Response(200, json={"n": len(calls)})

    async def main() -> list[Any]:
        async with lib.AsyncClient(transport=Own()) as client:
            return [(await client.get("https://own.example/")).json() for _ in range(2)]

    with using(hosts=["own.example"]):
        assert asyncio.run(main()) == [{"n": 1}, {"n": 1}]


def test_mock_asgi_and_wsgi_transports_are_left_alone(lib: Any, using: Any, store: Any) -> None:
    """What never leaves the process is not recorded."""
    answers = iter(range(10))
    mock = lib.MockTransport(lambda request: lib.Response(200, json=next(answers)))

    def wsgi(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("content-type", "application/json")])
        return [str(next(answers)).encode()]

    with using(hosts=["app.example"]):
        for transport in (mock, lib.WSGITransport(app=wsgi)):
            with lib.Client(transport=transport) as client:
                one, other = (client.get("http://app.example/").json() for _ in range(2))
            assert one != other
    assert not store.exists()


def test_disable_puts_the_classes_back(lib: Any, server: Any, store: Any, using: Any) -> None:
    """After `disable` the client classes hold their own functions again and calls go out."""
    before = lib.Client.__dict__["_transport_for_url"], lib.AsyncClient.__dict__["_transport_for_url"]
    cachy.enable("auto", store=store, hosts=["127.0.0.1:*"], summary=False)
    assert lib.Client.__dict__["_transport_for_url"] is not before[0]
    lib.get(server.url + "/v1")
    cachy.disable()
    assert (
        lib.Client.__dict__["_transport_for_url"],
        lib.AsyncClient.__dict__["_transport_for_url"],
    ) == before
    assert lib.get(server.url + "/v1").json() == {"call": 2}


def test_enable_again_changes_the_settings(lib: Any, server: Any, tmp_path: Any, using: Any) -> None:
    """A second `enable` starts over, patching nothing twice."""
    for name in ("a", "b", "a"):
        cachy.enable("auto", store=tmp_path / f"{name}.jsonl", hosts=["127.0.0.1:*"], summary=False)
        lib.get(server.url + "/v1")
    assert len(server.calls) == 2


def test_reload_keeps_the_patch(lib: Any, server: Any, using: Any) -> None:
    """Reloading the module that defines the classes leaves calls covered."""
    with using():
        importlib.reload(lib)
        assert [lib.get(server.url + "/v1").json() for _ in range(2)] == [{"call": 1}, {"call": 1}]


def test_without_the_private_method_the_transport_classes_are_patched(
    lib: Any, server: Any, using: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should `_transport_for_url` be renamed one day, the ordinary transports are still covered."""
    cachy.disable()

    def renamed(self: Any, url: Any) -> Any:
        return self._transport

    for client in (lib.Client, lib.AsyncClient):
        original = client._transport_for_url
        monkeypatch.delattr(client, "_transport_for_url")
        # The client's own code must still find a transport: it calls the method by its name on the instance.
        monkeypatch.setattr(
            client,
            "__getattr__",
            lambda self, name, o=original: (
                o.__get__(self) if name == "_transport_for_url" else object.__getattribute__(self, name)
            ),
            raising=False,
        )
    with using():
        assert [lib.get(server.url + "/v1").json() for _ in range(2)] == [{"call": 1}, {"call": 1}]

        async def main() -> list[Any]:
            async with lib.AsyncClient() as client:
                return [(await client.get(server.url + "/v2")).json() for _ in range(2)]

        assert asyncio.run(main()) == [{"call": 2}, {"call": 2}]
    cachy.disable()


def test_the_transport_class_works_on_one_client_only(lib: Any, server: Any, using: Any) -> None:
    """`cachy.Transport` gives one client a recorder, inside a session of the context."""
    with using(), lib.Client(transport=cachy.Transport(lib.HTTPTransport())) as client:
        assert [client.get(server.url + "/v1").json() for _ in range(2)] == [{"call": 1}, {"call": 1}]


@pytest.mark.parametrize("kind", [cachy.Transport, cachy.AsyncTransport])
def test_a_copy_of_a_transport_is_one(lib: Any, kind: Any) -> None:
    inner = lib.HTTPTransport() if kind is cachy.Transport else lib.AsyncHTTPTransport()
    made = copy.copy(kind(inner))
    assert type(made) is kind
    assert made.inner is inner


def test_other_threads_and_tasks_are_not_touched(lib: Any, server: Any, using: Any) -> None:
    """`using` and `bypass` hold for their own context only."""
    url = server.url + "/v1"
    results: list[Any] = []
    with using():
        thread = threading.Thread(
            target=lambda: results.extend(lib.get(url).json()["call"] for _ in range(2))
        )
        thread.start()
        thread.join()
        assert results == [1, 2]

    async def main() -> list[int]:
        async def inside() -> int:
            with using():
                await asyncio.sleep(0)
                async with lib.AsyncClient() as client:
                    return int((await client.get(url)).json()["call"])

        async def outside() -> int:
            async with lib.AsyncClient() as client:
                await asyncio.sleep(0)
                return int((await client.get(url)).json()["call"])

        first = await inside()
        return [first, *await asyncio.gather(inside(), outside())]

    recorded, replayed, live = asyncio.run(main())
    assert recorded == replayed == 3
    assert live == 4


def test_bypass_goes_live_and_leaves_no_trace(lib: Any, server: Any, using: Any, store: Any) -> None:
    """Within `bypass` even a recorded call goes out, and nothing is written."""
    url = server.url + "/v1"
    with using():
        lib.get(url)
        size = store.stat().st_size
        with cachy.bypass():
            assert lib.get(url).json() == {"call": 2}
        assert lib.get(url).json() == {"call": 1}
    assert store.stat().st_size == size


def test_an_error_of_ours_never_reaches_the_program(
    lib: Any, server: Any, using: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """When the engine fails the call goes out live, with one line on stderr; in replay mode it is refused."""
    monkeypatch.setattr("cachy.engine.canonical", lambda *_: 1 / 0)
    monkeypatch.setattr("cachy.notices._said", set())
    with using():
        assert [lib.get(server.url + "/v1").json() for _ in range(2)] == [{"call": 1}, {"call": 2}]
    assert capfd.readouterr().err.count("cachy:") == 1
    with using("replay"), pytest.raises(cachy.Miss):
        lib.get(server.url + "/v1")
    assert len(server.calls) == 2


def test_a_client_that_cannot_be_wrapped(
    lib: Any, server: Any, using: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """When choosing a transport fails the call goes out live, with one line; in replay mode it is refused."""
    monkeypatch.setattr("cachy.notices._said", set())
    with using():
        monkeypatch.setattr("cachy.transports.httpx._claim_for", lambda *_: 1 / 0)
        assert [lib.get(server.url + "/v1").json() for _ in range(2)] == [{"call": 1}, {"call": 2}]
    assert capfd.readouterr().err.count("its calls go out live") == 1
    with using("replay"), pytest.raises(cachy.Miss, match="nothing was sent"):
        lib.get(server.url + "/v1")
    assert len(server.calls) == 2
