"""The Mistral SDK, newest version, on httpx2."""

from __future__ import annotations

from typing import Any

import pytest
from sdk.replaying import KEY, TOOLS, Bench, Call, Contract, Place, talk_async, with_async_client, with_client

mistral = pytest.importorskip("mistralai.client")
errors = pytest.importorskip("mistralai.client.errors")


class Asynchronous:
    """Mistral has one client for both; this one finds `complete_async` under the name `complete`."""

    def __init__(self, resource: Any) -> None:
        self._resource = resource

    def __getattr__(self, name: str) -> Any:
        resource = self._resource
        return getattr(resource, name + "_async", None) or Asynchronous(getattr(resource, name))


def client_for(url: str) -> Any:
    return mistral.Mistral(api_key=KEY, server_url=url + "/mistral")


sync = with_client(client_for)
asynchronous = with_async_client(client_for, lambda call, client: talk_async(call, Asynchronous(client)))


QUESTION: Any = {"model": "mistral-large", "messages": [{"role": "user", "content": "Which city? 你好"}]}


def tool_loop(client: Any) -> Any:
    """Question, tool call, result, answer."""
    first = yield client.chat.complete(**QUESTION, tools=TOOLS)
    asked = first.choices[0].message
    (call,) = asked.tool_calls
    result = {"role": "tool", "tool_call_id": call.id, "name": "weather", "content": "sun"}
    messages = [*QUESTION["messages"], asked, result]
    yield client.chat.complete(model=QUESTION["model"], messages=messages, tools=TOOLS)


CALLS: dict[str, Call] = {
    "chat": lambda client: client.chat.complete(**QUESTION),
    "stream": lambda client: client.chat.stream(**QUESTION),
    "tool-loop": tool_loop,
    "parse": lambda client: client.chat.parse(response_format=Place, **QUESTION),
    "embeddings": lambda client: client.embeddings.create(model="mistral-embed", inputs=["one", "three"]),
    "upload": lambda client: client.files.upload(
        file={"file_name": "notes.txt", "content": b"some notes\r\n--" * 900}, purpose="ocr"
    ),
}


class TestMistral(Contract):
    clients = [sync, asynchronous]
    calls = CALLS
    error = errors.MistralError


def test_what_the_provider_says_is_what_is_seen(bench: Bench) -> None:
    """The answers compared are no empty ones: text and parsed object come through."""

    def everything(client: Any) -> Any:
        said = yield client.chat.complete(**QUESTION)
        assert said.choices[0].message.content.startswith("Answer 1 to “Which city? 你好”")
        place = yield client.chat.parse(response_format=Place, **QUESTION)
        assert place.choices[0].message.parsed == Place(city="Zürich 2", inhabitants=2)

    bench.twice(everything, sync)
