"""What differs between two requests: lists are aligned, and of a text the differing words are marked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cachy.explain.difference import changes, line_of, spots

Json = Any


def lines(theirs: Json, ours: Json) -> list[str]:
    """The differences between two JSON bodies."""
    return [line_of(change) for change in changes(of(theirs), of(ours))]


def of(body: Json) -> dict[str, Any]:
    return {"method": "POST", "host": "h", "path": "/", "body": {"json": body}}


def talk(*texts: str) -> Json:
    """A conversation, whose first message is the system's."""
    roles = ["system", *["user", "assistant"] * len(texts)]
    return {"messages": [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]}


def changed(theirs: str, ours: str) -> str:
    (line,) = lines({"t": theirs}, {"t": ours})
    return line.removeprefix("~ t: ")


# Texts


@pytest.mark.parametrize(
    ("theirs", "ours", "shown"),
    [
        ("gpt-5", "gpt-5-mini", "'gpt-5' -> 'gpt-5-mini'"),
        (
            "report of 2026-11-21 for",
            "report of 2026-11-22 for",
            "report of {-2026-11-21-}{+2026-11-22+} for",
        ),
        ("one two", "one new two", "one {+new +}two"),
        ("one old two", "one two", "one {-old -}two"),
        ("a b c d e f g h i", "a X c d e f Y h i", "a {-b-}{+X+} c d e f {-g-}{+Y+} h i"),
        ("see /tmp/abc/x.", "see /tmp/abd/x.", "see {-/tmp/abc/x-}{+/tmp/abd/x+}."),
        ("一二三四五", "一二六四五", "一二{-三-}{+六+}四五"),
        ("a\n\x1b[31m red", "a\n\x1b[31m blue", "a\\n\\x1b[31m {-red-}{+blue+}"),
        ("", "x", "'' -> 'x'"),
        ("word", "Word", "'word' -> 'Word'"),
    ],
)
def test_the_differing_words_are_marked(theirs: str, ours: str, shown: str) -> None:
    """Whole words, in one line that cannot steer a terminal; what has nothing in common is shown side by side."""
    assert changed(theirs, ours) == shown


def test_a_long_text_is_shown_around_its_differences() -> None:
    """With a few words of context, and the place of the first."""
    words = [f"word{n}" for n in range(5000)]
    other = [*words[:1000], "CHANGED", *words[1001:3000], "ALSO", *words[3001:]]
    shown = changed(" ".join(words), " ".join(other))
    assert "word999 {-word1000-}{+CHANGED+} word1001 " in shown
    assert "word2999 {-word3000-}{+ALSO+} word3001 " in shown
    assert shown.endswith("(at character 7890 of 43884)")
    assert len(shown) < 250


def test_many_spots_are_cut() -> None:
    """Four are shown."""
    theirs = " ".join(f"w{n} x{n} y{n} z{n} v{n}" for n in range(9))
    shown = changed(theirs, theirs.replace("x", "X"))
    assert shown.count("{-") == 4
    assert shown.endswith(" …")


def test_long_spots_are_cut() -> None:
    """Each side by its beginning and its end."""
    shown = changed("from " + "a" * 5000 + " to", "from " + "b" * 5000 + " to")
    assert shown.startswith("from {-aaa")
    assert "aaa…aaa" in shown
    assert len(shown) < 250


@given(st.text("ab .-\n中", max_size=40), st.text("ab .-\n中", max_size=40))
def test_the_spots_hold_all_that_differs(one: str, other: str) -> None:
    """Put into what is the same around them, they give either text; a difference is never lost."""
    assume(one != other)
    start, found, more = spots(one, other)
    assume(not more)
    recorded = other[:start] + "".join(spot[1] + spot[3] for spot in found)
    asked = other[:start] + "".join(spot[2] + spot[3] for spot in found)
    assert (recorded, asked) == (one, other)


# Lists


def test_a_message_in_the_middle_is_one_insertion() -> None:
    """The later ones stand for what they were."""
    theirs = talk("be brief", "hello", "hi there", "how are you")
    ours = {"messages": [*theirs["messages"]]}
    ours["messages"].insert(2, {"role": "user", "content": "I forgot"})
    assert lines(theirs, ours) == ["+ messages[2]: {'role': 'user', 'content': 'I forgot'}"]
    assert lines(ours, theirs) == ["- messages[2]: {'role': 'user', 'content': 'I forgot'}"]


def test_an_insertion_beside_other_changes() -> None:
    """Messages that are alike are compared with each other, and named by their place in the new request."""
    theirs = talk("today is monday", "tell me of cats and dogs")
    ours = talk("today is friday", "what a day", "indeed", "tell me of cats and mice")
    assert lines(theirs, ours) == [
        "~ messages[0].content: today is {-monday-}{+friday+}",
        "+ messages[1]: {'role': 'user', 'content': 'what a day'}",
        "+ messages[2]: {'role': 'assistant', 'content': 'indeed'}",
        "~ messages[3].content: tell me of cats and {-dogs-}{+mice+}",
    ]


def test_a_window_that_moved() -> None:
    """A conversation of fixed length that lost its oldest message and got a new one is two differences."""
    texts = [f"message number{n} of many" for n in range(100)]
    theirs, ours = ({"m": texts[:80]}, {"m": [*texts[1:80], "quite another"]})
    assert lines(theirs, ours) == [f"- m[0]: '{texts[0]}'", "+ m[79]: 'quite another'"]


def test_a_list_without_end_is_compared_in_its_order() -> None:
    """Thousands of numbers are compared, not aligned, and no more than a hundred differences are told."""
    assert lines({"m": list(range(9000))}, {"m": [-1, *range(1, 9000)]}) == ["~ m[0]: 0 -> -1"]
    assert len(lines({"m": [0] * 9000}, {"m": [1] * 9000})) == 100


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [
        ({"a": 1}, {"a": True}, ["~ a: 1 -> True"]),
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": []}, {"a": [1]}, ["~ a: [] -> [1]"]),
        ({"a": {"b": 1}}, {"a": {"c": 1}}, ["+ a.c: 1", "- a.b: 1"]),
        ({"a": {"b": 1}}, {"a": [1]}, ["~ a: {'b': 1} -> [1]"]),
        ({"a b": 1, "x-y": 1}, {"a b": 2, "x-y": 2}, ["~ ['a b']: 1 -> 2", "~ x-y: 1 -> 2"]),
        ({}, {"a": "x " * 5000}, [f"+ a: '{'x ' * 38}…"]),
        ([1, 2], [1, 3], ["~ [1]: 2 -> 3"]),
        ("x", ["x"], ["~ : 'x' -> ['x']"]),
    ],
)
def test_values_of_every_kind(theirs: Json, ours: Json, expected: list[str]) -> None:
    """Numbers are compared by value, kinds are kept apart, and paths are those of the setting `ignore`."""
    assert lines(theirs, ours) == expected


def test_forms_and_queries_by_name() -> None:
    """A field is named, not counted, unless its name stands twice."""
    base = {"method": "POST", "host": "h", "path": "/"}
    theirs = {**base, "query": [["a", "1"]], "body": {"form": [["x", "1"], ["y", "1"]]}}
    ours = {**base, "query": [["a", "2"]], "body": {"form": [["x", "1"], ["y", "2"]]}}
    assert [line_of(change) for change in changes(theirs, ours)] == [
        "~ query.a: '1' -> '2'",
        "~ y: '1' -> '2'",
    ]
    twice = {**base, "query": [["a", "1"], ["a", "2"]]}
    (change,) = changes(twice, {**base, "query": [["a", "1"], ["a", "3"]]})
    assert change.path == "query[1][1]"


def test_the_way_in_which_a_patch_is_meant() -> None:
    """The type of a patch stands in the headers, where people know it from."""
    one, other = (
        {"method": "PATCH", "body": {"json": {}, "type": f"application/{kind}-patch+json"}}
        for kind in ("merge", "strategic-merge")
    )
    ((change),) = changes(one, other)
    assert change.path == "header.content-type"
