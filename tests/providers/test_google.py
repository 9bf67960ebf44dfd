"""What google-genai 1 and 3 write differently is one request, and nothing else is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cachy import keys
from cachy.exchange import Body, Request
from cachy.providers import Registry

PARTS = [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}, {"text": "What is it?"}]
ASKED = {"contents": [{"role": "user", "parts": PARTS}]}


def key(body: Any, host: str = "generativelanguage.googleapis.com") -> str:
    path = "/v1/models/gemini-2.5-flash:generateContent"
    claim = Registry().claim("https", host, None, path)
    assert claim
    raw = Body(json.dumps(body).encode())
    request = Request("POST", f"https://{host}{path}", (("content-type", "application/json"),), raw)
    return keys.canonical(request, claim).key


def of_parts(*parts: Any, **more: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": list(parts)}], **more}


@pytest.mark.parametrize("host", ["generativelanguage.googleapis.com", "aiplatform.googleapis.com"])
def test_a_field_has_two_names(host: str) -> None:
    """`inline_data.mime_type` is `inlineData.mimeType`, on either host."""
    snake = of_parts({"inline_data": {"mime_type": "image/png", "data": "AAAA"}}, PARTS[1])
    assert key(snake, host) == key(ASKED, host)


def test_no_settings_are_none() -> None:
    """The chats of google-genai 3 send settings that hold nothing."""
    assert key({**ASKED, "generationConfig": {}}) == key(ASKED)
    assert key({**ASKED, "generation_config": {}}) == key(ASKED)
    assert key({**ASKED, "generationConfig": {"seed": 1}}) != key(ASKED)


def test_an_empty_tool_is_a_tool() -> None:
    """Other things that hold nothing say something: Google Search is switched on by `{}`."""
    assert key({**ASKED, "tools": [{"googleSearch": {}}]}) != key({**ASKED, "tools": [{}]})


@pytest.mark.parametrize(
    "inside",
    [
        lambda name: of_parts({"functionCall": {"name": "f", "args": {name: 1}}}),
        lambda name: of_parts({"functionResponse": {"name": "f", "response": {"deep": {name: 1}}}}),
        lambda name: {**ASKED, "labels": {name: "x"}},
        lambda name: {"contents": [{"parts": [{"text": "?", "partMetadata": {name: "x"}}]}]},
        lambda name: {
            **ASKED,
            "generationConfig": {"responseSchema": {"patternProperties": {name: {}}}},
        },
        lambda name: {**ASKED, "generationConfig": {"responseSchema": {"properties": {name: {}}}}},
        lambda name: {**ASKED, "tools": [{"functionDeclarations": [{"parametersJsonSchema": {name: 1}}]}]},
    ],
    ids=["arguments", "result", "labels", "part", "patterns", "schema", "JSON schema"],
)
def test_names_of_the_user_are_left_alone(inside: Any) -> None:
    """The user's `user_name` is not the user's `userName`."""
    assert key(inside("user_name")) != key(inside("userName"))


def test_both_names_at_once_are_left_alone() -> None:
    """A field that comes under both its names is no request that we know: nothing is dropped of it."""
    one, other = ({"fileData": {"fileUri": "a", "file_uri": uri}} for uri in "bc")
    assert key(of_parts(one)) != key(of_parts(other))


def test_models_of_other_makers_are_left_alone() -> None:
    """A body without `contents` is not Gemini's; its names are not protocol buffers'."""
    host = "aiplatform.googleapis.com"
    assert key({"messages": [{"user_name": 1}]}, host) != key({"messages": [{"userName": 1}]}, host)
