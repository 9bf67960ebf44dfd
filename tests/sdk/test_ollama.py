"""The Ollama SDK, newest version, on httpx: streams of JSON lines."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sdk.replaying import TOOLS, Bench, Call, Place, Way, talk, talk_async, ways

ollama = pytest.importorskip("ollama")


def sync(call: Call, url: str) -> Any:
    with ollama.Client(host=url + "/ollama") as client:
        return talk(call, client)


def asynchronous(call: Call, url: str) -> Any:
    async def main() -> Any:
        async with ollama.AsyncClient(host=url + "/ollama") as client:
            return await talk_async(call, client)

    return asyncio.run(main())


WAYS = ways(sync, asynchronous)
QUESTION: Any = {"model": "qwen3", "messages": [{"role": "user", "content": "Which city? 你好"}]}


def tool_loop(client: Any) -> Any:
    """Question, tool call, result, answer."""
    first = yield client.chat(**QUESTION, tools=TOOLS)
    asked = first.message
    result = {"role": "tool", "tool_name": asked.tool_calls[0].function.name, "content": "sun"}
    yield client.chat(model="qwen3", messages=[*QUESTION["messages"], asked, result], tools=TOOLS)


CALLS: dict[str, Call] = {
    "chat": lambda client: client.chat(**QUESTION),
    "chat-stream": lambda client: client.chat(**QUESTION, stream=True),
    "tool-stream": lambda client: client.chat(**QUESTION, stream=True, tools=TOOLS),
    "tool-loop": tool_loop,
    "schema": lambda client: client.chat(**QUESTION, format=Place.model_json_schema()),
    "generate": lambda client: client.generate(model="qwen3", prompt="Which city? 你好"),
    "generate-stream": lambda client: client.generate(model="qwen3", prompt="Which city? 你好", stream=True),
    "embed": lambda client: client.embed(model="nomic-embed-text", input=["one", "three"]),
}


@WAYS
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_replayed_answer_is_the_live_one(call: Call, live: Way, again: Way, bench: Bench) -> None:
    """Each kind of call gives a new client the same objects and chunks with the provider gone."""
    bench.twice(call, live, again)


def test_what_the_provider_says_is_what_is_seen(bench: Bench) -> None:
    """The answers compared are no empty ones: text, streamed text and object come through."""

    def everything(client: Any) -> Any:
        said = yield client.chat(**QUESTION)
        assert said.message.content.startswith("Answer 1 to “Which city? 你好”")
        place = yield client.chat(**QUESTION, format=Place.model_json_schema())
        assert Place.model_validate_json(place.message.content).inhabitants == 2

    bench.twice(everything, sync)


@pytest.mark.parametrize("way", [sync, asynchronous])
@pytest.mark.parametrize("name", ["chat", "chat-stream", "generate"])
def test_a_miss_ends_the_call_at_once(name: str, way: Way, bench: Bench) -> None:
    """A call without a recording raises Miss through the SDK, which neither wraps nor retries it."""
    assert bench.refused(CALLS[name], way).provider == "ollama"


@pytest.mark.parametrize("way", [sync, asynchronous])
@pytest.mark.parametrize("name", ["chat", "chat-stream"])
def test_a_miss_as_an_answer(name: str, way: Way, bench: Bench) -> None:
    """With on_miss="respond" the SDK raises its own error, once, with the words of the miss."""
    bench.answered(CALLS[name], way, ollama.ResponseError)
