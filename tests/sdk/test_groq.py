"""The Groq SDK, newest version, on httpx."""

from __future__ import annotations

from typing import Any

import pytest
from sdk.provider.content import SPEECH
from sdk.replaying import KEY, TOOLS, Bench, Call, Contract, Place, with_async_client, with_client

groq = pytest.importorskip("groq")


sync = with_client(lambda url: groq.Groq(api_key=KEY, base_url=url))
asynchronous = with_async_client(lambda url: groq.AsyncGroq(api_key=KEY, base_url=url))


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


class TestGroq(Contract):
    clients = [sync, asynchronous]
    calls = CALLS
    error = groq.APIStatusError


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
