"""Cores of gRPC for one call of a sync channel: one over which a recording arrives, and one that copies what arrives.

grpc's own classes turn the events of a core into answers, errors, futures and callbacks; these are all they need of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from threading import Timer
from typing import Any, NamedTuple

from ..notices import in_brief, say_once
from ..streaming import waits
from .grpc_kit import CANCELLED, OK, Answer, Copy, Kit
from .streams import sleep

Handler = Callable[[Any], Any]


class _Operation:
    """One thing that a core has done, as grpc asks about it."""

    def __init__(self, kind: int, answer: Answer, message: bytes | None = None, code: int = OK) -> None:
        self._kind = kind
        self._answer = answer
        self._message = message
        self._code = code

    def type(self) -> int:
        return self._kind

    def initial_metadata(self) -> Any:
        return self._answer.metadata

    def trailing_metadata(self) -> Any:
        return ()

    def message(self) -> bytes | None:
        return self._message

    def code(self) -> int:
        return self._code

    def details(self) -> bytes:
        return self._answer.details.encode()

    def error_string(self) -> bytes:
        return b""


class _Event(NamedTuple):
    batch_operations: list[Any]


class Recorded:
    """A core that answers one call from a recording; nothing is sent."""

    def __init__(self, kit: Kit, answer: Answer) -> None:
        self._kit = kit
        self._answer = answer

    def segregated_call(self, *args: Any) -> Any:
        """A call whose events are waited for."""
        return _RecordedCall(self._kit, self._answer, None, [operations for operations, _ in args[6]])

    def managed_call(self, *args: Any) -> Any:
        """A call whose events are handed to a function."""
        return _RecordedCall(self._kit, self._answer, args[7], args[6])


class _RecordedCall:
    def __init__(self, kit: Kit, answer: Answer, handler: Handler | None, batches: Any) -> None:
        types = kit.core.OperationType
        self._types = types
        self._answer = answer
        self._handler = handler
        self._messages = iter(answer.messages)
        self._waits: Iterator[float] = waits(answer.verdict.response, answer.verdict.pace)
        self._due: deque[tuple[float, _Event]] = deque()
        self._over = False
        wanted = [operation.type() for batch in batches for operation in batch]
        head = _Operation(types.receive_initial_metadata, answer)
        if types.receive_message not in wanted:
            self._happens([head], handler)
            return
        # An answer of one message: all of it is one event.
        message = _Operation(types.receive_message, answer, next(self._messages, None))
        self._over = True
        self._happens([head, message, self._status(answer.code)], handler, next(self._waits))

    def operate(self, _operations: Any, handler: Handler | None) -> bool:
        """The next message is wanted."""
        message = next(self._messages, None)
        arrives = [_Operation(self._types.receive_message, self._answer, message)]
        if message is not None:
            self._happens(arrives, handler, next(self._waits))
            return True
        if self._answer.at_end:
            self._answer.at_end()
        self._happens(arrives, handler)
        self._end(self._answer.code)
        return True

    def next_event(self) -> _Event:
        seconds, event = self._due.popleft()
        if seconds:
            sleep(seconds)
        return event

    def cancel(self, _code: int, details: str) -> None:
        self._answer.details = details
        self._end(CANCELLED)

    def _end(self, code: int) -> None:
        if not self._over:
            self._over = True
            self._happens([self._status(code)], self._handler)

    def _status(self, code: int) -> _Operation:
        return _Operation(self._types.receive_status_on_client, self._answer, code=code)

    def _happens(self, operations: list[Any], handler: Handler | None, seconds: float = 0.0) -> None:
        event = _Event(operations)
        if handler is None:
            self._due.append((seconds, event))
        elif seconds:
            timer = Timer(seconds, handler, (event,))
            timer.daemon = True
            timer.start()
        else:
            handler(event)


class Watching:
    """The real core of one call, with a copy of what arrives."""

    def __init__(self, kit: Kit, caller: Any, kept: Copy) -> None:
        self._kit = kit
        self._caller = caller
        self._kept = kept

    def segregated_call(self, *args: Any) -> Any:
        return _WatchedCall(self._kit, self._caller._channel.segregated_call(*args), self._kept)

    def managed_call(self, *args: Any) -> Any:
        handler = _watched(self._kit, args[7], self._kept)
        call = self._caller._managed_call(*args[:7], handler, *args[8:])
        return _WatchedCall(self._kit, call, self._kept)


class _WatchedCall:
    def __init__(self, kit: Kit, call: Any, kept: Copy) -> None:
        self._kit = kit
        self._call = call
        self._kept = kept

    def operate(self, operations: Any, handler: Handler | None) -> Any:
        if handler is not None:
            handler = _watched(self._kit, handler, self._kept)
        return self._call.operate(operations, handler)

    def next_event(self) -> Any:
        event = self._call.next_event()
        _look(self._kit, event, self._kept)
        return event

    def cancel(self, *args: Any) -> None:
        self._call.cancel(*args)  # first: the provider is to stop at once
        self._kept.left()


def _watched(kit: Kit, handler: Handler, kept: Copy) -> Handler:
    def watched(event: Any) -> Any:
        _look(kit, event, kept)  # first: who is told of the end may count on the recording
        return handler(event)

    return watched


def _look(kit: Kit, event: Any, kept: Copy) -> None:
    """Copy what has arrived. Never raises."""
    try:
        types = kit.core.OperationType
        done = {operation.type(): operation for operation in event.batch_operations}
        if head := done.get(types.receive_initial_metadata):
            kept.head(head.initial_metadata())
        status = done.get(types.receive_status_on_client)
        if status:
            kept.head(status.trailing_metadata())
        if (received := done.get(types.receive_message)) and (message := received.message()) is not None:
            kept.took(message)
        if status:
            kept.ended(status.code())
    except Exception as problem:  # noqa: BLE001 - the user's call is worth more than our copy of it
        say_once(f"an answer of grpc could not be recorded ({in_brief(problem)}); the program goes on")
        kept.left()
