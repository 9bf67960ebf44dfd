"""The Groq SDK, newest version, on httpx."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sdk.provider.content import SPEECH
from sdk.replaying import KEY, TOOLS, Bench, Call, Place, Way, talk, talk_async, ways

groq = pytest.importorskip("groq")


def sync(call: Call, url: str) -> Any:
    with groq.Groq(api_key=KEY, base_url=url) as client:
        return talk(call, client)


def asynchronous(call: Call, url: str) -> Any:
    async def main() -> Any:
        async with groq.AsyncGroq(api_key=KEY, base_url=url) as client:
            return await talk_async(call, client)

    return asyncio.run(main())


WAYS = ways(sync, asynchronous)
QUESTION: Any = {"model": "llama-5", "messages": [{"role": "user", "content": "Which city? 你好"}]}
SCHEMA: Any = {"name": "place", "schema": Place.model_json_schema()}


def tool_loop(client: Any) -> Any:
    """Question, tool call, result, answer."""
    first = yield client.chat.completions.create(**QUESTION, tools=TOOLS)
    asked = first.choices[0].message
    result = {"role": "tool", "tool_call_id": asked.tool_calls[0].id, "content": "sun"}
    messages = [*QUESTION["messages"], asked.model_dump(exclude_none=True), result]
    yield client.chat.completions.create(model=QUESTION["model"], messages=messages, tools=TOOLS)


CALLS: dict[str, Call] = {
    "chat": lambda client: client.chat.completions.create(**QUESTION),
    "stream": lambda client: client.chat.completions.create(**QUESTION, stream=True),
    "tool-stream": lambda client: client.chat.completions.create(**QUESTION, stream=True, tools=TOOLS),
    "tool-loop": tool_loop,
    "schema": lambda client: client.chat.completions.create(
        **QUESTION, response_format={"type": "json_schema", "json_schema": SCHEMA}
    ),
    "transcription": lambda client: client.audio.transcriptions.create(
        model="whisper-large-v3", file=("voice.wav", b"RIFF" + bytes(range(256)) * 300)
    ),
}


@WAYS
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_replayed_answer_is_the_live_one(call: Call, live: Way, again: Way, bench: Bench) -> None:
    """Each kind of call gives a new client the same objects, chunks and bytes with the provider gone."""
    bench.twice(call, live, again)


def test_what_the_provider_says_is_what_is_seen(bench: Bench) -> None:
    """The answers compared are no empty ones: text, object and the size of the upload come through."""

    def everything(client: Any) -> Any:
        said = yield client.chat.completions.create(**QUESTION)
        assert said.choices[0].message.content.startswith("Answer 1 to “Which city? 你好”")
        place = yield CALLS["schema"](client)
        assert Place.model_validate_json(place.choices[0].message.content).inhabitants == 2
        heard = yield CALLS["transcription"](client)
        assert heard.text == "voice.wav: 76804 bytes, heard by 3"

    bench.twice(everything, sync)


def test_sound(bench: Bench) -> None:
    """Speech is replayed byte for byte."""

    def speech(client: Any) -> Any:
        answer = client.audio.speech.create(model="tts", voice="a", input="Grüße", response_format="wav")
        return answer.read()

    assert bench.twice(speech, sync) == [b"".join(SPEECH) + b"\x01"]


@pytest.mark.parametrize("way", [sync, asynchronous])
@pytest.mark.parametrize("name", ["chat", "stream"])
def test_a_miss_ends_the_call_at_once(name: str, way: Way, bench: Bench) -> None:
    """A call without a recording raises Miss through the SDK, which neither wraps nor retries it."""
    bench.refused(CALLS[name], way)


@pytest.mark.parametrize("way", [sync, asynchronous])
@pytest.mark.parametrize("name", ["chat", "stream"])
def test_a_miss_as_an_answer(name: str, way: Way, bench: Bench) -> None:
    """With on_miss="respond" the SDK raises its own status error, once, with the words of the miss."""
    bench.answered(CALLS[name], way, groq.APIStatusError)
