"""gRPC calls as the rest of cachy sees them, and what their names and messages say. Pure functions.

A call is a request with the method `GRPC` (so that it is kept apart from what the same host answers over plain HTTP),
the URL that it has on the wire (`https://host/package.Service/Method`, see PROTOCOL-HTTP2.md of gRPC), and its message
as the body: as JSON in protobuf's own mapping (https://protobuf.dev/programming-guides/json/) where its type is known.

The body of a recorded answer has a line for each message:

    {"message":{...},"base64":"..."}

`base64` is the serialised protobuf, which is what a replay hands out; `message` is the same for people, and for what
is told from an answer here. It is missing where the type is not known.
"""

from __future__ import annotations

import json
from typing import Any

from ..exchange import Request, Response

Json = Any

METHOD = "GRPC"
KIND = "application/grpc"
"""The content type of a recorded answer."""

_FORGETS = ("Cancel", "Delete", "Purge", "Remove", "Revoke")
_POLLS = ("Get", "Poll", "Retrieve", "Wait")


def forgets(request: Request) -> bool:
    """Whether a call asks the provider to forget or stop something."""
    return request.method == METHOD and _name(request).startswith(_FORGETS)


def lists(request: Request) -> bool:
    """Whether a call lists what other calls add to and take from. The list of models is none, unless it is of one's
    own."""
    name = _name(request)
    return name.startswith("List") and (not name.endswith("Models") or name.endswith("TunedModels"))


def polls(request: Request) -> bool:
    """Whether a call may ask for something that is not finished yet."""
    return request.method == METHOD and _name(request).startswith(_POLLS)


def under_way(message: Json) -> bool:
    """Whether the answer to a poll says so in a way that is gRPC's alone: operations of Google, batches of xAI."""
    if not isinstance(message, dict):
        return False
    if "operations/" in str(message.get("name", "")):
        return message.get("done") is not True
    state = message.get("state")
    return isinstance(state, dict) and bool(state.get("numPending"))


def is_answer(response: Response) -> bool:
    """Whether this is the recorded answer to a gRPC call."""
    return response.header("content-type") == KIND


def messages(response: Response) -> list[Json]:
    """The messages of an answer as JSON, as far as their types were known."""
    found = []
    for line in response.body.splitlines():
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue  # cut, or edited by hand
        if isinstance(value, dict) and "message" in value:
            found.append(value["message"])
    return found


def _name(request: Request) -> str:
    return request.url.rpartition("/")[2]
