"""Paths into JSON: what each form names, and what is no path."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from cachy.paths import Path

BODY: dict[str, Any] = {
    "a": 1,
    "b": {"a": 2, "run-id": 3, "it's": 4, "x.y": 5, "*": 6, "é": 7},
    "list": [{"a": 8}, [9, {"a": 10}], 11],
    "0": 12,
}


def named(path: str) -> list[Any]:
    """The values at `path`, in the order of the paths that lead to them."""
    found: list[Any] = []

    def note(value: Any) -> Any:
        found.append(value)
        return value

    Path(path).change(copy.deepcopy(BODY), note)
    return found


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("$", [BODY]),
        ("a", [1]),
        ("$.a", [1]),
        ("$['a']", [1]),
        ('["a"]', [1]),
        ("b.run-id", [3]),
        ("b['it\\'s']", [4]),
        ('b["it\'s"]', [4]),
        ("b['x.y']", [5]),
        ("b['*']", [6]),
        ("b.é", [7]),
        ("['0']", [12]),
        ("b.*", [2, 3, 4, 5, 6, 7]),
        ("b[*]", [2, 3, 4, 5, 6, 7]),
        ("list[0].a", [8]),
        ("list[-1]", [11]),
        ("list[ 1 ][1].a", [10]),
        ("list[*].a", [8]),
        ("list.*.a", [8]),
        ("$..['run-id']", [3]),
        ("$..[-1].a", [10]),
        ("$.b..a", [2]),
    ],
)
def test_what_a_path_names(path: str, values: list[Any]) -> None:
    """Members, elements from either end, all of them, and at any depth; the leading `$.` may be left out."""
    assert named(path) == values


@pytest.mark.parametrize(("path", "values"), [("$..a", {1, 2, 8, 10}), ("..a", {1, 2, 8, 10})])
def test_at_any_depth(path: str, values: set[int]) -> None:
    """`..name` finds a member here and below, in objects and lists."""
    assert set(named(path)) == values


def test_all_at_any_depth() -> None:
    """`..*` names every value below, containers too."""
    leaves = [value for value in named("$..*") if not isinstance(value, (dict, list))]
    assert sorted(leaves) == list(range(1, 13))
    assert len(named("$..*")) == 12 + 5


@pytest.mark.parametrize(
    "path", ["c", "a.b", "a[0]", "list[3]", "list[-4]", "list.a", "b[0]", "[0]", "list['0']"]
)
def test_what_is_not_there_is_not_named(path: str) -> None:
    """A path that leads nowhere changes nothing: numbers are for lists, names for objects."""
    assert named(path) == []


def test_a_change_is_made_in_place_and_at_the_root() -> None:
    """The value is changed where it stands; the root itself is given back."""
    body = {"a": [{"b": 1}, {"b": 2}]}
    assert Path("a[*].b").change(body, lambda value: value * 10) == {"a": [{"b": 10}, {"b": 20}]}
    assert Path("$").change(body, lambda _: "x") == "x"
    assert Path("a").change("no container", lambda _: "x") == "no container"


@pytest.mark.parametrize(
    "path",
    [
        "",
        " ",
        "$.",
        ".",
        "a..",
        "$...a",
        "a b",
        "$a",
        "a[",
        "a[]",
        "a[1:2]",
        "a[?@.b]",
        "a[0,1]",
        "$.[0]",
        "a.'b'",
        "a['b\\n']",
        "a[b]",
        "a]",
        "a[--1]",
        "a[1.0]",
        "a['b]",
        "a.b!",
    ],
)
def test_what_is_no_path(path: str) -> None:
    """Anything else, the rest of RFC 9535 included, is refused with the place where it went wrong."""
    with pytest.raises(ValueError, match=r"is missing|is not understood"):
        Path(path)
