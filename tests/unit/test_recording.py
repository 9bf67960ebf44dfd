"""The line of a recording: what it holds, byte for byte."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachy.exchange import Response
from cachy.recording import KEY_AT, Recording, response_of

KEY = "0123456789abcdef" * 2


def recording(**facts: object) -> Recording:
    facts.setdefault("status", 200)
    return Recording(KEY, "2026-11-23T08:00:00Z", "openai", {"method": "POST"}, Response(**facts))  # type: ignore[arg-type]


@given(st.binary(max_size=200))
def test_any_body_comes_back_byte_for_byte(body: bytes) -> None:
    """Text and binary bodies survive the line, and the fast way reads what the slow way reads."""
    made = recording(body=body)
    assert Recording.from_line(made.to_line()) == made
    assert response_of(made.to_line()) == made.response


def test_the_key_stands_at_a_fixed_offset() -> None:
    """An index finds the key without parsing."""
    assert recording().to_line()[KEY_AT] == KEY.encode()


def test_everything_an_answer_has_is_kept() -> None:
    """Headers with repeats, chunks, protocol and reason survive."""
    made = recording(
        status=206,
        headers=(("content-type", "text/plain"), ("link", "<a>"), ("link", "<b>")),
        body="é☃ line\nline".encode(),
        chunks=((3, 5), (9, 9)),
        ms=9,
        http_version="HTTP/2",
        reason="Fine",
    )
    assert Recording.from_line(made.to_line()) == made


def test_text_is_readable_in_the_file() -> None:
    """No escapes for ordinary letters, one line for any text."""
    line = recording(body="こんにちは\n\u2028".encode()).to_line()
    assert "こんにちは" in line.decode()
    assert b"\n" not in line


def test_a_nested_response_in_the_request_does_not_mislead() -> None:
    """A request body that looks like the end of a recording is not taken for the answer."""
    made = Recording(
        KEY, "2026-11-23T08:00:00Z", "x", {"body": {"json": {"a": 1, "response": {"status": 500, "headers": []}}}},
        Response(status=200, body=b'"response":{"status":1},"response":{'),
    )  # fmt: skip
    assert response_of(made.to_line()) == made.response


def test_a_lone_surrogate_in_the_request_can_be_written() -> None:
    """JSON may hold half a surrogate pair; the line is still UTF-8."""
    made = Recording(KEY, "t", "x", {"body": {"json": "\ud800"}}, Response(status=200))
    assert Recording.from_line(made.to_line()).request == {"body": {"json": "\ud800"}}


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"key":"x"',
        b'{"key":"x","response":{"status":200}}',
        b'x,"response":{}}',
        b'x,"response":[1]}',
    ],
)
def test_what_is_no_recording_raises_value_error(line: bytes) -> None:
    """A damaged line is told apart, never read as something else."""
    with pytest.raises(ValueError):
        Recording.from_line(line)
    with pytest.raises(ValueError):
        response_of(line)


def test_line_is_one_json_object_of_format_1() -> None:
    """People and tools can read it with any JSON parser."""
    facts = json.loads(recording(body=b"x").to_line())
    assert list(facts) == ["key", "v", "at", "provider", "request", "response"]
    assert facts["v"] == 1


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("status", "200"), ("status", None), ("ms", "x"), ("ms", []), ("chunks", [["a", 1]]), ("chunks", 5),
        ("headers", 5), ("headers", [["a"]]), ("headers", [["a", 5]]), ("headers", [[{}, "a"]]), ("text", 5),
    ],
)  # fmt: skip
def test_an_answer_of_the_wrong_kinds_is_none(part: str, value: object) -> None:
    """Somebody edited the line: no client gets a number for the value of a header, and no count a text."""
    facts = json.loads(recording(body=b"Hi", headers=(("a", "b"),)).to_line())
    facts["response"][part] = value
    line = json.dumps(facts, separators=(",", ":")).encode()
    for read in (response_of, Recording.from_line):
        with pytest.raises(ValueError):
            read(line)
