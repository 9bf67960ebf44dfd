"""A gRPC service on loopback, made at run time, and the ways in which a program asks it.

`Talk/Say` answers with one message, `Talk/Count` with a stream, `Talk/Gather` takes a stream, `Talk/Chat` both.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

grpc = pytest.importorskip("grpc")
pytest.importorskip("google.protobuf")

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # noqa: E402


def _messages() -> tuple[Any, Any]:
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="talk.proto", package="talk", syntax="proto3")
    ask = file.message_type.add(name="Ask")
    ask.field.add(name="text", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    ask.field.add(name="max_tokens", number=2, type=field.TYPE_INT32, label=field.LABEL_OPTIONAL)
    ask.field.add(name="image", number=3, type=field.TYPE_BYTES, label=field.LABEL_OPTIONAL)
    ask.field.add(
        name="labels", number=4, type=field.TYPE_MESSAGE, label=field.LABEL_REPEATED, type_name=".talk.Ask.LabelsEntry"
    )  # fmt: skip
    entry = ask.nested_type.add(name="LabelsEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    entry.field.add(name="value", number=2, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    say = file.message_type.add(name="Say")
    say.field.add(name="text", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    say.field.add(name="call", number=2, type=field.TYPE_INT32, label=field.LABEL_OPTIONAL)
    say.field.add(name="status", number=3, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return tuple(
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"talk.{name}")) for name in ("Ask", "Say")
    )  # type: ignore[return-value]


Ask, Say = _messages()


class Service:
    """What arrived, and what the server was told."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.metadata: list[dict[str, Any]] = []
        self.left = threading.Event()
        self.address = ""
        self._stop: Callable[[], None] = lambda: None

    def _noted(self, message: Any, context: Any) -> int:
        self.asked.append(message)
        self.metadata.append(dict(context.invocation_metadata()))
        return len(self.asked)

    def say(self, message: Any, context: Any) -> Any:
        number = self._noted(message, context)
        context.send_initial_metadata((("x-request-id", f"r-{number}"), ("x-noise", "1")))
        if message.text.startswith("fail"):
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too much")
        if message.text == "slow":
            threading.Event().wait(0.2)
        return Say(text=message.text.upper(), call=number, status=message.labels.get("status", ""))

    def count(self, message: Any, context: Any) -> Iterator[Any]:
        number = self._noted(message, context)
        context.add_callback(lambda: None if context.code() else self.left.set())
        context.send_initial_metadata((("x-request-id", f"r-{number}"),))
        for n in itertools.count() if message.text == "endless" else range(message.max_tokens):
            if message.text == "fail" and n == 2:
                context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
            if not context.is_active():
                return
            yield Say(text=str(n), call=number)
        context.set_code(grpc.StatusCode.OK)

    def gather(self, messages: Iterator[Any], context: Any) -> Any:
        return Say(text=" ".join(message.text for message in messages), call=self._noted(None, context))

    def chat(self, messages: Iterator[Any], context: Any) -> Iterator[Any]:
        self._noted(None, context)
        for message in messages:
            yield Say(text=message.text)

    def start(self) -> None:
        coders = {"request_deserializer": Ask.FromString, "response_serializer": Say.SerializeToString}
        handlers = {
            "Say": grpc.unary_unary_rpc_method_handler(self.say, **coders),
            "Count": grpc.unary_stream_rpc_method_handler(self.count, **coders),
            "Gather": grpc.stream_unary_rpc_method_handler(self.gather, **coders),
            "Chat": grpc.stream_stream_rpc_method_handler(self.chat, **coders),
        }
        server = grpc.server(ThreadPoolExecutor(8))
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("talk.Talk", handlers),))
        self.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        self._stop = lambda: server.stop(None).wait(10)

    def stop(self) -> None:
        self._stop()
        self._stop = lambda: None


CODERS = {"request_serializer": Ask.SerializeToString, "response_deserializer": Say.FromString}


@contextmanager
def stub(address: str, name: str, *interceptors: Any, options: Any = ()) -> Iterator[Any]:
    """A method of the service on a channel of its own."""
    kind = {"Say": "unary_unary", "Count": "unary_stream", "Gather": "stream_unary", "Chat": "stream_stream"}
    with grpc.insecure_channel(address, options=options) as channel:
        above = grpc.intercept_channel(channel, *interceptors)
        yield getattr(above, kind[name])(f"/talk.Talk/{name}", **CODERS)


def run(function: Callable[[Any], Any], address: str, name: str, interceptors: Any = None) -> Any:
    """Await `function(method)` on a channel of grpc.aio."""
    kind = {"Say": "unary_unary", "Count": "unary_stream", "Gather": "stream_unary", "Chat": "stream_stream"}

    async def main() -> Any:
        async with grpc.aio.insecure_channel(address, interceptors=interceptors) as channel:
            return await function(getattr(channel, kind[name])(f"/talk.Talk/{name}", **CODERS))

    return asyncio.run(main())
