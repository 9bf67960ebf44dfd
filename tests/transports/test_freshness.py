"""Time to live, verify mode, and listings: when a recording is not the last word."""

from __future__ import annotations

import json
from typing import Any

import pytest

import cachy
from cachy import notices, recorded, tally

DAY = 86400.0


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(notices, "_said", set())
    tally.reset()
    yield
    tally.reset()


@pytest.fixture
def days_pass(monkeypatch: pytest.MonkeyPatch) -> Any:
    real = recorded._utc

    def go(days: float) -> None:
        monkeypatch.setattr(recorded, "_utc", lambda: real() + days * DAY)

    return go


def ask(lib: Any, server: Any, path: str = "/v1") -> int:
    return lib.post(server.url + path, json={"q": 1}).json()["call"]  # type: ignore[no-any-return]


# Time to live


def test_an_expired_answer_is_called_again_in_auto(
    lib: Any, server: Any, using: Any, days_pass: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Within its time it is replayed, after it called and recorded anew."""
    with using(ttl="30d"):
        assert ask(lib, server) == 1
        days_pass(29)
        assert ask(lib, server) == 1
        days_pass(31)
        assert ask(lib, server) == 2
        days_pass(0)
        assert ask(lib, server) == 2
    assert capsys.readouterr().err == ""


def test_replay_uses_an_expired_answer_and_says_so(
    lib: Any, server: Any, using: Any, days_pass: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once, with what to do."""
    with using():
        ask(lib, server)
    days_pass(2)
    with using("replay", ttl="1d"):
        assert [ask(lib, server), ask(lib, server)] == [1, 1]
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "older than their ttl" in err
    assert "CACHY=record" in err


def test_ttl_by_path(lib: Any, server: Any, using: Any, days_pass: Any) -> None:
    """A path may have a time of its own."""
    with using(ttl={"*": "1d", "/keep": "365d"}):
        assert [ask(lib, server, "/v1"), ask(lib, server, "/keep/it")] == [1, 2]
        days_pass(2)
        assert [ask(lib, server, "/v1"), ask(lib, server, "/keep/it")] == [3, 2]


def test_record_refreshes_what_a_run_touches_and_nothing_else(
    lib: Any, server: Any, using: Any, store: Any
) -> None:
    """The other recordings stay as they are."""
    with using():
        ask(lib, server, "/a")
        ask(lib, server, "/b")
    with using("record"):
        assert ask(lib, server, "/a") == 3
    with using("replay"):
        assert [ask(lib, server, "/a"), ask(lib, server, "/b")] == [3, 2]


# Verify


def answer(**fields: Any) -> Any:
    return lambda handler: handler.whole(json.dumps(fields).encode())


def test_verify_calls_compares_and_writes_nothing(
    lib: Any, server: Any, using: Any, store: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The program gets the live answer; another text is no drift, another field is."""
    url = server.on("/v1/chat", answer(model="m-1", text="hello", usage={"tokens": 3}))
    with using():
        lib.post(url, json={})
    before = store.read_bytes()
    server.on("/v1/chat", answer(model="m-1", text="other words", usage={"tokens": 4.5}))
    with using("verify"):
        assert lib.post(url, json={}).json()["text"] == "other words"
    assert (cachy.stats().verified, cachy.stats().drifted) == (1, 0)
    assert capsys.readouterr().err == ""
    server.on("/v1/chat", answer(model="m-2", usage={"tokens": "4"}, added=[]))
    with using("verify"):
        lib.post(url, json={})
    assert (cachy.stats().verified, cachy.stats().drifted) == (1, 1)
    err = capsys.readouterr().err
    assert "has drifted: added is new; text is gone; usage.tokens number -> text; model m-1 -> m-2\n" in err
    assert store.read_bytes() == before


def test_verify_tells_another_status(
    lib: Any, server: Any, using: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A call that fails now has drifted; one that was never recorded cannot be compared."""
    url = server.on("/v1/chat", answer(a=1))
    with using():
        lib.post(url, json={})
    server.on("/v1/chat", lambda handler: handler.whole(b"{}", status=404))
    with using("verify"):
        assert lib.post(url, json={}).status_code == 404
        lib.post(server.url + "/new", json={})
    assert "status 200 -> 404" in capsys.readouterr().err
    assert cachy.stats().drifted == 1
    assert cachy.stats().reasons == {"not verified: it has no recording": 1}


def test_verify_compares_streams(
    lib: Any, server: Any, using: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The number of events does not matter, what they are and how they end does."""

    def stream(*events: str) -> Any:
        def send(handler: Any) -> None:
            handler.head(content_type="text/event-stream", transfer_encoding="chunked")
            for event in events:
                handler.chunk(f"data: {event}\n\n".encode())
            handler.end()

        return send

    word = '{"choices":[{"index":0,"delta":{"content":"w"},"finish_reason":null}]}'
    end = '{"choices":[{"index":0,"delta":{},"finish_reason":"%s"}]}'
    url = server.on("/v1/chat/completions", stream(word, word, end % "stop", "[DONE]"))
    with using():
        lib.post(url, json={})
    for reason, drifted in (("stop", 0), ("length", 1)):
        server.on("/v1/chat/completions", stream(word, end % reason, "[DONE]"))
        with using("verify"):
            lib.post(url, json={})
        assert cachy.stats().drifted == drifted
    assert "choices[].finish_reason stop -> length" in capsys.readouterr().err


# Listings


@pytest.mark.parametrize(("replay_listings", "expected"), [(False, [1, 2, 2]), (True, [1, 1, 1])])
def test_listings_go_out_in_auto(
    lib: Any, server: Any, using: Any, replay_listings: bool, expected: list[int]
) -> None:
    """A list of files is asked for again, a single one is not; replay replays both."""
    hosts = {"127.0.0.1:*": "openai"}

    def get(path: str) -> int:
        return lib.get(server.url + path).json()["call"]  # type: ignore[no-any-return]

    with using(hosts=hosts, replay_listings=replay_listings):
        found = [get("/v1/files"), get("/v1/files")]
        one = [get("/v1/files/file-1"), get("/v1/files/file-1"), get("/v1/models"), get("/v1/models")]
    assert one[0] == one[1]
    assert one[2] == one[3]
    with using("replay", hosts=hosts):
        assert [*found, get("/v1/files")] == expected
