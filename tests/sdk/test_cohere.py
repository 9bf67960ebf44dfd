"""The Cohere SDK, newest version, on httpx: version 2 of the API, and the parallel embeddings of version 1."""

from __future__ import annotations

from typing import Any

import pytest
from sdk.replaying import KEY, TOOLS, Bench, Call, Contract, Place, with_async_client, with_client

cohere = pytest.importorskip("cohere", "7")
errors = pytest.importorskip("cohere.core.api_error")


sync = with_client(lambda url: cohere.ClientV2(KEY, base_url=url + "/cohere"))
asynchronous = with_async_client(lambda url: cohere.AsyncClientV2(KEY, base_url=url + "/cohere"))


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


class TestCohere(Contract):
    clients = [sync, asynchronous]
    calls = CALLS
    error = errors.ApiError
    provider = "cohere"


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

    way = with_client(lambda url: cohere.Client(KEY, base_url=url + "/cohere"))
    texts = [f"text {'x' * (number % 17)} {number}" for number in range(300)]
    ((_, found, _),) = bench.twice(lambda client: client.embed(**EMBED, texts=texts), way, requests=4)
    assert len(found["embeddings"]["float_"]) == 300
