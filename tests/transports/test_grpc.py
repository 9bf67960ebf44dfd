"""gRPC, sync and asyncio: a real server on loopback, recorded and replayed with the server gone."""

from __future__ import annotations

import asyncio
import base64
import gc
import importlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import cachy
from cachy import hooks, transports

from .grpc_echo import Ask, Say, Service, grpc, run, stub

KEY = "xai-Zq3Vb7Xc9Lp2Rt5Yh4Nj61f8Kd0ZqWm3Vb7Xc9"
AUTH = (("authorization", f"Bearer {KEY}"), ("x-tenant", "t-1"))


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    service.start()
    yield service
    service.stop()


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CACHY", raising=False)
    monkeypatch.delenv("CI", raising=False)


# The ways to ask for one message, and what a program sees of it.


def plain(address: str, ask: Any, **options: Any) -> Any:
    with stub(address, "Say") as say:
        return say(ask, metadata=AUTH, **options)


def with_call(address: str, ask: Any, **options: Any) -> Any:
    with stub(address, "Say") as say:
        answer, call = say.with_call(ask, metadata=AUTH, **options)
        assert (call.code(), call.done(), call.exception()) == (grpc.StatusCode.OK, True, None)
        return answer


def future(address: str, ask: Any, **options: Any) -> Any:
    with stub(address, "Say") as say:
        told: list[Any] = []
        call = say.future(ask, metadata=AUTH, **options)
        heard = threading.Event()
        call.add_done_callback(lambda done: (told.append(done), heard.set()))
        answer = call.result(timeout=20)
        assert heard.wait(20)
        assert told == [call]
        assert (call.code(), call.cancelled(), call.running()) == (grpc.StatusCode.OK, False, False)
        assert call.exception() is None
        return answer


def asynchronous(address: str, ask: Any, **options: Any) -> Any:
    async def talk(say: Any) -> Any:
        told: list[Any] = []
        call = say(ask, metadata=AUTH, **options)
        assert not call.done()
        call.add_done_callback(told.append)
        answer = await call
        assert (await call.code(), call.done(), call.cancelled()) == (grpc.StatusCode.OK, True, False)
        assert (await call.details(), told) == ("", [call])
        return answer

    return run(talk, address, "Say")


def with_interceptor(address: str, ask: Any, **options: Any) -> Any:
    """On asyncio, below an interceptor of the user's."""

    async def talk(say: Any) -> Any:
        return await say(ask, metadata=AUTH, **options)

    return run(talk, address, "Say", [AsyncLoud()])


ONE = [plain, with_call, future, asynchronous, with_interceptor]


# The ways to ask for a stream: what is seen of `most` messages, all by default.


def iterate(address: str, ask: Any, most: int = -1, options: Any = ()) -> Any:
    with stub(address, "Count", options=options) as count:
        call = count(ask, metadata=AUTH, timeout=60)
        found = []
        if most:
            for message in call:
                found.append(message.text)
                if len(found) == most:
                    break
        assert 0 < call.time_remaining() <= 60
        if most < 0:
            assert (call.code(), call.is_active()) == (grpc.StatusCode.OK, False)
        else:
            assert call.cancel()
            assert (call.code(), call.cancelled()) == (grpc.StatusCode.CANCELLED, True)
        return found


def one_thread(address: str, ask: Any, most: int = -1) -> Any:
    """With the option of grpc that reads a stream without a thread of its own."""
    return iterate(address, ask, most, ((grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, 1),))


def async_for(address: str, ask: Any, most: int = -1) -> Any:
    async def talk(count: Any) -> Any:
        call = count(ask, metadata=AUTH, timeout=60)
        found: list[str] = []
        async for message in call:
            found.append(message.text)
            if len(found) == most:
                break
        if most < 0:
            assert (await call.code(), call.done()) == (grpc.StatusCode.OK, True)
        else:
            assert call.cancel()
            assert call.cancelled()
        return found

    return run(talk, address, "Count")


def read(address: str, ask: Any, most: int = -1) -> Any:
    async def talk(count: Any) -> Any:
        call = count(ask, metadata=AUTH)
        found: list[str] = []
        while len(found) != most:
            message = await call.read()
            if message is grpc.aio.EOF:
                break
            found.append(message.text)
        if most >= 0:
            call.cancel()
        return found

    return run(talk, address, "Count")


STREAMS = [iterate, one_thread, async_for, read]


class Loud(grpc.UnaryUnaryClientInterceptor):
    """What interceptors are for: asks for something else, and looks at the answer."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def intercept_unary_unary(self, proceed: Any, details: Any, request: Any) -> Any:
        call = proceed(details, Ask(text=request.text + "!"))
        self.seen.append((call.code(), call.result().text))
        return call


class AsyncLoud(grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, proceed: Any, details: Any, request: Any) -> Any:
        call = await proceed(details, request)
        assert await call.code() in grpc.StatusCode
        return call


@pytest.mark.parametrize("again", ONE)
@pytest.mark.parametrize("live", [plain, future, asynchronous])
def test_one_message(service: Service, using: Any, store: Any, live: Any, again: Any) -> None:
    """One recording for all ways to ask, with the server gone; no key is written down."""
    ask = Ask(text="hello", max_tokens=3, image=b"\x00\xff" * 1000, labels={"a": "1", "b": "2"})
    with using():
        answer = live(service.address, ask)
        assert live(service.address, ask) == answer
    service.stop()
    with using("replay"):
        same = Ask(labels={"b": "2", "a": "1"}, image=b"\x00\xff" * 1000, max_tokens=3, text="hello")
        assert again(service.address, same) == answer
    assert answer == Say(text="HELLO", call=1)
    assert len(service.asked) == 1
    assert service.metadata[0]["authorization"] == f"Bearer {KEY}"
    written = store.read_text("utf-8")
    assert KEY not in written
    assert "t-1" not in written


def test_what_is_written(service: Service, using: Any, store: Any) -> None:
    """A person can read the request and each message of the answer; what is replayed stands beside it."""
    with using():
        iterate(service.address, Ask(text="hi", max_tokens=2))
    (line,) = store.read_text("utf-8").splitlines()
    recording = json.loads(line)
    assert recording["request"] == {
        "method": "GRPC",
        "host": "127.0.0.1:*",
        "path": "/talk.Talk/Count",
        "body": {"json": {"text": "hi", "maxTokens": 2}},
    }
    answer = recording["response"]
    assert answer["headers"] == [["content-type", "application/grpc"], ["x-request-id", "r-1"]]
    messages = [json.loads(text) for text in answer["text"].splitlines()]
    assert [message["message"] for message in messages] == [
        {"text": "0", "call": 1},
        {"text": "1", "call": 1},
    ]
    assert Say.FromString(base64.b64decode(messages[1]["base64"])) == Say(text="1", call=1)
    assert len(answer["chunks"]) == 2


@pytest.mark.parametrize("again", STREAMS)
@pytest.mark.parametrize("live", [iterate, one_thread, async_for])
def test_a_stream(service: Service, using: Any, live: Any, again: Any) -> None:
    """Message by message, and one recording for all ways to read it."""
    ask = Ask(text="n", max_tokens=4)
    with using():
        assert live(service.address, ask) == ["0", "1", "2", "3"]
        assert live(service.address, Ask(text="none")) == []
    service.stop()
    with using("replay"):
        assert again(service.address, ask) == ["0", "1", "2", "3"]
        assert again(service.address, Ask(text="none")) == []
    assert len(service.asked) == 2


@pytest.mark.parametrize("take", STREAMS)
def test_leaving_early(service: Service, using: Any, store: Any, take: Any) -> None:
    """Who cancels stops the server at once; the beginning replays in replay mode to who reads no further."""
    ask = Ask(text="endless")
    with using():
        assert take(service.address, ask, 2) == ["0", "1"]
        assert service.left.wait(20)
    (line,) = store.read_text("utf-8").splitlines()
    assert json.loads(line)["response"]["partial"] is True
    service.stop()
    with using("replay"):
        assert take(service.address, ask, 2) == ["0", "1"]
        with pytest.raises(cachy.Miss, match="read no further"):
            take(service.address, ask)


def test_a_stream_that_is_let_go_of_is_cancelled(service: Service, using: Any) -> None:
    """As without cachy: nothing of ours keeps the call alive."""
    with using(), stub(service.address, "Count") as count:
        call = count(Ask(text="endless"))
        assert next(call).text == "0"
        del call
        gc.collect()
        assert service.left.wait(20)


@pytest.mark.parametrize("ask", ONE)
def test_errors_are_not_recorded(service: Service, using: Any, store: Any, ask: Any) -> None:
    """An error is the user's, with its code and words, each time; so is a server that is not there."""
    before = cachy.stats().reasons.get("status RESOURCE_EXHAUSTED", 0)
    with using():
        for _ in range(2):
            with pytest.raises(grpc.RpcError) as caught:
                ask(service.address, Ask(text="fail"))
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert caught.value.details() == "too much"
        service.stop()
        with pytest.raises(grpc.RpcError) as caught:
            ask(service.address, Ask(text="hello"), wait_for_ready=False)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert len(service.asked) == 2
    assert not store.exists()
    assert cachy.stats().reasons["status RESOURCE_EXHAUSTED"] == before + 2


@pytest.mark.parametrize("take", STREAMS)
def test_a_stream_that_breaks(service: Service, using: Any, store: Any, take: Any) -> None:
    """Its beginning is no answer."""
    with using(), pytest.raises(grpc.RpcError) as caught:
        take(service.address, Ask(text="fail", max_tokens=5))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert not store.exists()


@pytest.mark.parametrize("ask", ONE)
def test_a_deadline(service: Service, using: Any, store: Any, ask: Any) -> None:
    with using(), pytest.raises((grpc.RpcError, grpc.FutureTimeoutError)) as caught:
        ask(service.address, Ask(text="slow"), timeout=0.05)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert not store.exists()


@pytest.mark.parametrize("ask", [*ONE, *STREAMS])
def test_a_miss(service: Service, using: Any, ask: Any) -> None:
    """Raised at once and as it is; nothing is sent."""
    with using("replay"), pytest.raises(cachy.Miss, match="nothing was sent") as caught:
        ask(service.address, Ask(text="new"))
    name = "Say" if ask in ONE else "Count"
    assert (caught.value.method, caught.value.url) == ("GRPC", f"https://{service.address}/talk.Talk/{name}")
    assert "test_grpc.py" in caught.value.caller
    assert KEY not in str(caught.value) + repr(vars(caught.value))
    assert service.asked == []


def test_a_miss_tells_the_difference(service: Service, using: Any) -> None:
    with using():
        plain(service.address, Ask(text="the capital of France"))
    with using("replay"), pytest.raises(cachy.Miss) as caught:
        plain(service.address, Ask(text="the capital of Spain"))
    assert [change.path for change in caught.value.changes] == ["text"]


@pytest.mark.parametrize("ask", [*ONE, *STREAMS])
def test_a_miss_as_an_answer(service: Service, using: Any, ask: Any) -> None:
    """With `on-miss = "respond"` the program sees an error of gRPC with our words."""
    with using("replay", on_miss="respond"), pytest.raises(grpc.RpcError) as caught:
        ask(service.address, Ask(text="new"))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "nothing was sent" in caught.value.details()
    assert service.asked == []


def test_a_channel_that_is_closed(service: Service, using: Any) -> None:
    """As without cachy, an error; who asks such a call for its code waits for nothing."""

    async def talk(say: Any) -> None:
        await say._references[0].close()
        for question in ("code", "initial_metadata", "trailing_metadata", "details"):
            call = say(Ask(text="new"))
            with pytest.raises(grpc.aio.UsageError):
                await getattr(call, question)()
            assert call.done()
            with pytest.raises(grpc.aio.UsageError):
                await call

    with using():
        run(talk, service.address, "Say")
        with stub(service.address, "Say") as say:
            pass
        with pytest.raises(ValueError, match="closed"):
            say(Ask(text="new"))


def gather(address: str) -> Any:
    with stub(address, "Gather") as method:
        return method(iter([Ask(text="a"), Ask(text="b")])).text


def gather_later(address: str) -> Any:
    with stub(address, "Gather") as method:
        return method.future(iter([Ask(text="a"), Ask(text="b")])).result().text


def gather_async(address: str) -> Any:
    async def talk(method: Any) -> Any:
        return (await method(iter([Ask(text="a"), Ask(text="b")]))).text

    return run(talk, address, "Gather")


def chat(address: str) -> Any:
    with stub(address, "Chat") as method:
        return " ".join(message.text for message in method(iter([Ask(text="a"), Ask(text="b")])))


def chat_async(address: str) -> Any:
    async def talk(method: Any) -> Any:
        return " ".join([message.text async for message in method(iter([Ask(text="a"), Ask(text="b")]))])

    return run(talk, address, "Chat")


@pytest.mark.parametrize("talk", [gather, gather_later, gather_async, chat, chat_async])
def test_what_the_client_streams_is_not_recorded(service: Service, using: Any, store: Any, talk: Any) -> None:
    """It is counted with the reason, and refused in replay mode."""
    reason = "a client-streaming gRPC call"
    before = cachy.stats().reasons.get(reason, 0)
    with using():
        assert talk(service.address) == "a b"
    assert cachy.stats().reasons[reason] == before + 1
    assert not store.exists()
    with using("replay"), pytest.raises(cachy.Miss, match="client-streaming"):
        talk(service.address)
    with using("replay", on_miss="respond"), pytest.raises(grpc.RpcError) as caught:
        talk(service.address)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert len(service.asked) == 1


def test_hosts_that_nobody_named_are_left_alone(service: Service, using: Any, store: Any) -> None:
    before = cachy.stats()
    with using("replay", hosts=["api.example.com"]):
        assert plain(service.address, Ask(text="a")).text == "A"
        assert iterate(service.address, Ask(max_tokens=1)) == ["0"]
        assert gather(service.address) == "a b"
        assert asynchronous(service.address, Ask(text="a")).text == "A"
    with cachy.bypass():
        assert plain(service.address, Ask(text="a")).text == "A"
    assert cachy.stats() == before
    assert not store.exists()


def test_channels_of_before(service: Service, using: Any) -> None:
    """A method that was made before cachy came is covered, and is as it was when cachy is gone."""
    with stub(service.address, "Say") as say, stub(service.address, "Count") as count:
        with using():
            first = say(Ask(text="a"))
            assert say(Ask(text="a")) == first
            assert [m.text for m in count(Ask(max_tokens=2))] == ["0", "1"]
            assert [m.text for m in count(Ask(max_tokens=2))] == ["0", "1"]
        assert len(service.asked) == 2
        cachy.disable()
        assert say(Ask(text="a")).call == 3


def test_patching_is_undone(service: Service) -> None:
    from grpc import _channel
    from grpc.aio import _call

    def now() -> list[Any]:
        return [
            _channel._UnaryUnaryMultiCallable._blocking,
            _channel._UnaryUnaryMultiCallable.future,
            _channel._UnaryStreamMultiCallable.__call__,
            _channel._SingleThreadedUnaryStreamMultiCallable.__call__,
            _channel._StreamUnaryMultiCallable._blocking,
            _channel._StreamStreamMultiCallable.__call__,
            _call.UnaryUnaryCall.__init__,
            _call.UnaryStreamCall.__init__,
            _call.StreamUnaryCall.__init__,
            _call.StreamStreamCall.__init__,
        ]

    transports.unpatch()
    before = now()
    cachy.enable("auto", summary=False)
    try:
        patched = now()
        transports.patch("grpc", grpc)
        assert now() == patched
        assert not set(patched) & set(before)
    finally:
        cachy.disable()
        transports.unpatch()
    assert now() == before


def test_interceptors_of_the_user(service: Service, using: Any) -> None:
    """They stand above: what they ask for is what counts, and they see a replay as they see an answer."""
    loud = Loud()
    with stub(service.address, "Say", loud) as say, using():
        assert say(Ask(text="a")).text == "A!"
        assert say(Ask(text="a")).text == "A!"
        assert say.future(Ask(text="a")).result().text == "A!"
    assert loud.seen == [(grpc.StatusCode.OK, "A!")] * 3
    assert len(service.asked) == 1


def test_open_telemetry_sees_calls_once(service: Service, using: Any) -> None:
    instrumentation = pytest.importorskip("opentelemetry.instrumentation.grpc")
    instrumentor = instrumentation.GrpcInstrumentorClient()
    instrumentor.instrument()
    try:
        before = cachy.stats()
        with using():
            assert plain(service.address, Ask(text="a")) == plain(service.address, Ask(text="a"))
            with stub(service.address, "Count") as count:
                assert [message.text for message in count(Ask(max_tokens=2))] == ["0", "1"]
        after = cachy.stats()
        assert (after.recorded - before.recorded, after.hits - before.hits) == (2, 1)
    finally:
        instrumentor.uninstrument()


def test_calls_without_descriptors(service: Service, using: Any) -> None:
    """Bytes in, bytes out: the bytes are what counts, and what is replayed."""

    def ask(text: str) -> bytes:
        with grpc.insecure_channel(service.address) as channel:
            answer: bytes = channel.unary_unary("/talk.Talk/Say")(Ask(text=text).SerializeToString())
            return answer

    with using():
        first, other = ask("a"), ask("b")
        assert Say.FromString(first) == Say(text="A", call=1)
        assert Say.FromString(other) == Say(text="B", call=2)
    service.stop()
    with using("replay"):
        assert (ask("a"), ask("b")) == (first, other)
        with pytest.raises(cachy.Miss):
            ask("c")


def test_fields_that_are_not_known_count(service: Service, using: Any) -> None:
    """A message may hold what this version of its type has no name for."""
    strange = Ask.FromString(Ask(text="a").SerializeToString() + b"\xa2\x06\x01x")
    with using():
        assert plain(service.address, Ask(text="a")).call == 1
        assert plain(service.address, strange).call == 2
        assert plain(service.address, strange).call == 2


def test_secrets_in_messages_are_masked(service: Service, using: Any, store: Any) -> None:
    """The key of the call, and what looks like a key, neither in the readable form nor in the protobuf."""
    other = "sk-proj-1f8Kd0ZqWm3Vb7Xc9Lp2Rt5Yh4Nj6"
    ask = Ask(text=f"my keys are {KEY} and {other}", labels={"status": f"{other} and {KEY}"})
    with using():
        live = plain(service.address, ask)
        assert live.status == f"{other} and {KEY}"
        replayed = plain(service.address, ask)
    assert replayed.call == live.call
    assert len(replayed.status) == len(live.status)
    (line,) = store.read_text("utf-8").splitlines()
    protobuf = base64.b64decode(json.loads(json.loads(line)["response"]["text"])["base64"])
    for secret in (KEY, other):
        assert secret not in line
        assert secret.encode() not in protobuf


def test_identical_calls_in_flight_are_one(service: Service, store: Any) -> None:
    """Eight threads ask the same at once."""
    cachy.enable("auto", store=store, hosts=["127.0.0.1:*"], summary=False)
    try:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: plain(service.address, Ask(text="slow")).call, range(8)))

        async def talk(say: Any) -> Any:
            return await asyncio.gather(*(say(Ask(text="slow", max_tokens=1)) for _ in range(8)))

        later = run(talk, service.address, "Say")
    finally:
        cachy.disable()
    assert answers == [1] * 8
    assert {answer.call for answer in later} == {2}
    assert len(service.asked) == 2


def test_futures_do_not_wait_for_each_other(service: Service, using: Any) -> None:
    with using(), stub(service.address, "Say") as say:
        calls = [say.future(Ask(text="slow", max_tokens=n)) for n in range(4)]
        assert not any(call.done() for call in calls)
        assert sorted(call.result().call for call in calls) == [1, 2, 3, 4]


def test_a_call_that_is_cancelled_before_its_answer(service: Service, using: Any, store: Any) -> None:
    async def talk(say: Any) -> None:
        call = say(Ask(text="slow"))
        await asyncio.sleep(0.05)
        assert call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert call.cancelled()

    with using():
        run(talk, service.address, "Say")
        with stub(service.address, "Say") as say:
            call = say.future(Ask(text="slow"))
            assert call.cancel()
            assert call.cancelled()
    assert not store.exists()


def test_pace(service: Service, using: Any) -> None:
    """Waits of a recording do not change what is seen."""
    ask = Ask(text="slow", max_tokens=3)
    with using():
        live = plain(service.address, ask), iterate(service.address, ask)
    service.stop()
    with using("replay", pace=0.1):
        for one in ONE:
            assert one(service.address, ask) == live[0]
        for stream in STREAMS:
            assert stream(service.address, ask) == live[1]


def test_a_recording_that_was_edited(service: Service, using: Any, store: Any) -> None:
    """Without its protobuf, the readable message is replayed; what is none of both is an error of gRPC."""
    with using():
        plain(service.address, Ask(text="a"))
    recording = json.loads(store.read_text("utf-8"))

    def edited(text: str) -> None:
        recording["response"]["text"] = text + "\n"
        store.write_text(json.dumps(recording, separators=(",", ":")) + "\n", "utf-8")

    edited('{"message":{"text":"by hand"}}')
    with using("replay"):
        assert plain(service.address, Ask(text="a")) == Say(text="by hand")
    edited("{")
    with using("replay"), pytest.raises(grpc.RpcError, match="damaged") as caught:
        plain(service.address, Ask(text="a"))
    assert caught.value.code() is grpc.StatusCode.DATA_LOSS


def test_verify(service: Service, using: Any) -> None:
    before = cachy.stats()
    with using():
        plain(service.address, Ask(text="a"))
    with using("verify"):
        plain(service.address, Ask(text="a"))
        iterate(service.address, Ask(text="a"))
    after = cachy.stats()
    assert (after.verified - before.verified, after.drifted - before.drifted) == (1, 0)


def test_what_is_binary_is_written_once(service: Service, using: Any, store: Any) -> None:
    """In the readable form of an answer a digest stands for it."""
    sound = base64.b64encode(bytes(range(256)) * 40).decode()
    with using():
        live = plain(service.address, Ask(text="a", labels={"status": sound}))
        assert plain(service.address, Ask(text="a", labels={"status": sound})) == live
    assert live.status == sound
    answer = json.loads(json.loads(store.read_text("utf-8"))["response"]["text"])
    assert answer["message"]["status"]["size"] == len(sound)
    assert Say.FromString(base64.b64decode(answer["base64"])) == live


def test_an_old_grpcio_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The calls of its sync half do not know where they go."""
    from grpc import _channel

    monkeypatch.setattr(_channel._UnaryUnaryMultiCallable, "__init__", lambda self, channel: None)
    adapter = importlib.import_module("cachy.transports.grpc")
    with pytest.raises(RuntimeError, match=r"older than 1\.61"):
        adapter.patch(grpc)


def test_a_client_that_could_not_be_hooked_is_refused_in_replay_mode(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Channels of a grpc that lacks what we patch are not made: replay mode promises never to call."""
    for owner in (grpc, grpc.aio):
        for name in ("insecure_channel", "secure_channel"):
            monkeypatch.setattr(owner, name, getattr(owner, name))
    hooks._refuse_calls(grpc, "grpc", AttributeError("gone"))
    monkeypatch.setenv("CACHY", "replay")
    for make in (grpc.insecure_channel, grpc.aio.insecure_channel):
        with pytest.raises(cachy.Miss, match="grpc could not be hooked"):
            make(target="127.0.0.1:1")
    monkeypatch.setenv("CACHY", "auto")
    grpc.insecure_channel(target="127.0.0.1:1").close()
