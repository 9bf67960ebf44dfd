"""The Ollama SDK, newest version, on httpx: streams of JSON lines."""

from __future__ import annotations

from typing import Any

import pytest
from sdk.replaying import TOOLS, Bench, Call, Contract, Place, with_async_client, with_client

ollama = pytest.importorskip("ollama")


sync = with_client(lambda url: ollama.Client(host=url + "/ollama"))
asynchronous = with_async_client(lambda url: ollama.AsyncClient(host=url + "/ollama"))


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


class TestOllama(Contract):
    clients = [sync, asynchronous]
    calls = CALLS
    missed = ("chat", "chat-stream", "generate")
    error = ollama.ResponseError
    provider = "ollama"


def test_what_the_provider_says_is_what_is_seen(bench: Bench) -> None:
    """The answers compared are no empty ones: text, streamed text and object come through."""

    def everything(client: Any) -> Any:
        said = yield client.chat(**QUESTION)
        assert said.message.content.startswith("Answer 1 to “Which city? 你好”")
        place = yield client.chat(**QUESTION, format=Place.model_json_schema())
        assert Place.model_validate_json(place.message.content).inhabitants == 2

    bench.twice(everything, sync)
