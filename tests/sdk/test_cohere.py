"""The Cohere SDK, newest version, on httpx: version 2 of the API, and the parallel embeddings of version 1."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sdk.replaying import KEY, TOOLS, Bench, Call, Place, Way, talk, talk_async, ways

cohere = pytest.importorskip("cohere", "7")
errors = pytest.importorskip("cohere.core.api_error")


def sync(call: Call, url: str) -> Any:
    with cohere.ClientV2(KEY, base_url=url + "/cohere") as client:
        return talk(call, client)


def asynchronous(call: Call, url: str) -> Any:
    async def main() -> Any:
        async with cohere.AsyncClientV2(KEY, base_url=url + "/cohere") as client:
            return await talk_async(call, client)

    return asyncio.run(main())


WAYS = ways(sync, asynchronous)
QUESTION: Any = {"model": "command-a", "messages": [{"role": "user", "content": "Which city? 你好"}]}
SCHEMA: Any = {"type": "json_object", "json_schema": Place.model_json_schema()}
EMBED: Any = {"model": "embed-v4.0", "input_type": "search_query", "embedding_types": ["float"]}


def tool_loop(client: Any) -> Any:
    """Question, tool call, result, answer."""
    first = yield client.chat(**QUESTION, tools=TOOLS)
    (call,) = first.message.tool_calls
    result = {"role": "tool", "tool_call_id": call.id, "content": "sun"}
    messages = [*QUESTION["messages"], first.message, result]
    yield client.chat(model=QUESTION["model"], messages=messages, tools=TOOLS)


CALLS: dict[str, Call] = {
    "chat": lambda client: client.chat(**QUESTION),
    "stream": lambda client: client.chat_stream(**QUESTION),
    "tool-stream": lambda client: client.chat_stream(**QUESTION, tools=TOOLS),
    "tool-loop": tool_loop,
    "schema": lambda client: client.chat(**QUESTION, response_format=SCHEMA),
    "embeddings": lambda client: client.embed(**EMBED, texts=["one", "three"]),
}


@WAYS
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_replayed_answer_is_the_live_one(call: Call, live: Way, again: Way, bench: Bench) -> None:
    """Each kind of call gives a new client the same objects and events with the provider gone."""
    bench.twice(call, live, again)


def test_what_the_provider_says_is_what_is_seen(bench: Bench) -> None:
    """The answers compared are no empty ones: text, streamed text and object come through."""

    def everything(client: Any) -> Any:
        said = yield client.chat(**QUESTION)
        assert said.message.content[0].text.startswith("Answer 1 to “Which city? 你好”")
        place = yield client.chat(**QUESTION, response_format=SCHEMA)
        assert Place.model_validate_json(place.message.content[0].text).inhabitants == 2

    bench.twice(everything, sync)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the SDK merges with an old API of pydantic
def test_embeddings_that_go_out_in_parallel(bench: Bench) -> None:
    """More texts than one request takes go out from a pool of threads; each part finds its own recording."""

    def way(call: Call, url: str) -> Any:
        with cohere.Client(KEY, base_url=url + "/cohere") as client:
            return talk(call, client)

    texts = [f"text {'x' * (number % 17)} {number}" for number in range(300)]
    ((_, found, _),) = bench.twice(lambda client: client.embed(**EMBED, texts=texts), way, requests=4)
    assert len(found["embeddings"]["float_"]) == 300


@pytest.mark.parametrize("way", [sync, asynchronous])
@pytest.mark.parametrize("name", ["chat", "stream"])
def test_a_miss_ends_the_call_at_once(name: str, way: Way, bench: Bench) -> None:
    """A call without a recording raises Miss through the SDK, which neither wraps nor retries it."""
    assert bench.refused(CALLS[name], way).provider == "cohere"


@pytest.mark.parametrize("way", [sync, asynchronous])
@pytest.mark.parametrize("name", ["chat", "stream"])
def test_a_miss_as_an_answer(name: str, way: Way, bench: Bench) -> None:
    """With on_miss="respond" the SDK raises its own error, once, with the words of the miss."""
    bench.answered(CALLS[name], way, errors.ApiError)
