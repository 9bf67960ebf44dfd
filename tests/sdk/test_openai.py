"""The OpenAI SDK, newest version, on httpx2, its async client on httpx2 over aiohttp too."""

from __future__ import annotations

import importlib.util
import io
import json
from typing import Any

import pytest
from sdk.provider.content import SPEECH
from sdk.replaying import (
    FUNCTION,
    KEY,
    TOOLS,
    Bench,
    Call,
    Contract,
    Place,
    Way,
    by_itself,
    ways,
    with_aiohttp,
    with_async_client,
    with_client,
)

openai = pytest.importorskip("openai", "3")


def client_for(url: str) -> Any:
    return openai.OpenAI(api_key=KEY, base_url=url + "/v1")


def async_client_for(url: str, **more: Any) -> Any:
    return openai.AsyncOpenAI(api_key=KEY, base_url=url + "/v1", **more)


sync = with_client(client_for)
asynchronous = with_async_client(async_client_for)


CLIENTS = [sync, asynchronous]
if importlib.util.find_spec("aiohttp"):
    CLIENTS.append(with_aiohttp(async_client_for, openai.DefaultAioHttpClient))

QUESTION: Any = {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Which city? 你好"}]}
INPUT: Any = {"model": "gpt-5.2", "input": "Which city? 你好"}


def tool_loop(client: Any) -> Any:
    """Question, tool call, result, answer."""
    first = yield client.chat.completions.create(**QUESTION, tools=TOOLS)
    asked = first.choices[0].message
    (tool_call,) = asked.tool_calls
    result = {"role": "tool", "tool_call_id": tool_call.id, "content": f"{tool_call.function.arguments}: sun"}
    messages = [*QUESTION["messages"], asked, result]
    yield client.chat.completions.create(model=QUESTION["model"], messages=messages, tools=TOOLS)


def responses_tool_loop(client: Any) -> Any:
    """The same with the Responses API."""
    tools = [{"type": "function", **FUNCTION}]
    first = yield client.responses.create(**INPUT, tools=tools)
    (tool_call,) = first.output
    result = {"type": "function_call_output", "call_id": tool_call.call_id, "output": "sun"}
    said = [{"role": "user", "content": INPUT["input"]}, tool_call, result]
    yield client.responses.create(model=INPUT["model"], input=said, tools=tools)


CALLS: dict[str, Call] = {
    "chat": lambda client: client.chat.completions.create(**QUESTION),
    "chat-stream": lambda client: client.chat.completions.create(
        **QUESTION, stream=True, stream_options={"include_usage": True}
    ),
    "chat-tool-stream": lambda client: client.chat.completions.create(**QUESTION, stream=True, tools=TOOLS),
    "chat-tool-loop": tool_loop,
    "chat-parse": lambda client: client.chat.completions.parse(**QUESTION, response_format=Place),
    "responses": lambda client: client.responses.create(**INPUT),
    "responses-stream": lambda client: client.responses.create(**INPUT, stream=True),
    "responses-tool-loop": responses_tool_loop,
    "responses-parse": lambda client: client.responses.parse(**INPUT, text_format=Place),
    "embeddings": lambda client: client.embeddings.create(model="text-embedding-4", input=["one", "three"]),
    "speech": lambda client: client.audio.speech.create(model="tts", voice="alloy", input="Grüße"),
    "transcription": lambda client: client.audio.transcriptions.create(
        model="whisper", file=("voice.wav", b"RIFF" + bytes(range(256)) * 300)
    ),
    "upload": lambda client: client.files.create(
        file=("notes.txt", io.BytesIO(b"some notes\r\n--" * 900)), purpose="user_data"
    ),
    "download": lambda client: client.files.content("file-1"),
}


class TestOpenAI(Contract):
    clients = CLIENTS
    calls = CALLS
    missed = ("chat", "chat-stream", "responses-stream")
    error = openai.APIStatusError


def test_what_the_provider_says_is_what_is_seen(bench: Bench) -> None:
    """The answers compared are no empty ones: text, tool call, parsed object, vectors and sound come through."""

    def everything(client: Any) -> Any:
        chat = yield client.chat.completions.create(**QUESTION)
        assert chat.choices[0].message.content.startswith("Answer 1 to “Which city? 你好”")
        yield from tool_loop(client)
        place = yield client.chat.completions.parse(**QUESTION, response_format=Place)
        assert place.choices[0].message.parsed == Place(city="Zürich 4", inhabitants=4)
        said = yield client.responses.create(**INPUT)
        assert said.output_text.startswith("Answer 5 to")
        vectors = yield CALLS["embeddings"](client)
        assert len(vectors.data[1].embedding) == 8
        speech = yield CALLS["speech"](client)
        assert speech.content == b"".join(SPEECH) + b"\x07"

    bench.twice(everything, sync, asynchronous)


@ways(*CLIENTS)
def test_pages_of_a_list(live: Way, again: Way, bench: Bench) -> None:
    """A list that the SDK follows from page to page is replayed page by page."""
    (files,) = bench.twice(lambda client: client.files.list(), live, again, requests=2)
    assert len(files) == 4


def test_azure(bench: Bench) -> None:
    """The Azure client, with its deployment in the path and its key in another header."""

    def azure(url: str) -> Any:
        return openai.AzureOpenAI(api_key=KEY, azure_endpoint=url, api_version="2026-06-01")

    bench.twice(CALLS["chat"], with_client(azure))


@pytest.mark.parametrize("way", [sync, asynchronous])
def test_a_missed_upload(way: Way, bench: Bench) -> None:
    """An upload without a recording is refused, too; its path says nothing about the provider."""
    bench.refused(CALLS["upload"], way)


# The helpers around raw answers and streams


def raw(client: Any) -> Any:
    answer = client.chat.completions.with_raw_response.create(**QUESTION)
    head = answer.status_code, answer.headers["content-type"], answer.request_id, answer.http_version
    return [head, answer.text, answer.parse().model_dump(), str(answer.url), answer.elapsed is not None]


def raw_stream(client: Any) -> Any:
    answer = client.chat.completions.with_raw_response.create(**QUESTION, stream=True)
    return [answer.request_id, [chunk.model_dump() for chunk in answer.parse()]]


def streaming_lines(client: Any) -> Any:
    create = client.chat.completions.with_streaming_response.create
    with create(**QUESTION, stream=True) as answer:
        return [answer.request_id, answer.status_code, list(answer.iter_lines())]


def streaming_bytes(client: Any) -> Any:
    with client.audio.speech.with_streaming_response.create(model="tts", voice="a", input="Hm") as answer:
        return [answer.headers["content-type"], list(answer.iter_bytes())]


def streaming_bytes_of_a_size(client: Any) -> Any:
    with client.audio.speech.with_streaming_response.create(model="tts", voice="a", input="Hm") as answer:
        pieces = list(answer.iter_bytes(1000))
        return [pieces, answer.http_response.num_bytes_downloaded]


def streaming_text(client: Any) -> Any:
    with client.responses.with_streaming_response.create(**INPUT, stream=True) as answer:
        return ["".join(answer.iter_text()), answer.is_closed]


def streaming_parse(client: Any) -> Any:
    with client.chat.completions.with_streaming_response.create(**QUESTION) as answer:
        return [answer.parse().model_dump(), json.loads(answer.read())]


def streaming_parse_of_a_stream(client: Any) -> Any:
    with client.chat.completions.with_streaming_response.create(**QUESTION, stream=True) as answer:
        return [chunk.model_dump() for chunk in answer.parse()]


def chat_events(client: Any) -> Any:
    with client.chat.completions.stream(**QUESTION, response_format=Place) as stream:
        return [[event.model_dump(warnings=False) for event in stream], stream.get_final_completion()]


def response_events(client: Any) -> Any:
    with client.responses.stream(**INPUT, text_format=Place) as stream:
        return [[event.model_dump(warnings=False) for event in stream], stream.get_final_response()]


def response_tool_events(client: Any) -> Any:
    with client.responses.stream(**INPUT, tools=[{"type": "function", **FUNCTION}]) as stream:
        return [event.model_dump(warnings=False) for event in stream]


HELPERS = [
    raw,
    raw_stream,
    streaming_lines,
    streaming_bytes,
    streaming_bytes_of_a_size,
    streaming_text,
    streaming_parse,
    streaming_parse_of_a_stream,
    chat_events,
    response_events,
    response_tool_events,
]


@pytest.mark.parametrize("helper", HELPERS, ids=lambda helper: helper.__name__)
def test_helpers_of_the_sync_client(helper: Call, bench: Bench) -> None:
    """Raw answers and stream helpers give headers, pieces, events and final objects as they were live."""
    bench.twice(helper, with_client(client_for, by_itself), requests=1)


async def raw_async(client: Any) -> Any:
    answer = await client.chat.completions.with_raw_response.create(**QUESTION)
    return [answer.status_code, answer.request_id, answer.text, answer.parse().model_dump()]


async def streaming_async(client: Any) -> Any:
    create = client.chat.completions.with_streaming_response.create
    async with create(**QUESTION, stream=True) as answer:
        return [answer.request_id, [line async for line in answer.iter_lines()]]


async def streaming_bytes_async(client: Any) -> Any:
    create = client.audio.speech.with_streaming_response.create
    async with create(model="tts", voice="a", input="Hm") as answer:
        return [piece async for piece in answer.iter_bytes()]


async def chat_events_async(client: Any) -> Any:
    async with client.chat.completions.stream(**QUESTION, response_format=Place) as stream:
        events = [event.model_dump(warnings=False) async for event in stream]
        return [events, await stream.get_final_completion()]


async def response_events_async(client: Any) -> Any:
    async with client.responses.stream(**INPUT) as stream:
        events = [event.model_dump(warnings=False) async for event in stream]
        return [events, await stream.get_final_response()]


@pytest.mark.parametrize(
    "helper",
    [raw_async, streaming_async, streaming_bytes_async, chat_events_async, response_events_async],
    ids=lambda helper: helper.__name__,
)
def test_helpers_of_the_async_client(helper: Call, bench: Bench) -> None:
    """The same with the async client."""
    bench.twice(helper, with_async_client(async_client_for, by_itself), requests=1)
