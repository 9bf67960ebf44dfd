"""What looks volatile, and the setting that cures it."""

from __future__ import annotations

import sys

import pytest

from cachy.errors import Change
from cachy.explain.guess import guess
from cachy.ignore import Ignore

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PATH = "messages[1].content"


def body_with(value: object) -> dict[str, object]:
    return {"messages": [{}, {"content": value}]}


def change(theirs: object, ours: object, path: str = PATH) -> Change:
    return Change(path, "changed", theirs, ours)


@pytest.mark.parametrize(
    ("theirs", "ours", "rule"),
    [
        ("Today is 2026-11-21.", "Today is 2026-11-22.", ":date"),
        ("now: 2026-11-21T10:11:12.123Z", "now: 2026-11-22T01:02:03.4+01:00", ":date"),
        ("Sunday, November 22, 2026", "Monday, November 23, 2026", ":date"),
        ("22 Nov 2026 9:05 pm.", "23 Nov 2026 10:15 AM.", ":date"),
        ("at 10:11", "at 10:12", ":date"),
        ("run 1b4e28ba-2fa1-11d2-883f-0016d3cca427", "run 6ba7b810-9dad-11d1-80b4-00c04fd430c8", ":uuid"),
        ("read /tmp/tmpab12/f.py now", "read /tmp/tmpzz/f.py now", ":tmp-path"),
        (
            "read C:\\Users\\a\\AppData\\Local\\Temp\\x1\\f",
            "read C:\\Users\\a\\AppData\\Local\\Temp\\y\\f",
            ":tmp-path",
        ),
        ("<Tool at 0x7f3a2b1c4d>", "<Tool at 0x7fffffff10>", ":/0x[0-9a-fA-F]+/"),
        ("in /home/ann/app.py", "in /home/bob/app.py", r":/(?:/home|/Users|[A-Z]:\\Users)[/\\][^/\\\s]+/"),
        (
            "at http://localhost:8765/x",
            "at http://localhost:43211/x",
            r":/(?:localhost|127\.0\.0\.1|0\.0\.0\.0):\d+/",
        ),
        ("job 3f9a01bc77de", "job 0011aabbccdd", r":/\b[0-9a-f]{8,64}\b/"),
        (1763971200, 1763974800, ""),
        (1763971200123, 1763974800456, ""),
    ],
)
def test_one_cause(theirs: object, ours: object, rule: str) -> None:
    """Both values are the same without it, so a rule for it would have made the request a hit."""
    found = guess([change(theirs, ours)])
    assert found is not None
    assert (found.setting, found.values) == ("ignore", (PATH + rule,))
    assert tomllib.loads(found.line) == {"ignore": [PATH + rule]}
    marked = [Ignore.of(found.values).json(body_with(value)) for value in (theirs, ours)]
    assert marked[0] == marked[1]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("What is the capital of France?", "What is the capital of Spain?"),
        ("2026-11-21 in France", "2026-11-22 in Spain"),
        ("pay 5 euros", "pay 6 euros"),
        ("year 2025", "year 2026"),
        ("ratio 3:1", "ratio 3:2"),
        ("the facade", "the decade"),
        ("", "2026-11-22"),
        (1, 2),
        (True, False),
        ("1763971200", 1763971200),
        ("a" * 30_000, "b" * 30_000),
        ("blake2b:0f3a9c1b7d5e2468", "blake2b:1e4b8d2c6f7a3590"),  # contents of a file
    ],
)
def test_no_cause(theirs: object, ours: object) -> None:
    """What a person may have meant is not called volatile, nor what would still differ without its dates."""
    assert guess([change(theirs, ours)]) is None


def test_several_causes() -> None:
    """Each place and each kind has its entry; one difference that is none of them, and there is no cure."""
    both = change("2026-11-21 /tmp/a1", "2026-11-22 /tmp/b2"), change("1", "2026-11-21")
    dates = [change("2026-11-21", "2026-11-22", "query.day"), both[0]]
    found = guess(dates)
    assert found is not None
    assert found.values == ("query.day:date", f"{PATH}:date", f"{PATH}:tmp-path")
    assert found.what == "a date or time and a temporary path"
    assert guess([*dates, both[1]]) is None
    assert guess([*dates, Change("seed", "added", None, 1)]) is None
    assert guess([]) is None


def test_many_places_are_named_as_one() -> None:
    """A conversation in which every message says the date needs one entry."""
    found = guess([change("2026-11-21", "2026-11-22", f"messages[{n}].content") for n in range(9)])
    assert found is not None
    assert found.values == ("messages[*].content:date",)


def test_another_port() -> None:
    """A server on a random port is cured by the setting `hosts`; another host is another host."""
    found = guess([change("127.0.0.1:8765", "127.0.0.1:9999", "host")])
    assert found is not None
    assert found.line == 'hosts = ["127.0.0.1:*"]'
    assert guess([change("a.example.com", "b.example.com", "host")]) is None
    assert guess([change("/v1/2026-11-21", "/v1/2026-11-22", "path")]) is None
