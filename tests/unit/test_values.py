"""How the value of each setting is read, from TOML, Python and the text of a variable."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachy.values import READERS, HostRule, hosts, hosts_as_text, list_as_text


@pytest.mark.parametrize(
    ("name", "given", "read"),
    [
        ("enabled", "No", False),
        ("mode", " Replay ", "replay"),
        ("store", " x.jsonl ", "x.jsonl"),
        ("redact", "a, b,,", ("a", "b")),
        ("redact", ["a", " b "], ("a", "b")),
        ("redact", "", ()),
        ("ignore", "a:date, $..b", ("a:date", "$..b")),
        ("ignore", '["a:/x{1,2}/", "b"]', ("a:/x{1,2}/", "b")),
        ("ignore", "['a b']:date", ("['a b']:date",)),
        ("keep-headers", {"x-a"}, ("x-a",)),
        ("record-status", "404, 400", {400, 404}),
        ("record-status", [404, "400"], {400, 404}),
        ("record-status", "", set()),
        ("on-miss", "RESPOND", "respond"),
        ("pace", "instant", 0.0),
        ("pace", "Recorded", 1.0),
        ("pace", "0.5", 0.5),
        ("pace", 2, 2.0),
        ("summary", "1", True),
        ("summary", "off", False),
        ("summary", False, False),
    ],
)
def test_each_setting_in_each_of_its_forms(name: str, given: Any, read: Any) -> None:
    """The text of a variable and the typed value of a file or a program mean the same."""
    assert READERS[name](given) == read


@pytest.mark.parametrize(
    ("given", "rules"),
    [
        ("", ()),
        ([], ()),
        ("api.example.com", [("api.example.com", None, None)]),
        ("a.com, localhost:*", [("a.com", None, None), ("localhost:*", None, None)]),
        ("localhost:8000=openai", [("localhost:8000", "openai", None)]),
        ("gw=openai@api.openai.com", [("gw", "openai", "api.openai.com")]),
        ("gw=@api.openai.com", [("gw", None, "api.openai.com")]),
        (["a.com", "[::1]:80"], [("a.com", None, None), ("[::1]:80", None, None)]),
        ({"localhost:8000": "openai"}, [("localhost:8000", "openai", None)]),
        ({"gw": {"provider": "openai", "as": "x"}}, [("gw", "openai", "x")]),
        ({"gw": {"as": "x"}}, [("gw", None, "x")]),
        ({"gw": {}}, [("gw", None, None)]),
        (["https://me:secret@gw.corp:8/v1?a=b"], [("https://gw.corp:8", None, None)]),
        ({"gw": {"as": "http://me:secret@x/"}}, [("gw", None, "http://x")]),
    ],
)
def test_hosts_in_every_spelling(given: Any, rules: list[tuple[str, str | None, str | None]]) -> None:
    """A list, a table, a table of tables or text; what a URL holds beside its host is left out, secrets first."""
    assert hosts(given) == tuple(HostRule(*rule) for rule in rules)


NAME = st.text(st.characters(exclude_characters=",=@/", exclude_categories=["Z", "C"]), min_size=1)


@given(
    st.dictionaries(
        NAME,
        st.one_of(NAME, st.fixed_dictionaries({}, optional={"provider": NAME, "as": NAME})),
        max_size=4,
    )
)
def test_the_text_form_of_hosts_reads_back(table: dict[str, Any]) -> None:
    """Whatever a table says reaches a child process through one variable unchanged."""
    rules = hosts(table)
    assert len(rules) == len(table)
    assert hosts(hosts_as_text(rules)) == rules


@given(st.lists(st.text().filter(lambda text: bool(text.strip())).map(str.strip), max_size=4))
def test_the_text_form_of_a_list_reads_back(items: list[str]) -> None:
    """Also of items with commas or brackets in them."""
    assert READERS["ignore"](list_as_text(items)) == tuple(items)


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5)
)
def test_no_value_makes_a_reader_fail_otherwise(value: Any) -> None:
    """A reader returns a value or raises ValueError, whatever a file holds."""
    for reader in READERS.values():
        with suppress(ValueError):
            reader(value)
