"""The Mistral SDK, newest version, on httpx2."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sdk.replaying import KEY, TOOLS, Bench, Call, Place, Way, talk, talk_async, ways

mistral = pytest.importorskip("mistralai.client")
errors = pytest.importorskip("mistralai.client.errors")


class Asynchronous:
    """Mistral has one client for both; this one finds `complete_async` under the name `complete`."""

    def __init__(self, resource: Any) -> None:
        self._resource = resource

    def __getattr__(self, name: str) -> Any:
        resource = self._resource
        return getattr(resource, name + "_async", None) or Asynchronous(getattr(resource, name))


def sync(call: Call, url: str) -> Any:
    with mistral.Mistral(api_key=KEY, server_url=url + "/mistral") as client:
        return talk(call, client)


def asynchronous(call: Call, url: str) -> Any:
    async def main() -> Any:
        async with mistral.Mistral(api_key=KEY, server_url=url + "/mistral") as client:
            return await talk_async(call, Asynchronous(client))

    return asyncio.run(main())


WAYS = ways(sync, asynchronous)
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


@WAYS
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_replayed_answer_is_the_live_one(call: Call, live: Way, again: Way, bench: Bench) -> None:
    """Each kind of call gives a new client the same objects and events with the provider gone."""
    bench.twice(call, live, again)


def test_what_the_provider_says_is_what_is_seen(bench: Bench) -> None:
    """The answers compared are no empty ones: text and parsed object come through."""

    def everything(client: Any) -> Any:
        said = yield client.chat.complete(**QUESTION)
        assert said.choices[0].message.content.startswith("Answer 1 to “Which city? 你好”")
        place = yield client.chat.parse(response_format=Place, **QUESTION)
        assert place.choices[0].message.parsed == Place(city="Zürich 2", inhabitants=2)

    bench.twice(everything, sync)


@pytest.mark.parametrize("way", [sync, asynchronous])
@pytest.mark.parametrize("name", ["chat", "stream"])
def test_a_miss_ends_the_call_at_once(name: str, way: Way, bench: Bench) -> None:
    """A call without a recording raises Miss through the SDK, which neither wraps nor retries it."""
    bench.refused(CALLS[name], way)


@pytest.mark.parametrize("way", [sync, asynchronous])
@pytest.mark.parametrize("name", ["chat", "stream"])
def test_a_miss_as_an_answer(name: str, way: Way, bench: Bench) -> None:
    """With on_miss="respond" the SDK raises its own error, once, with the words of the miss."""
    bench.answered(CALLS[name], way, errors.MistralError)
