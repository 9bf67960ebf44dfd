"""xAI's SDK, newest version, which speaks gRPC: sync and async against its own services on loopback."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sdk.replaying import Place

import cachy

grpc = pytest.importorskip("grpc")
xai = pytest.importorskip("xai_sdk")

from sdk.provider.xai import WORDS, Xai  # noqa: E402
from xai_sdk.chat import tool, tool_result, user  # noqa: E402

from cachy.exchange import Body, Request  # noqa: E402
from cachy.providers.usage import usage  # noqa: E402
from cachy.recording import Recording  # noqa: E402

KEY = "xai-Zq3Vb7Xc9Lp2Rt5Yh4Nj61f8Kd0ZqWm3Vb7Xc9"
WEATHER = tool(name="weather", description="The weather.", parameters={"type": "object", "properties": {}})


@pytest.fixture
def server() -> Iterator[Xai]:
    running = Xai()
    yield running
    running.stop()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


@contextmanager
def enabled(mode: Any, store: Path, **settings: Any) -> Iterator[None]:
    """cachy for the whole process, as `CACHY=1` has it."""
    cachy.enable(mode, store=store, hosts={"localhost:*": "xai"}, summary=False, **settings)
    try:
        yield
    finally:
        cachy.disable()


def chat(client: Any, text: str = "2+2?", **options: Any) -> Any:
    return client.chat.create("grok-5", messages=[user(text)], **options)


def sample(client: Any) -> Any:
    return (yield chat(client).sample())


def stream(client: Any) -> Any:
    return (yield chat(client).stream())


def parse(client: Any) -> Any:
    response, place = yield chat(client).parse(Place)
    assert place == Place(city="Basel", inhabitants=2)
    return [response]


def deferred(client: Any) -> Any:
    return (yield chat(client).defer(interval=timedelta(milliseconds=10)))


def tool_loop(client: Any) -> Any:
    talk = chat(client, tools=[WEATHER])
    first = yield talk.sample()
    talk.append(first)
    talk.append(tool_result("sun", tool_call_id=first.tool_calls[0].id))
    second = yield talk.sample()
    return [first, second]


def models(client: Any) -> Any:
    return [str((yield client.models.list_language_models()))]


CALLS = {"sample": sample, "stream": stream, "parse": parse, "tool-loop": tool_loop, "models": models}


def seen(answer: Any) -> Any:
    """All that a program can see of an answer."""
    if isinstance(answer, list | tuple):
        return [seen(item) for item in answer]
    return answer.proto if hasattr(answer, "proto") else answer


def sync(call: Any, url: str) -> Any:
    with xai.Client(api_key=KEY, api_host=url) as client:
        conversation, answer = call(client), None
        try:
            while True:
                answer = conversation.send(answer)
                if inspect.isgenerator(answer):
                    answer = list(answer)
        except StopIteration as end:
            return seen(end.value)


def asynchronous(call: Any, url: str) -> Any:
    async def main() -> Any:
        async with xai.AsyncClient(api_key=KEY, api_host=url) as client:
            conversation, answer = call(client), None
            try:
                while True:
                    answer = conversation.send(answer)
                    if hasattr(answer, "__aiter__"):
                        answer = [item async for item in answer]
                    else:
                        answer = await answer
            except StopIteration as end:
                return seen(end.value)

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("live", "again"), [(sync, sync), (asynchronous, asynchronous), (sync, asynchronous)]
)
@pytest.mark.parametrize("call", [*CALLS.values(), deferred])
def test_a_replayed_answer_is_the_live_one(
    call: Any, live: Any, again: Any, server: Xai, store: Path
) -> None:
    """Each kind of call gives a new client the same messages with the server gone; no key is written down."""
    with enabled("auto", store):
        answer = live(call, server.url)
    assert len(server.calls) == {deferred: 4, tool_loop: 2}.get(call, 1)
    assert server.calls[0][2]["authorization"] == f"Bearer {KEY}"
    server.stop()
    with enabled("replay", store):
        assert again(call, server.url) == answer
    assert KEY not in store.read_text("utf-8")


def test_a_job_is_recorded_when_it_is_done(server: Xai, store: Path) -> None:
    """Polls that say "not yet" are not, so a replay goes straight to the end."""
    with enabled("auto", store):
        sync(deferred, server.url)
    assert [call[0] for call in server.calls] == ["StartDeferredCompletion"] + 3 * ["GetDeferredCompletion"]
    assert len(recordings(store)) == 2


def recordings(store: Path) -> list[Recording]:
    return [Recording.from_line(line) for line in store.read_bytes().splitlines()]


@pytest.mark.parametrize("call", [sample, stream, deferred])
def test_what_it_has_cost(call: Any, server: Xai, store: Path) -> None:
    """A recording tells its tokens and its model."""
    with enabled("auto", store):
        sync(call, server.url)
    recording = recordings(store)[-1]
    assert recording.provider == "xai"
    body = Body(json.dumps(recording.request["body"]["json"]).encode())
    request = Request("GRPC", f"https://{server.url}{recording.request['path']}", body=body)
    cost = usage(request, recording.response)
    assert cost is not None
    if call is stream:
        assert (cost.input, cost.output, cost.model) == (11, len(WORDS), "grok-5")
    else:
        assert (cost.input, cost.output, cost.cached, cost.reasoning) == (11, 12, 3, 7)
        assert cost.model == "grok-5"


@pytest.mark.parametrize("way", [sync, asynchronous])
@pytest.mark.parametrize("call", [sample, stream])
def test_a_miss_ends_the_call_at_once(call: Any, way: Any, server: Xai, store: Path) -> None:
    """Raised through the SDK, which neither wraps nor retries it."""
    with enabled("replay", store), pytest.raises(cachy.Miss, match="nothing was sent") as caught:
        way(call, server.url)
    assert server.calls == []
    assert caught.value.provider == "xai"
    assert KEY not in str(caught.value) + repr(vars(caught.value))


@pytest.mark.parametrize("way", [sync, asynchronous])
def test_errors_are_the_sdks_own(way: Any, server: Xai, store: Path) -> None:
    """Each time anew, and not recorded."""

    def overload(client: Any) -> Any:
        yield chat(client, "overload").sample()

    with enabled("auto", store):
        for _ in range(2):
            with pytest.raises(grpc.RpcError) as caught:
                way(overload, server.url)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(server.calls) == 2
    assert not store.exists()


def test_what_is_deleted_is_deleted_each_time(server: Xai, store: Path) -> None:
    """In `auto`, a call that asks the provider to forget something goes out."""

    def delete(client: Any) -> Any:
        return [(yield client.chat.delete_stored_completion("c-1"))]

    with enabled("auto", store):
        assert sync(delete, server.url) == sync(delete, server.url) == ["c-1"]
    assert len(server.calls) == 2
    server.stop()
    with enabled("replay", store):
        assert asynchronous(delete, server.url) == ["c-1"]


def test_the_user_is_not_part_of_the_question(server: Xai, store: Path) -> None:
    def ask(name: str) -> Any:
        def call(client: Any) -> Any:
            return [(yield chat(client, user=name).sample())]

        return call

    with enabled("auto", store):
        assert sync(ask("anna"), server.url) == sync(ask("bert"), server.url)
    assert len(server.calls) == 1
