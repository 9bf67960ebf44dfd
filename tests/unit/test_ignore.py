"""The setting `ignore`: what a project does not want to count, where, and how it is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import cachy
from cachy import keys, notices, tally
from cachy.engine import Engine, Forward, Replay
from cachy.exchange import Body, Request
from cachy.ignore import Ignore
from cachy.providers import Claim
from cachy.providers.plain import PLAIN
from cachy.settings import Settings
from cachy.stores.jsonl import JsonlStore

HERE = Claim(PLAIN, "h")
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(notices, "_said", set())
    tally.reset()
    yield
    tally.reset()


def request(body: Any, content_type: str = JSON, query: str = "", **headers: str) -> Request:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = [
        ("content-type", content_type),
        *((name.replace("_", "-"), value) for name, value in headers.items()),
    ]
    return Request("POST", f"https://h/p{query}", tuple(given), Body(raw))


def form(entries: str | tuple[str, ...], asked: Request) -> dict[str, Any]:
    """The canonical request under these entries."""
    ignore = Ignore.of((entries,) if isinstance(entries, str) else entries)
    return keys.canonical(asked, HERE, keys.rules_for(PLAIN, ignore=ignore)).data()


def body(entries: str | tuple[str, ...], value: Any) -> Any:
    return form(entries, request(value))["body"]["json"]


@pytest.mark.parametrize(
    ("entry", "value", "shown"),
    [
        ("metadata.started_at", {"metadata": {"started_at": 1, "x": 2}}, {"metadata": {"started_at": "‹ignored›", "x": 2}}),
        ("$..run_id", {"a": [{"run_id": {"b": 1}}]}, {"a": [{"run_id": "‹ignored›"}]}),
        ("a:date", {"a": "on 2026-11-23", "b": "on 2026-11-23"}, {"a": "on ‹date›", "b": "on 2026-11-23"}),
        (
            "messages[*].content:date",
            {"messages": [{"content": "2026-11-23"}, {"content": [{"text": "2026-11-23", "n": 3}]}]},
            {"messages": [{"content": "‹date›"}, {"content": [{"text": "‹date›", "n": 3}]}]},
        ),
        ("messages[-1].content:/v\\d+/", {"messages": [{"content": "v1"}, {"content": "v2:v3"}]}, None),
        ("$..*:uuid", {"a": ["6f1c2a3b-1111-4222-8333-1234567890ab"]}, {"a": ["‹uuid›"]}),
        ("$.query.t", {"query": {"t": 1}}, {"query": {"t": "‹ignored›"}}),
        ("query", {"query": "q"}, {"query": "‹ignored›"}),
        ("['a:b']: /x:y/ ", {"a:b": "x:y"}, {"a:b": "‹ignored›"}),
        ("$", {"a": 1}, "‹ignored›"),
        ("$:date", ["2026-11-23"], ["‹date›"]),
    ],
)  # fmt: skip
def test_in_json(entry: str, value: Any, shown: Any) -> None:
    """The value at the path, or what the pattern finds in the texts there, is shown as ignored; nothing else is."""
    if shown is None:
        shown = {"messages": [{"content": "v1"}, {"content": "‹ignored›:‹ignored›"}]}
    assert body(entry, value) == shown


def test_entries_are_applied_in_turn() -> None:
    """Several entries may mark the same text."""
    made = body(("a:date", "a:uuid", "b"), {"a": "2026-11-23 6f1c2a3b1111422283331234567890ab", "b": 1})
    assert made == {"a": "‹date› ‹uuid›", "b": "‹ignored›"}


def test_in_a_query_only() -> None:
    """`query.name` is a parameter of the query, in whatever order they come, and no field of the body."""
    one, other = (form("query.t", request({"t": 1}, query=f"?t={t}&a=1&t=0")) for t in ("5", "7"))
    assert one == other
    assert one["query"] == [["a", "1"], ["t", "‹ignored›"], ["t", "‹ignored›"]]
    assert one["body"] == {"json": {"t": 1}}
    assert form("query.*:date", request({}, query="?a=2026-11-23"))["query"] == [["a", "‹date›"]]


def test_in_a_header_only() -> None:
    """`header.name` is a header, in any case, of those that count at all."""
    asked = request({"prefer": 1}, prefer="wait=3", accept_language="de")
    assert form("header.Prefer", asked)["headers"] == {"prefer": "‹ignored›", "accept-language": "de"}
    assert form("header.Prefer", asked)["body"] == {"json": {"prefer": 1}}
    assert "headers" not in form("header.x-run", request({}, x_run="7"))


def test_in_forms() -> None:
    """A field of a form is a member of its own, by its whole name."""
    asked = request(b"t=5&a=2026-11-23&m%5Bt%5D=3", FORM)
    made = form(("t", "$..a:date", "['m[t]']"), asked)
    assert made["body"] == {"form": [["a", "‹date›"], ["m[t]", "‹ignored›"], ["t", "‹ignored›"]]}


def test_values_of_one_name_keep_their_order() -> None:
    """With an entry that has nothing to do with them, too: `sort=a&sort=b` asks for something else than `sort=b&sort=a`."""
    one, other = (form("x", request({}, query=query)) for query in ("?sort=a&sort=b", "?sort=b&sort=a"))
    assert one != other
    assert form("x", request(b"sort=a&sort=b", FORM)) != form("x", request(b"sort=b&sort=a", FORM))


def test_the_whole() -> None:
    """`$` is all that there is: each field of a form, each parameter, each header that counts."""
    asked = request(b"b=1&a=2", FORM, query="?q=3", prefer="wait=3")
    assert form("$", asked)["body"] == {"form": [["a", "‹ignored›"], ["b", "‹ignored›"]]}
    assert form("query.$", asked)["query"] == [["q", "‹ignored›"]]
    assert form("header.$", asked)["headers"] == {"prefer": "‹ignored›"}


def test_in_multipart() -> None:
    """Text fields are marked, files are not looked into."""
    raw = (
        b'--B\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nby 2026-11-23\r\n'
        b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n2026-11-23\r\n--B--\r\n'
    )
    made = form("*:date", request(raw, "multipart/form-data; boundary=B"))
    prompt, file = made["body"]["multipart"]
    assert prompt == {"name": "prompt", "text": "by ‹date›"}
    assert set(file) == {"name", "filename", "digest", "size"}


@pytest.mark.parametrize(
    ("value", "content_type"), [(b"2026-11-23", "text/plain"), (b"2026-11-23\x80", "audio/wav"), (b"", JSON)]
)
def test_other_bodies_are_left_alone(value: bytes, content_type: str) -> None:
    """Where there are no paths, nothing is ignored."""
    assert form("$..*:date", request(value, content_type)) == form((), request(value, content_type))


def test_pictures_stay_different() -> None:
    """A pattern is looked for in the data itself, never in the digest that stands for it."""
    one, other = (body("$..*:uuid", {"image": "data:image/png;base64," + letter * 4000}) for letter in "AB")
    assert one != other


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("a[", "'[' is not understood"),
        ("a:dates", "'dates' is no pattern: use date, uuid, tmp-path or /a regular expression/"),
        ("a:", "'' is no pattern"),
        (":date", "a path is missing"),
        ("/run-\\d+/", "say where it is to be ignored"),
        ("a:/(x+)+y/", "could take very long"),
        ("a:/(/", "is no regular expression"),
        ("query.", "is not understood"),
    ],
)
def test_a_wrong_entry_is_told_and_left_out(
    entry: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on stderr; the other entries hold."""
    assert body((entry, "b", f"{entry}"), {"a": "x", "b": "y"}) == {"a": "x", "b": "‹ignored›"}
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert "ignore" in line


def test_the_engine_ignores_what_the_setting_says(tmp_path: Any) -> None:
    """Another date replays, another word does not, and the recording and the Miss show what was ignored."""
    store = JsonlStore(tmp_path / "calls.jsonl")

    def ask(prompt: str, mode: str = "auto") -> Replay | Forward:
        settings = Settings(active=True, mode=mode, ignore=("messages[*].content:date",))
        return Engine(settings, store).ask(request({"messages": [{"content": prompt}]}), HERE)

    live = ask("Today is 2026-11-23.")
    assert isinstance(live, Forward)
    tee = live.answered(200, (("content-type", JSON),), lambda _, raw: enumerate(raw))
    assert tee
    tee.feed(b"{}")
    tee.finish()
    assert isinstance(ask("Today is 2026-11-24."), Replay)
    with pytest.raises(cachy.Miss) as caught:
        ask("Yesterday was 2026-11-24.", "replay")
    assert "‹date›" in str(caught.value)
    assert caught.value.request["body"]["json"]["messages"][0]["content"] == "Yesterday was ‹date›."
    assert "Today is ‹date›." in (tmp_path / "calls.jsonl").read_text("utf-8")


def test_equal_rules_are_one_object() -> None:
    """So what is remembered of a request is remembered from one session to the next."""
    one, other = (keys.rules_for(PLAIN, frozenset({"x"}), Ignore.of(("a",))) for _ in range(2))
    assert one is other
    assert keys.rules_for(PLAIN, frozenset(), Ignore.of(("a",))) is not one
    assert keys.rules_for(PLAIN, frozenset({"x"}), Ignore.of(("b",))) is not one


@pytest.mark.parametrize("entries", [("query.t",), ("$..run_id",), ("header.prefer",)])
def test_the_order_of_values_of_one_name_counts_all_the_same(entries: tuple[str, ...]) -> None:
    """Ignoring one thing leaves all others as they were: `sort=b&sort=a` asks for another order."""
    one, other = "sort=b&sort=a", "sort=a&sort=b"
    assert (
        form(entries, request({}, query=f"?{one}"))["query"]
        != form(entries, request({}, query=f"?{other}"))["query"]
    )
    assert (
        form(entries, request(one.encode(), FORM))["body"]
        != form(entries, request(other.encode(), FORM))["body"]
    )
