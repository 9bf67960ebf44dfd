"""What an answer repeats of the ids and fields that a client made up: noted when recorded, live when replayed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cachy
from cachy import echo, tally
from cachy.calls import Forward
from cachy.engine import Engine, Replay, Wait
from cachy.exchange import Body, Request, Response
from cachy.providers import Claim, by_name
from cachy.recording import Recording, response_of
from cachy.settings import Settings
from cachy.stores.jsonl import JsonlStore
from cachy.streaming import pieces

JSON = (("content-type", "application/json"),)
SSE = (("content-type", "text/event-stream"),)


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    tally.reset()
    yield
    tally.reset()


@pytest.fixture
def store(tmp_path: Path) -> JsonlStore:
    return JsonlStore(tmp_path / "calls.jsonl")


def new(store: JsonlStore, **settings: Any) -> Engine:
    return Engine(Settings(active=True, **settings), store)


def ask(store: JsonlStore, body: dict[str, Any], engine: Engine | None = None) -> Replay | Forward | Wait:
    provider = by_name("openai")
    assert provider
    url = "https://api.openai.com/v1/chat/completions"
    request = Request("POST", url, JSON, Body(json.dumps(body).encode()))
    return (engine or new(store)).ask(request, Claim(provider, "api.openai.com"))


def answer(verdict: Replay | Forward | Wait, *body: bytes, headers: Any = JSON) -> None:
    assert isinstance(verdict, Forward)
    tee = verdict.answered(200, headers, lambda _, raw: enumerate(raw))
    assert tee
    for piece in body:
        tee.feed(piece)
    tee.finish()


def record(store: JsonlStore, body: dict[str, Any], *pieces: bytes, headers: Any = JSON) -> bytes:
    """Make the call live and return the line that was written."""
    answer(ask(store, body), *pieces, headers=headers)
    ((_, line),) = list(store)
    return line


def replayed(verdict: Replay | Forward | Wait) -> Response:
    assert isinstance(verdict, Replay)
    return verdict.response


def replay(store: JsonlStore, body: dict[str, Any]) -> Response:
    return replayed(ask(store, body))


def chat(*ids: str, **more: str) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "tool", "tool_call_id": id_} for id_ in ids], **more}


def test_nothing_is_noted_when_nothing_is_repeated(store: JsonlStore) -> None:
    """Most answers repeat nothing, and their recordings have no `echo`."""
    line = record(store, chat("call_one", user="me"), b'{"text":"call_one is in a text, and so is me"}')
    assert b'"echo"' not in line
    assert (
        replay(store, chat("other_id", user="you")).body == b'{"text":"call_one is in a text, and so is me"}'
    )


def test_an_id_comes_back_as_the_live_one(store: JsonlStore) -> None:
    """Every exact text of the id is replaced, all ids at once, and so is `<id>:0`, which Cohere cites."""
    line = record(
        store, chat("call_one", "call_two"), b'{"a":"call_one","b":["call_two","call_two:0","call_two2"]}'
    )
    assert response_of(line).echo == ((1, "call_one"), (2, "call_two"))
    live = replay(store, chat("call_two", "call_one"))
    assert live.body == b'{"a":"call_two","b":["call_one","call_one:0","call_two2"]}'


def test_a_field_comes_back_as_the_live_one(store: JsonlStore) -> None:
    """Only under its name; null when the present request has none."""
    body = b'{"user": "user-1", "id": "user-1", "x": {"prompt_cache_key":"k\\u00e9y"}}'
    record(store, chat(user="user-1", prompt_cache_key="kéy"), body)
    live = replay(store, chat(user="u", prompt_cache_key="ö"))
    assert live.body == b'{"user": "u", "id": "user-1", "x": {"prompt_cache_key":"\\u00f6"}}'
    assert json.loads(replay(store, chat()).body) == {
        "user": None,
        "id": "user-1",
        "x": {"prompt_cache_key": None},
    }


@pytest.mark.parametrize(
    "body",
    [
        chat("0"),
        {
            "messages": [
                {"role": "user", "content": "say red-car"},
                {"role": "tool", "tool_call_id": "red-car"},
            ]
        },
        {"messages": [{"role": "user", "content": "I am red-car"}], "user": "red-car"},
    ],
    ids=["a short id", "an id that is a word of the prompt", "a field that is one"],
)
def test_what_may_be_a_word_is_left_alone(store: JsonlStore, body: dict[str, Any]) -> None:
    """What the model has read, or anybody may write, is no echo."""
    line = record(store, body, b'{"a":"0","b":"red-car","user":"red-car"}')
    assert response_of(line).echo == ()


@pytest.mark.parametrize("live_id", ["x", "a_much_longer_id_than_the_one_before", "call_two"])
def test_chunks_end_where_they_ended(store: JsonlStore, live_id: str) -> None:
    """A stream is cut at the same places, also when a cut goes through the id."""
    start, middle, end = (
        b'data: {"i":"call',
        b'_one","j":"call_one"}\n\ndata: ',
        b'{"k":1}\n\ndata: [DONE]\n\n',
    )
    record(store, chat("call_one"), start, middle, end, headers=SSE)
    live = replay(store, chat(live_id))
    assert live.body == (start + middle + end).replace(b"call_one", live_id.encode())
    assert len(live.chunks) == 3
    assert sum(length for _, length in live.chunks) == len(live.body)
    first, second, third = pieces(live)
    assert third == end
    assert first.startswith(b'data: {"i":"' + live_id.encode()[:4])
    assert second.endswith(b"\ndata: ")


def test_the_length_that_a_header_tells_stays_true(store: JsonlStore) -> None:
    """`content-length` is that of the body with the live id in it."""
    body = b'{"i":"call_one"}'
    record(store, chat("call_one"), body, headers=(*JSON, ("content-length", str(len(body)))))
    live = replay(store, chat("call_1234"))
    assert live.header("content-length") == str(len(live.body)) == "17"


def test_binary_frames_are_left_alone() -> None:
    """Amazon's event streams hold their own lengths and checksums."""
    made = Response(200, (("content-type", "application/vnd.amazon.eventstream"),), b'{"i":"call_one"}')
    wanted = _Wanted(("call_one",))
    assert echo.find(made, wanted) == ()  # type: ignore[arg-type]


def test_each_turn_and_variant_has_its_own_live_ids(store: JsonlStore) -> None:
    """What is known of a request's ids stays with it where its key says more than the request."""

    def turn(engine: Engine, id_: str) -> Replay | Forward | Wait:
        return ask(store, chat(id_), engine=engine)

    live = new(store, repeats="sequence")
    with cachy.variant("v"):
        for number in (1, 2):
            answer(turn(live, "call_one"), b'{"n":%d,"i":"call_one"}' % number)
        again = new(store, repeats="sequence")
        bodies = [replayed(turn(again, "call_two")).body for _ in range(2)]
    assert bodies == [b'{"n":1,"i":"call_two"}', b'{"n":2,"i":"call_two"}']


def test_an_id_is_no_drift(store: JsonlStore) -> None:
    """`verify` compares with the recording as it would be replayed."""
    record(store, chat("call_one"), b'{"i":"call_one"}')
    answer(ask(store, chat("call_two"), engine=new(store, mode="verify")), b'{"i":"call_two"}')
    assert (tally.stats().verified, tally.stats().drifted) == (1, 0)


def test_a_secret_is_no_echo(store: JsonlStore) -> None:
    """What redaction masks in the answer is not written down for the echo either."""
    secret = "sk-proj-" + "a1" * 20
    line = record(store, chat(user=secret), b'{"user":"%s"}' % secret.encode())
    assert secret.encode() not in line
    assert response_of(line).echo == ()


def test_the_line_keeps_what_is_noted() -> None:
    """`echo` stands in the answer of a line and is read back from it, whole or alone."""
    answer = Response(200, JSON, b'{"i":"call_one"}', echo=((1, "call_one"), ("user", "é")))
    line = Recording("0" * 32, "2026-11-23T08:00:00Z", "openai", {}, answer).to_line()
    assert response_of(line) == Recording.from_line(line).response == answer


class _Wanted:
    def __init__(self, ids: tuple[str, ...]) -> None:
        self.ids, self.dropped, self.text = ids, {}, ""  # type: ignore[var-annotated]
