"""The Google Gen AI SDK, newest version, on httpx2, on httpx, and on aiohttp, which its async client takes when it is there."""

from __future__ import annotations

import importlib.util
import io
from typing import Any
from unittest.mock import patch

import pytest
from sdk.replaying import KEY, Bench, Call, Contract, Place, Way, ways, with_async_client, with_client

genai = pytest.importorskip("google.genai")
types: Any = genai.types
errors = pytest.importorskip("google.genai.errors")

# The SDK derives a class from aiohttp's session, which aiohttp discourages.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
HAS_AIOHTTP = importlib.util.find_spec("aiohttp") is not None


def client_for(url: str) -> Any:
    return genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=url + "/gemini"))


sync = with_client(client_for)


def asynchronous(call: Call, url: str) -> Any:
    with patch("google.genai._api_client.has_aiohttp", False):
        return over_aiohttp(call, url)


def over_aiohttp(call: Call, url: str) -> Any:
    return with_async_client(lambda url: client_for(url).aio)(call, url)


CLIENTS = [sync, asynchronous, *([over_aiohttp] if HAS_AIOHTTP else [])]
WAYS = ways(*CLIENTS)

QUESTION: Any = {"model": "gemini-3-flash", "contents": "Which city? 你好"}


def weather(city: str) -> str:
    """The weather of a city."""
    return f"{city}: sun"


PARAMETERS = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]}


def tool_loop(client: Any) -> Any:
    """Question, function call, result, answer."""
    declared = {"name": "weather", "description": "The weather.", "parameters": PARAMETERS}
    config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[declared])])
    first = yield client.models.generate_content(**QUESTION, config=config)
    (called,) = first.function_calls
    result = types.Part.from_function_response(name=called.name, response={"result": weather(**called.args)})
    contents = [
        types.Content(role="user", parts=[types.Part(text=QUESTION["contents"])]),
        first.candidates[0].content,
        types.Content(role="user", parts=[result]),
    ]
    yield client.models.generate_content(model=QUESTION["model"], contents=contents, config=config)


def chat(client: Any) -> Any:
    """Two questions in one chat, which sends the first answer along with the second one."""
    talk = client.chats.create(model=QUESTION["model"])
    yield talk.send_message("Which city?")
    yield talk.send_message("And how many people?")


CALLS: dict[str, Call] = {
    "content": lambda client: client.models.generate_content(**QUESTION),
    "stream": lambda client: client.models.generate_content_stream(**QUESTION),
    "tool-loop": tool_loop,
    "schema": lambda client: client.models.generate_content(
        **QUESTION, config={"response_mime_type": "application/json", "response_schema": Place}
    ),
    "json-schema": lambda client: client.models.generate_content(
        **QUESTION,
        config={"response_mime_type": "application/json", "response_json_schema": Place.model_json_schema()},
    ),
    "embeddings": lambda client: client.models.embed_content(model="gemini-embedding-2", contents=["a", "b"]),
    "count-tokens": lambda client: client.models.count_tokens(**QUESTION),
    "image": lambda client: client.models.generate_content(
        model=QUESTION["model"],
        contents=[types.Part.from_bytes(data=bytes(range(256)) * 40, mime_type="image/png"), "What is this?"],
    ),
    "chat": chat,
}


class TestGoogle(Contract):
    clients = CLIENTS
    calls = CALLS
    missed = ("content", "stream", "embeddings")
    error = errors.ClientError
    provider = "gemini"


@WAYS
def test_functions_that_the_sdk_calls(live: Way, again: Way, bench: Bench) -> None:
    """A Python function as a tool: the SDK's own loop of two requests is replayed."""
    ((_, answer, _),) = bench.twice(
        lambda client: client.models.generate_content(**QUESTION, config={"tools": [weather]}),
        live,
        again,
        requests=2,
    )
    assert "functionResponse" in answer["candidates"][0]["content"]["parts"][0]["text"]


@WAYS
def test_a_resumable_upload(live: Way, again: Way, bench: Bench) -> None:
    """An upload (a request for a session, then the bytes) is replayed, and its session URL is not stored."""
    ((_, file, _),) = bench.twice(
        lambda client: client.files.upload(
            file=io.BytesIO(b"some notes\r\n--" * 900), config={"mime_type": "text/plain"}
        ),
        live,
        again,
        requests=2,
    )
    assert file["size_bytes"] == 14 * 900
    assert b"AB-secret" not in bench.store.read_bytes()


@WAYS
def test_messages_of_a_chat_as_streams(live: Way, again: Way, bench: Bench) -> None:
    """A streamed chat is replayed chunk by chunk, its second question with the first answer in its history."""

    def streamed(client: Any) -> Any:
        talk = client.chats.create(model=QUESTION["model"])
        yield talk.send_message_stream("Which city?")
        yield talk.send_message_stream("And how many people?")

    bench.twice(streamed, live, again)


@pytest.mark.parametrize("backend", ["httpx", "httpx2"])
@pytest.mark.parametrize("way", [sync, asynchronous])
def test_either_client_library(backend: str, way: Way, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one of the two client libraries recorded is replayed through the other."""
    other = {"httpx": "httpx2", "httpx2": "httpx"}[backend]

    def again(call: Call, url: str) -> Any:
        monkeypatch.setenv("GOOGLE_GENAI_HTTP_CLIENT", other)
        return way(call, url)

    monkeypatch.setenv("GOOGLE_GENAI_HTTP_CLIENT", backend)
    bench.twice(CALLS["stream"], way, again)


def test_what_the_provider_says_is_what_is_seen(bench: Bench) -> None:
    """The answers compared are no empty ones: text, streamed text and parsed object come through."""

    def everything(client: Any) -> Any:
        said = yield client.models.generate_content(**QUESTION)
        assert said.text.startswith("Answer 1 to “Which city? 你好”")
        place = yield CALLS["schema"](client)
        assert place.parsed == Place(city="Zürich 2", inhabitants=2)

    bench.twice(everything, sync, asynchronous)
