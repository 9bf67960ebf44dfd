"""Streams whose consumer left when only the end marker was still to come."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cachy.exchange import Body, Request, Response
from cachy.providers.answers import completed, finished

ASKED = Request("POST", "https://api.anthropic.com/v1/messages", (), Body(b"{}"))
START = {"type": "message_start", "message": {}}
SSE = (("content-type", "text/event-stream"),)
STOPPED = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}


def left(
    *events: dict[str, Any], kind: str = "text/event-stream", end: str = "\n\n", **more: str
) -> Response:
    texts = [f"event: {event['type']}\ndata: {json.dumps(event)}{end}".encode() for event in events]
    headers = (("content-type", kind), *((name.replace("_", "-"), value) for name, value in more.items()))
    chunks = tuple((10 * number, len(text)) for number, text in enumerate(texts))
    return Response(200, headers, b"".join(texts), chunks, 50)


def test_the_end_marker_is_certain_after_the_stop_reason() -> None:
    """After Anthropic's stop reason nothing but `message_stop` can come: with it the answer is whole."""
    response = left(START, STOPPED)
    assert finished(ASKED, response, False) is not None
    whole = completed(response)
    assert finished(ASKED, whole, False) is None
    assert whole.body == response.body + b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    assert sum(length for _, length in whole.chunks) == len(whole.body)
    assert completed(whole) is whole


@pytest.mark.parametrize(
    "response",
    [
        left(START),
        left(START, {"type": "message_delta", "delta": {"stop_reason": None}}),
        left(START, {"type": "message_delta"}),
        left(START, {"type": "message_delta", "delta": "odd"}),
        left(START, STOPPED, end="\n"),
        left(START, STOPPED, kind="application/json"),
        left(START, STOPPED, content_length="5000"),
        left(STOPPED),
        left(),
        Response(200, SSE, b'data: {"type":"message_start"}\n\nevent: message_delta\ndata: 5\n\n'),
    ],
)
def test_nothing_is_made_up(response: Response) -> None:
    """As long as more could follow, or the shape is not Anthropic's, the answer stays what was read."""
    assert completed(response) is response
