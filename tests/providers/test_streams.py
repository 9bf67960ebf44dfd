"""Reading server-sent events, JSON lines and AWS event streams."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from providers.event_stream import frame, message

from cachy.providers.streams import Event, frames, json_lines, sse


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_sse_with_every_line_end(end: bytes) -> None:
    """LF, CRLF and CR end a line; comments, ids and retry hints are no events; data lines are joined."""
    body = end.join(
        [
            b": hello",
            b"event: one",
            b'data: {"a":1}',
            b"",
            b"id: 7",
            b"data:x",
            b"data: y",
            b"",
            b"retry: 5",
            b"",
            b"",
        ]
    )
    assert sse(body) == ([Event("one", b'{"a":1}'), Event("", b"x\ny")], True)


def test_line_separators_inside_json_are_text() -> None:
    """U+2028, U+0085 and form feeds stand in texts and end no line."""
    data = '{"t":"a\u2028b\u0085c"}'.encode()
    assert sse(b"data: a\x0bb\x0cc\n\n") == ([Event("", b"a\x0bb\x0cc")], True)
    assert sse(b"data: " + data + b"\n\n") == ([Event("", data)], True)
    assert json_lines(data + b"\n") == ([Event("", data)], True)


@pytest.mark.parametrize(
    ("tail", "events", "at_boundary"),
    [
        (b"", 1, True),
        (b": keep-alive\n", 1, True),
        (b"data: [DONE]", 2, True),
        (b"data: [DONE]\n", 2, True),
        (b'data: {"b":2}\n', 2, True),
        (b'data: {"b":', 1, False),
        (b"event: b", 1, False),
        (b"data: some te", 1, False),
    ],
)
def test_sse_that_ends_without_a_blank_line(tail: bytes, events: int, at_boundary: bool) -> None:
    """A last event without its blank line counts only when its data is complete in itself."""
    found, whole = sse(b'data: {"a":1}\n\n' + tail)
    assert (len(found), whole) == (events, at_boundary)


def test_sse_byte_order_mark() -> None:
    """A byte order mark at the start is not part of the first field."""
    assert sse(b"\xef\xbb\xbfdata: 1\n\n") == ([Event("", b"1")], True)


def test_json_lines() -> None:
    """Each line is a document; a last one that was cut is left out and told."""
    assert json_lines(b'{"a":1}\r\n\r\n{"b":2}') == ([Event("", b'{"a":1}'), Event("", b'{"b":2}')], True)
    assert json_lines(b'{"a":1}\n{"b":') == ([Event("", b'{"a":1}')], False)
    assert json_lines(b"") == ([], True)


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (Event("named", b'{"type":"typed"}'), "typed"),
        (Event("named", b'{"event_type":"typed"}'), "typed"),
        (Event("named", b'{"type":7}'), "named"),
        (Event("named", b"[DONE]"), "named"),
        (Event("", b"[1]"), ""),
        (Event("", b"[" * 100_000), ""),
    ],
)
def test_the_kind_of_an_event(event: Event, kind: str) -> None:
    """An event is what its JSON says, else what its name says."""
    assert event.kind() == kind


def test_frames() -> None:
    """Messages of an AWS event stream give their string headers and payload."""
    body = frame(b'{"p":1}', message_type="event", event_type="chunk") + frame(b"", message_type="exception")
    first, second = frames(body)
    assert first == ({":message-type": "event", ":event-type": "chunk"}, b'{"p":1}')
    assert second == ({":message-type": "exception"}, b"")
    assert frames(b"") == []


def test_frame_headers_of_other_types() -> None:
    """Headers that are no strings are stepped over."""
    head = b"\x01a\x00\x01b\x04abcd\x01c\x06\x00\x02xy\x01d\x09" + b"u" * 16 + b"\x01e\x07\x00\x01v"
    assert frames(message(head, b""))[0].headers == {"e": "v"}


@settings(deadline=None)
@given(payloads=st.lists(st.binary(max_size=40), min_size=1, max_size=3), data=st.data())
def test_a_cut_or_damaged_event_stream_never_passes(payloads: list[bytes], data: st.DataObject) -> None:
    """Whichever byte is lost or changed, the stream is refused, unless the cut falls between two messages."""
    messages = [frame(payload, message_type="event", event_type="chunk") for payload in payloads]
    body = b"".join(messages)
    ends = [sum(map(len, messages[:count])) for count in range(len(messages) + 1)]
    cut = data.draw(st.integers(0, len(body) - 1))
    if cut in ends:
        assert len(frames(body[:cut])) == ends.index(cut)
    else:
        with pytest.raises(ValueError, match=r"cut|damaged"):
            frames(body[:cut])
    at = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(ValueError, match=r"cut|damaged"):
        frames(body[:at] + bytes([body[at] ^ 0x41]) + body[at + 1 :])
