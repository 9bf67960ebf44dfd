"""The way of one call through the engine: what is decided, counted and recorded, and that nothing but Miss is raised."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import cachy
from cachy import calls, flights, notices, tally
from cachy.engine import Engine, Forward, Replay, Wait
from cachy.exchange import Body, Request
from cachy.flights import Flights
from cachy.providers import Claim
from cachy.providers.plain import PLAIN
from cachy.settings import Settings
from cachy.stores import StoreError
from cachy.stores.jsonl import JsonlStore

HERE = Claim(PLAIN, "api.example.com")


def as_it_is(headers: Any, raw: list[bytes]) -> Iterator[tuple[int, bytes]]:
    yield from enumerate(raw)


def request(method: str = "POST", path: str = "/v1/x", body: bytes = b"{}") -> Request:
    headers = (("content-type", "application/json"),)
    return Request(method, f"https://api.example.com{path}", headers, Body(body))


def live(verdict: object, body: bytes = b'{"n":1}', status: int = 200) -> None:
    """Make the call that the engine has asked for."""
    assert isinstance(verdict, Forward)
    tee = verdict.answered(status, (("content-type", "application/json"),), as_it_is)
    if tee is not None:
        tee.feed(body)
        tee.finish()


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(notices, "_said", set())
    tally.reset()
    yield
    tally.reset()


@pytest.fixture
def store(tmp_path: Path) -> JsonlStore:
    return JsonlStore(tmp_path / "calls.jsonl")


def engine(store: Any, mode: str = "auto", **more: Any) -> Engine:
    return Engine(Settings(active=True, mode=mode, **more), store)


def counts() -> dict[str, int]:
    found = tally.stats()
    names = ("hits", "recorded", "missed", "bypassed")
    return {name: number for name in names if (number := getattr(found, name))}


# What is decided


def test_call_then_replay(store: JsonlStore) -> None:
    """The first call is forwarded and recorded, the second answered with the same bytes."""
    auto = engine(store)
    live(auto.ask(request(), HERE), b'{"n":1}')
    verdict = auto.ask(request(), HERE)
    assert isinstance(verdict, Replay)
    assert verdict.response.body == b'{"n":1}'
    assert counts() == {"recorded": 1, "hits": 1}


def test_the_watch_is_told_of_each_decision(store: JsonlStore) -> None:
    """`recorded` before the call is made, `hit`, and `missed` before the Miss is raised."""
    told: list[tuple[str, ...]] = []
    for mode in ("auto", "auto", "record", "replay"):
        watched = Engine(Settings(mode=mode), store, lambda *facts: told.append(facts))
        verdict = watched.ask(request(), HERE)
        if isinstance(verdict, Forward):
            live(verdict)
    with pytest.raises(cachy.Miss):
        watched.ask(request(path="/other"), HERE)
    assert [facts[0] for facts in told] == ["recorded", "hit", "recorded", "hit", "missed"]
    assert len({facts[1] for facts in told}) == 2
    assert told[0][2:] == ("POST", "https://api.example.com/v1/x")


def test_the_watch_sees_no_secret(store: JsonlStore) -> None:
    """What pycachy's `debug` prints holds neither keys nor what `redact` names."""
    told: list[tuple[str, ...]] = []
    watched = Engine(Settings(redact=("Mine",)), store, lambda *facts: told.append(facts))
    watched.ask(request(path="/v1/x?key=hush&mine=hush&n=1"), HERE)
    assert "hush" not in told[0][3]
    assert told[0][3].endswith("&n=1")


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", "/v1/files/1"), ("POST", "/v1/batches/1/cancel"), ("POST", "/v1/x:cancel/")],
)
def test_what_changes_state_is_called_every_time(store: JsonlStore, method: str, path: str) -> None:
    """In auto the provider must really do it; replay answers from the recording."""
    for _ in range(2):
        live(engine(store).ask(request(method, path), HERE))
    assert isinstance(engine(store, "replay").ask(request(method, path), HERE), Replay)


JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
PARTS = "multipart/form-data; boundary=xx"


@pytest.mark.parametrize(
    ("kind", "body", "goes_out"),
    [
        (JSON, b'{"user":"ann","Password":"hunter2"}', True),
        (JSON, b'{"refresh_token":"r"}', True),
        (FORM, b"user=ann&password=hunter2", True),
        (
            PARTS,
            b'--xx\r\ncontent-disposition: form-data; name="password"\r\n\r\nhunter2\r\n--xx--\r\n',
            True,
        ),
        # What came with a page needs its cookie too; that it replays as a whole is the best there is.
        (FORM, b"user=ann&password=hunter2&csrfmiddlewaretoken=abc", False),
        (JSON, b'{"input":"hi","tools":[{"type":"mcp","authorization":"t","password":"p"}]}', False),
        (JSON, b'{"input":"password"}', False),
    ],
    ids=["json", "refresh", "form", "multipart", "page", "mcp", "prompt"],  # a recording names its test
)
def test_who_signs_in_does_so_in_each_run_that_may_call(
    store: JsonlStore, kind: str, body: bytes, goes_out: bool
) -> None:
    """A replayed sign-in has no cookie and an old token: the next live call would be refused."""
    asked = Request("POST", "https://api.example.com/login", (("content-type", kind),), Body(body))
    live(engine(store).ask(asked, HERE))
    again = engine(store).ask(asked, HERE)
    assert isinstance(again, Forward) is goes_out
    if goes_out:
        live(again)
    assert isinstance(engine(store, "replay").ask(asked, HERE), Replay)
    assert b"hunter2" not in Path(store.url).read_bytes()


@pytest.mark.parametrize(
    ("answer", "goes_out"),
    [
        (b'{"id":1,"status":"PENDING"}', True),
        (b'{"job":1,"state":"waiting"}', True),
        (b'{"id":1,"status":"shipped","note":"no longer pending"}', False),
        (b'["pending"]', False),
        (b'"pending"', False),
    ],
)
def test_who_waits_does_not_get_the_same_for_ever(store: JsonlStore, answer: bytes, goes_out: bool) -> None:
    """On a host of which nothing is known, `pending` may be the last word or not; who asks again shall hear."""
    asked = request("GET", "/jobs/1", b"")
    live(engine(store).ask(asked, HERE), answer)
    again = engine(store).ask(asked, HERE)
    assert isinstance(again, Forward) is goes_out
    if goes_out:
        live(again, b'{"id":1,"status":"done"}')
    assert isinstance(engine(store).ask(asked, HERE), Replay)
    assert isinstance(engine(store, "replay").ask(asked, HERE), Replay)


def test_another_method_in_a_header_is_another_request(store: JsonlStore) -> None:
    """Where a proxy lets only GET and POST pass."""
    deletes = replace(request(), headers=(*request().headers, ("x-http-method-override", "DELETE")))
    live(engine(store).ask(request(), HERE))
    live(engine(store).ask(deletes, HERE))


def test_what_a_sign_in_hands_out_is_not_kept(store: JsonlStore) -> None:
    """Tokens in its answer are masked by their names; in other answers such a member is what it says."""
    token = "quite-opaque-7f3a9c"
    answer = json.dumps({"token": token, "user": {"sessionId": token, "name": "ann-of-the-thousand"}})
    live(engine(store).ask(request(path="/login", body=b'{"password":"p"}'), HERE), answer.encode())
    assert token not in Path(store.url).read_text("utf-8")
    found = engine(store, "replay").ask(request(path="/login", body=b'{"password":"q"}'), HERE)
    assert isinstance(found, Replay)
    kept = json.loads(found.response.body)
    assert kept["user"]["name"] == "ann-of-the-thousand"
    assert len(kept["token"]) == len(token)
    live(engine(store).ask(request(path="/logprobs"), HERE), answer.encode())
    assert token in Path(store.url).read_text("utf-8")


@pytest.mark.parametrize(
    ("status", "more", "kept"),
    [
        (200, {}, True),
        (204, {}, True),
        (302, {}, True),
        (304, {}, False),
        (400, {}, False),
        (503, {}, False),
        (404, {"record_status": frozenset({404})}, True),
        (400, {"record_status": frozenset({404})}, False),
    ],
)
def test_which_answers_are_recorded(store: JsonlStore, status: int, more: Any, kept: bool) -> None:
    """2xx, redirects, and the codes of `record-status`; the others are counted with their status."""
    live(engine(store, **more).ask(request(), HERE), status=status)
    assert len(store) == kept
    assert counts() == ({"recorded": 1} if kept else {"bypassed": 1})
    assert tally.stats().reasons == ({} if kept else {f"status {status}": 1})


def test_a_call_that_fails_is_counted(store: JsonlStore) -> None:
    """No answer, no recording, and the exit line knows."""
    verdict = engine(store).ask(request(), HERE)
    assert isinstance(verdict, Forward)
    verdict.failed()
    assert tally.stats().reasons == {"the call failed": 1}


def test_respond_answers_a_miss_like_an_api_error(store: JsonlStore) -> None:
    """One 424 in the shapes that SDKs read, which none of them retries."""
    verdict = engine(store, "replay", on_miss="respond").ask(request(), HERE)
    assert isinstance(verdict, Replay)
    answer = verdict.response
    body = json.loads(answer.body)
    assert (answer.status, answer.header("x-should-retry")) == (424, "false")
    assert body["error"]["message"].startswith("nothing like it is recorded in ")
    assert (body["type"], body["error"]["type"], body["error"]["code"]) == ("error", "cachy_miss", 424)
    assert counts() == {"missed": 1}


@pytest.mark.parametrize("mode", ["auto", "record", "replay"])
def test_what_is_never_recorded_is_not_sent_in_replay(store: JsonlStore, mode: str) -> None:
    """Telemetry passes in a live run; in replay it gets an answer and stays at home."""
    verdict = engine(store, mode).ask(request(path="/v1/traces/ingest"), HERE)
    if mode == "replay":
        assert isinstance(verdict, Replay)
        assert b"telemetry is never recorded" in verdict.response.body
    else:
        live(verdict)
    assert len(store) == 0
    assert tally.stats().reasons == {"telemetry": 1}


# What goes wrong


class Failing:
    """A store in which everything fails."""

    url = "calls.jsonl"
    legacy = False
    problems = None

    def fail(self, *_: Any) -> Any:
        raise StoreError("the disk is on fire; put it out")

    get = put = __iter__ = __reversed__ = fail


def test_a_store_that_cannot_be_read_lets_calls_go_out(capsys: pytest.CaptureFixture[str]) -> None:
    """One line in the store's own words, which say what to do."""
    for _ in range(2):
        live(engine(Failing()).ask(request(), HERE))
    assert capsys.readouterr().err == "cachy: a call went on unrecorded (the disk is on fire; put it out)\n"
    assert tally.stats().reasons == {"the store cannot be used": 2}


def test_a_store_that_cannot_be_written_lets_the_answer_through(capsys: pytest.CaptureFixture[str]) -> None:
    """The same for a recording that cannot be kept."""
    live(engine(Failing(), "record").ask(request(), HERE))
    assert capsys.readouterr().err == "cachy: the disk is on fire; put it out\n"
    assert tally.stats().reasons == {"the store could not be written": 1}


def broken(*_: Any) -> Any:
    raise ZeroDivisionError("a bug\nof a plugin")


@pytest.mark.parametrize("where", ["skip", "watch", "legacy"])
def test_an_error_of_ours_is_told_and_the_call_goes_on(
    store: JsonlStore, where: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A provider of a third party may be wrong too: one line, and the program never sees it."""
    claim = replace(HERE, provider=replace(HERE.provider, skip=broken)) if where == "skip" else HERE
    if where == "legacy":
        monkeypatch.setattr(JsonlStore, "legacy", property(broken))
    auto = Engine(Settings(), store, broken if where == "watch" else None)
    live(auto.ask(request(), claim))
    assert capsys.readouterr().err == "cachy: a call went on unrecorded (ZeroDivisionError: a bug)\n"
    assert tally.stats().reasons == {"an error of cachy": 1}


@pytest.mark.parametrize("where", ["skip", "store"])
def test_in_replay_an_error_of_ours_is_a_miss(store: JsonlStore, where: str) -> None:
    """Replay never sends anything, whatever is wrong; the Miss says what it is."""
    claim = replace(HERE, provider=replace(HERE.provider, skip=broken)) if where == "skip" else HERE
    with pytest.raises(cachy.Miss, match=r"could not be searched \(") as miss:
        engine(Failing() if where == "store" else store, "replay").ask(request(), claim)
    assert ("the disk is on fire" if where == "store" else "ZeroDivisionError") in str(miss.value)


def test_an_error_in_judging_the_answer_costs_only_the_recording(
    store: JsonlStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """The program has its answer by then."""
    claim = replace(HERE, provider=replace(HERE.provider, finished=broken))
    live(engine(store).ask(request(), claim))
    assert "this answer could not be recorded (ZeroDivisionError: a bug)" in capsys.readouterr().err
    assert len(store) == 0


def test_a_damaged_recording_is_told_and_asked_again(
    store: JsonlStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line that starts and ends like a recording and is none costs one live call."""
    live(engine(store).ask(request(), HERE))
    (key,) = dict(store)
    store.put(
        key, b'{"key":"%s","v":1,"edited by hand":"and wrong, with words enough to be one"}' % key.encode()
    )
    live(engine(store).ask(request(), HERE), b'{"n":2}')
    verdict = engine(store).ask(request(), HERE)
    assert isinstance(verdict, Replay)
    assert verdict.response.body == b'{"n":2}'
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"cachy: recording {key[:8]} in {store.url} is damaged and is ignored")


def test_what_is_wrong_with_the_file_is_told_once(
    store: JsonlStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """At the first look, with the line to mend; what is whole is replayed."""
    live(engine(store).ask(request(), HERE))
    with open(store.url, "a", encoding="utf-8") as file:
        file.write("<<<<<<< HEAD\n=======\n>>>>>>> branch\n")
    auto = engine(store)
    assert isinstance(auto.ask(request(), HERE), Replay)
    assert isinstance(auto.ask(request(), HERE), Replay)
    assert capsys.readouterr().err == (
        f"cachy: {store.url}: 3 lines are skipped, the first is line 2: left by a git merge; delete such lines\n"
    )


def test_a_clock_that_goes_backwards(store: JsonlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which recording is the newer one is told by its place in the file, not by its time."""
    for year, body in ((2030, b'{"n":1}'), (1970, b'{"n":2}')):
        monkeypatch.setattr(calls, "stamp", lambda at=f"{year}-01-01T00:00:00Z": at)
        live(engine(store, "record").ask(request(), HERE), body)
    verdict = engine(JsonlStore(store.url)).ask(request(), HERE)
    assert isinstance(verdict, Replay)
    assert verdict.response.body == b'{"n":2}'


# Single flight


def test_who_cannot_lead_lets_nobody_wait(store: JsonlStore) -> None:
    """A call that goes on unrecorded after an error of ours is not waited for by others who ask the same."""
    broken = Engine(Settings(active=True, mode="auto"), store, watch=lambda *facts: 1 / 0)
    with ThreadPoolExecutor(1) as other:
        verdicts = [broken.ask(request(), HERE), other.submit(broken.ask, request(), HERE).result()]
    assert [type(verdict) for verdict in verdicts] == [Forward, Forward]


def test_who_is_interrupted_lets_nobody_wait(store: JsonlStore) -> None:
    """Ctrl-C in a notebook, and then the same cell again."""

    def interrupted(*facts: object) -> None:
        raise KeyboardInterrupt

    asking = Engine(Settings(active=True, mode="auto"), store, watch=interrupted)
    with pytest.raises(KeyboardInterrupt):
        asking.ask(request(), HERE)
    asking._watch = None
    with ThreadPoolExecutor(1) as other:
        assert isinstance(other.submit(asking.ask, request(), HERE).result(), Forward)


def test_who_comes_just_after_the_landing_is_served(
    store: JsonlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that is recorded between the look into the store and the boarding is replayed, not asked for again."""
    asking = engine(store)
    board = asking.flights.board

    def late(key: str) -> Any:
        monkeypatch.setattr(Flights, "board", lambda flights, key: board(key))
        with ThreadPoolExecutor(1) as other:
            other.submit(lambda: live(engine(store, "record").ask(request(), HERE))).result()
        return board(key)

    monkeypatch.setattr(Flights, "board", lambda flights, key: late(key))
    assert isinstance(asking.ask(request(), HERE), Replay)
    assert isinstance(asking.ask(request(path="/other"), HERE), Forward)


def test_a_leader_without_an_answer_is_not_waited_for_for_ever(
    store: JsonlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After ten minutes, as its event loop may have been stopped, who asks the same calls for itself."""
    asking = engine(store)
    first = asking.ask(request(), HERE)
    with ThreadPoolExecutor(1) as other:  # elsewhere: nobody waits for what he leads himself
        assert isinstance(other.submit(asking.ask, request(), HERE).result(), Wait)
        began = flights.now()
        monkeypatch.setattr(flights, "now", lambda: began + flights.LONGEST + 1)
        assert isinstance(other.submit(asking.ask, request(), HERE).result(), Forward)
    assert isinstance(first, Forward)


# What is kept


def test_keys_are_not_kept(store: JsonlStore) -> None:
    """Neither the key a request was sent with nor one that a setting names, in request or answer."""
    secret, named = "correct-horse-battery-staple", "hush-hush-hush"
    headers = (("content-type", "application/json"), ("authorization", f"Bearer {secret}"))
    asked = Request(
        "POST",
        f"https://api.example.com/v1/x?api_key={secret}",
        headers,
        Body(f'{{"mine":"{named}"}}'.encode()),
    )
    verdict = engine(store, redact=("Mine",)).ask(asked, HERE)
    live(verdict, f'{{"your key":"{secret}"}}'.encode())
    text = Path(store.url).read_text("utf-8")
    assert secret not in text
    assert named not in text
    assert isinstance(engine(store, redact=("mine",)).ask(asked, HERE), Replay)


@pytest.mark.parametrize("scheme", ["Bearer", "Basic"])
def test_a_key_that_the_request_repeats_is_not_kept(store: JsonlStore, scheme: str) -> None:
    """In its path, its query under any name, or its body, whatever its shape; nor is it shown; and it replays."""
    secret = "correct horse/battery+staple" if scheme == "Basic" else "correct-horse-battery-staple"
    sent = b64encode(f"user:{secret}".encode()).decode() if scheme == "Basic" else secret
    headers = (("content-type", "application/json"), ("authorization", f"{scheme} {sent}"))
    body = json.dumps({"text": f"say {secret}", "sent": sent}).encode()
    asked = Request(
        "POST", f"https://api.example.com/bot{quote(secret, safe='')}?q={quote(secret)}", headers, Body(body)
    )
    seen: list[str] = []
    watched = Engine(
        Settings(active=True, mode="auto"), store, watch=lambda *facts: seen.extend(map(str, facts))
    )
    live(watched.ask(asked, HERE))
    with pytest.raises(cachy.Miss) as missed:
        engine(JsonlStore(store.url + ".none"), "replay").ask(asked, HERE)
    text = Path(store.url).read_text("utf-8") + str(missed.value) + repr(vars(missed.value)) + repr(seen)
    assert "bot" in text
    for form in (secret, sent, quote(secret, safe=""), quote(secret)):
        assert form not in text
    assert isinstance(engine(store, "replay").ask(asked, HERE), Replay)
