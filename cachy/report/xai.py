"""xAI's messages of gRPC in the words of OpenAI's chat, from which they differ only in how protobuf's JSON writes
them. Pure functions."""

from __future__ import annotations

import re
from typing import Any

Json = Any

_HUMP = re.compile("[A-Z]")


def as_chat(value: Json) -> Json:
    """A request or a message of an answer, if it is xAI's; others as they are."""
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("response"), dict) and "outputs" in value["response"]:
        value = value["response"]  # of a job that is done
    if "outputs" in value:
        return {**_plain(value), "choices": _plain(value["outputs"])}
    roles = value["messages"] if isinstance(value.get("messages"), list) else []
    if any(isinstance(said, dict) and str(said.get("role")).startswith("ROLE_") for said in roles):
        return _plain(value)
    return value


def _plain(value: Json) -> Json:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {
            _HUMP.sub(lambda hump: "_" + hump[0].lower(), name): _plain(item) for name, item in value.items()
        }
    if isinstance(value, str) and value.startswith("ROLE_"):
        return value.removeprefix("ROLE_").lower()
    return value
