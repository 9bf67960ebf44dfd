"""What is drift and what is not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cachy.drift import compare
from cachy.exchange import Response

JSON = (("content-type", "application/json"),)


def drift(before: Any, after: Any) -> list[str]:
    return compare(*(Response(200, JSON, json.dumps(value).encode()) for value in (before, after)))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"a": "x"}, {"a": "y"}),
        ({"a": 1}, {"a": 1.5}),
        ({"a": None}, {"a": "now and then"}),
        ({"a": [1, 2, 3]}, {"a": [4]}),
        ({"a": [{"type": "text", "text": "x"}]}, {"a": [{"type": "text", "text": "y"}, {"type": "text", "text": ""}]}),
        ({"model": "m", "text": "x"}, {"text": "y", "model": "m"}),
        ({"file": {"name": "files/abc"}}, {"file": {"name": "files/xyz"}}),
    ],
)  # fmt: skip
def test_no_drift(before: Any, after: Any) -> None:
    """Other words, numbers and counts; a field that is empty at times."""
    assert drift(before, after) == []


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, "b is gone"),
        ({"a": 1}, {"a": 1, "b": {"c": 1}}, "b is new"),
        ({"a": 1}, {"a": "1"}, "a number -> text"),
        ({"finish_reason": "stop"}, {"finish_reason": "length"}, "finish_reason stop -> length"),
        ({"c": [{"type": "text"}]}, {"c": [{"type": "tool"}]}, "c[text] is gone"),
        ({"c": [{"name": "add"}]}, {"c": [{"name": "sub"}]}, "c[].name add -> sub"),
    ],
)
def test_drift(before: Any, after: Any, told: str) -> None:
    """Fields that come and go, change their type, or hold what a program branches on."""
    assert told in drift(before, after)


def test_other_kinds_of_answers() -> None:
    """A content type that changes is told alone; bytes are not compared."""
    audio = Response(200, (("content-type", "audio/mpeg"),), b"\xff\xf3")
    assert compare(audio, Response(200, audio.headers, b"\xff\xf3\x00")) == []
    assert compare(audio, Response(200, JSON, b"{}")) == ["content-type audio/mpeg -> application/json"]
    assert compare(Response(200, JSON, b"{}"), Response(200, JSON, b"{")) == [
        "the body is JSON in one of them only"
    ]
    lines = (("content-type", "application/x-ndjson"),)
    assert compare(Response(200, lines, b'{"a":1}\n{"a":2}\n'), Response(200, lines, b'{"a":1}\n')) == []
