"""The Anthropic SDK, newest version, on httpx2, its async client on httpx2 over aiohttp too."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
from sdk.replaying import (
    KEY,
    Bench,
    Call,
    Contract,
    Place,
    by_itself,
    with_aiohttp,
    with_async_client,
    with_client,
)

anthropic = pytest.importorskip("anthropic", "2")


def client_for(url: str) -> Any:
    return anthropic.Anthropic(api_key=KEY, base_url=url + "/anthropic")


def async_client_for(url: str, **more: Any) -> Any:
    return anthropic.AsyncAnthropic(api_key=KEY, base_url=url + "/anthropic", **more)


sync = with_client(client_for)
asynchronous = with_async_client(async_client_for)


CLIENTS = [sync, asynchronous]
if importlib.util.find_spec("aiohttp"):
    CLIENTS.append(with_aiohttp(async_client_for, anthropic.DefaultAioHttpClient))

MESSAGES: Any = [{"role": "user", "content": "Which city? 你好"}]
QUESTION: Any = {"model": "claude-opus-5", "max_tokens": 500, "messages": MESSAGES}
TOOL: Any = {
    "name": "weather",
    "description": "The weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def tool_loop(client: Any) -> Any:
    """Question, tool call, result, answer."""
    first = yield client.messages.create(**QUESTION, tools=[TOOL])
    (use,) = first.content
    result = {"type": "tool_result", "tool_use_id": use.id, "content": f"{use.input['city']}: sun"}
    messages = [
        *MESSAGES,
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [result]},
    ]
    yield client.messages.create(**{**QUESTION, "messages": messages}, tools=[TOOL])


CALLS: dict[str, Call] = {
    "messages": lambda client: client.messages.create(**QUESTION),
    "stream": lambda client: client.messages.create(**QUESTION, stream=True),
    "tool-stream": lambda client: client.messages.create(**QUESTION, stream=True, tools=[TOOL]),
    "tool-loop": tool_loop,
    "parse": lambda client: client.messages.parse(**QUESTION, output_format=Place),
    "count-tokens": lambda client: client.messages.count_tokens(model="claude-opus-5", messages=MESSAGES),
    "upload": lambda client: client.beta.files.upload(file=("notes.txt", b"some notes\r\n--" * 900)),
    "beta": lambda client: client.beta.messages.create(**QUESTION, betas=["context-1m", "files-api"]),
}


class TestAnthropic(Contract):
    clients = CLIENTS
    calls = CALLS
    missed = ("messages", "stream")
    error = anthropic.APIStatusError
    provider = "anthropic"


def test_what_the_provider_says_is_what_is_seen(bench: Bench) -> None:
    """The answers compared are no empty ones: text, tool input, parsed object and request id come through."""

    def everything(client: Any) -> Any:
        said = yield client.messages.create(**QUESTION)
        assert said.content[0].text.startswith("Answer 1 to “Which city? 你好”")
        assert said._request_id == "req_1"
        place = yield client.messages.parse(**QUESTION, output_format=Place)
        assert place.parsed_output == Place(city="Zürich 2", inhabitants=2)
        yield from tool_loop(client)

    bench.twice(everything, sync, asynchronous)


# The helpers around raw answers and streams


def raw(client: Any) -> Any:
    answer = client.messages.with_raw_response.create(**QUESTION)
    return [answer.status_code, answer.headers["request-id"], answer.text(), answer.parse().model_dump()]


def streaming_lines(client: Any) -> Any:
    with client.messages.with_streaming_response.create(**QUESTION, stream=True) as answer:
        return [answer.request_id, list(answer.iter_lines())]


def streaming_pieces(client: Any) -> Any:
    with client.messages.with_streaming_response.create(**QUESTION, stream=True) as answer:
        return list(answer.iter_bytes())


def text_stream(client: Any) -> Any:
    with client.messages.stream(**QUESTION) as stream:
        return [list(stream.text_stream), stream.request_id, stream.get_final_message().model_dump()]


def event_stream(client: Any) -> Any:
    with client.messages.stream(**QUESTION, tools=[TOOL]) as stream:
        events = [event.model_dump(warnings=False) for event in stream]
        return [events, stream.get_final_message().model_dump(warnings=False)]


def final_text(client: Any) -> Any:
    with client.messages.stream(**QUESTION) as stream:
        return stream.get_final_text()


def parsed_stream(client: Any) -> Any:
    with client.messages.stream(**QUESTION, output_format=Place) as stream:
        return stream.get_final_message().parsed_output


HELPERS = [raw, streaming_lines, streaming_pieces, text_stream, event_stream, final_text, parsed_stream]


@pytest.mark.parametrize("helper", HELPERS, ids=lambda helper: helper.__name__)
def test_helpers_of_the_sync_client(helper: Call, bench: Bench) -> None:
    """Raw answers and stream helpers give request ids, pieces, events and final messages as they were live."""
    bench.twice(helper, with_client(client_for, by_itself), requests=1)


async def raw_async(client: Any) -> Any:
    answer = await client.messages.with_raw_response.create(**QUESTION)
    return [answer.headers["request-id"], await answer.text(), (await answer.parse()).model_dump()]


async def streaming_async(client: Any) -> Any:
    async with client.messages.with_streaming_response.create(**QUESTION, stream=True) as answer:
        return [answer.request_id, [line async for line in answer.iter_lines()]]


async def text_stream_async(client: Any) -> Any:
    async with client.messages.stream(**QUESTION) as stream:
        texts = [text async for text in stream.text_stream]
        return [texts, stream.request_id, (await stream.get_final_message()).model_dump()]


async def event_stream_async(client: Any) -> Any:
    async with client.messages.stream(**QUESTION, tools=[TOOL]) as stream:
        return [event.model_dump(warnings=False) async for event in stream]


@pytest.mark.parametrize(
    "helper",
    [raw_async, streaming_async, text_stream_async, event_stream_async],
    ids=lambda helper: helper.__name__,
)
def test_helpers_of_the_async_client(helper: Call, bench: Bench) -> None:
    """The same with the async client."""
    bench.twice(helper, with_async_client(async_client_for, by_itself), requests=1)


def test_an_order_of_betas_is_no_difference(bench: Bench) -> None:
    """The features that a call switches on are part of it, in whatever order they are named."""

    def betas(*names: str) -> Call:
        return lambda client: client.beta.messages.create(**QUESTION, betas=list(names))

    with bench.cachy("auto"):
        first = sync(betas("context-1m", "files-api"), bench.provider.url)
        assert sync(betas("files-api", "context-1m"), bench.provider.url) == first
        assert sync(betas("files-api"), bench.provider.url) != first
    assert len(bench.provider.calls) == 2
