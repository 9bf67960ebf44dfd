"""A client of Google's that speaks gRPC (google-ai-generativelanguage), sync and async, on loopback."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from environments import clean

import cachy

grpc = pytest.importorskip("grpc")
gemini = pytest.importorskip("google.ai.generativelanguage")

from google.ai.generativelanguage_v1beta.services.generative_service import transports  # noqa: E402

WORDS = ["An ", "answer."]
ASK: Any = {"model": "models/gemini-3", "contents": [{"role": "user", "parts": [{"text": "2+2?"}]}]}


class Gemini:
    """The service, from the messages of the client."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        coders = {
            "request_deserializer": gemini.GenerateContentRequest.deserialize,
            "response_serializer": gemini.GenerateContentResponse.serialize,
        }
        handlers = {
            "GenerateContent": grpc.unary_unary_rpc_method_handler(self.whole, **coders),
            "StreamGenerateContent": grpc.unary_stream_rpc_method_handler(self.stream, **coders),
        }
        name = "google.ai.generativelanguage.v1beta.GenerativeService"
        server = grpc.server(ThreadPoolExecutor(4))
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
        self.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        self.stop = lambda: server.stop(None).wait(10)

    def whole(self, request: Any, context: Any) -> Any:
        self.calls.append(request)
        return self._answer("".join(WORDS), "STOP")

    def stream(self, request: Any, context: Any) -> Iterator[Any]:
        self.calls.append(request)
        yield self._answer(WORDS[0], "FINISH_REASON_UNSPECIFIED")
        yield self._answer(WORDS[1], "STOP")

    @staticmethod
    def _answer(text: str, reason: str) -> Any:
        content = {"role": "model", "parts": [{"text": text}]}
        usage = {"prompt_token_count": 3, "candidates_token_count": 2, "total_token_count": 5}
        return gemini.GenerateContentResponse(
            candidates=[{"content": content, "finish_reason": reason}],
            usage_metadata=usage,
            model_version="gemini-3",
        )


@pytest.fixture
def server() -> Iterator[Gemini]:
    running = Gemini()
    yield running
    running.stop()


def sync(address: str) -> list[Any]:
    with grpc.insecure_channel(address) as channel:
        transport = transports.GenerativeServiceGrpcTransport(channel=channel)
        client = gemini.GenerativeServiceClient(transport=transport)
        return [client.generate_content(ASK), *client.stream_generate_content(ASK)]


def asynchronous(address: str) -> list[Any]:
    async def main() -> list[Any]:
        async with grpc.aio.insecure_channel(address) as channel:
            transport = transports.GenerativeServiceGrpcAsyncIOTransport(channel=channel)
            client = gemini.GenerativeServiceAsyncClient(transport=transport)
            whole = await client.generate_content(ASK)
            return [whole, *[chunk async for chunk in await client.stream_generate_content(ASK)]]

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("live", "again"), [(sync, sync), (asynchronous, asynchronous), (sync, asynchronous)]
)
def test_a_replayed_answer_is_the_live_one(
    live: Any, again: Any, server: Gemini, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client sees the same messages with the server gone; a person can read them."""
    monkeypatch.delenv("CI", raising=False)
    store = tmp_path / "calls.jsonl"
    settings: Any = {"store": store, "hosts": {"127.0.0.1:*": "gemini"}, "summary": False}
    with cachy.using("auto", **settings):
        answers = live(server.address)
    assert len(answers) == 3
    server.stop()
    with cachy.using("replay", **settings):
        assert again(server.address) == answers
    assert len(server.calls) == 2
    written = store.read_text("utf-8")
    assert written.count('"parts":[{"text":"2+2?"}]') == 2
    assert r"\"finishReason\":\"STOP\"" in written


PROGRAM = f"""
import sys
from google.ai import generativelanguage
client = generativelanguage.GenerativeServiceClient(client_options={{"api_endpoint": sys.argv[1]}})
print(client.generate_content({ASK!r}).candidates[0].content.parts[0].text)
"""


@pytest.mark.slow
def test_no_credentials_are_needed_to_replay(server: Gemini, tmp_path: Path) -> None:
    """A client that is built where nobody is logged in, in a process of its own."""
    store = tmp_path / "calls.jsonl"
    settings: Any = {"store": store, "hosts": {"127.0.0.1:*": "gemini"}, "summary": False}
    with cachy.using("auto", **settings):
        sync(server.address)
    server.stop()
    env = clean(CACHY="replay", CACHY_STORE=str(store), CACHY_HOSTS="127.0.0.1:*=gemini", HOME=str(tmp_path))
    env.pop("GOOGLE_APPLICATION_CREDENTIALS", None)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, server.address],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "An answer.\n"), done.stderr
    assert "1 replayed" in done.stderr
