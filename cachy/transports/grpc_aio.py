"""The asyncio half of grpc: in the place of the core's call stands one that asks first, then is live or recorded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .. import session as sessions
from ..engine import Replay, Wait
from ..flights import LONGEST
from ..session import Session
from ..streaming import now, waits
from .grpc_kit import CANCELLED, OK, Answer, Copy, Kit, claim_for, kind_of
from .patching import replace, restore
from .waiting import landing, pause

if TYPE_CHECKING:
    from ..providers import Claim

_CHANNEL, _METHOD = 5, 6  # where the constructors of calls take them
_clock = time.time  # the one that grpc makes deadlines with


def patch(kit: Kit) -> None:
    """Patch the calls of grpc.aio. Idempotent. Raises AttributeError when a class is not there."""
    calls = kit.module.aio._call
    for name in ("UnaryUnaryCall", "UnaryStreamCall"):
        replace(getattr(calls, name), "__init__", partial(_calling, kit))
    for name in ("StreamUnaryCall", "StreamStreamCall"):
        replace(getattr(calls, name), "__init__", partial(_streaming, kit))
    if not hasattr(kit.core.AioChannel, "target"):
        # Before grpcio 1.81 nobody but the constructor knows where a channel leads.
        replace(kit.module.aio._channel.Channel, "__init__", _naming)


def unpatch(module: ModuleType) -> None:
    """Put the classes back as they were before `patch`, unless somebody else patched on top of us."""
    calls = module.aio._call
    for name in ("UnaryUnaryCall", "UnaryStreamCall", "StreamUnaryCall", "StreamStreamCall"):
        restore(getattr(calls, name), "__init__")
    restore(module.aio._channel.Channel, "__init__")


class _Named:
    """A channel of the core that knows its target."""

    def __init__(self, channel: Any, target: str) -> None:
        self._channel = channel
        self.target = target

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)


def _naming(original: Any) -> Any:
    def __init__(self: Any, target: str, *args: Any, **named: Any) -> None:
        original(self, target, *args, **named)
        self._channel = _Named(self._channel, target)

    return __init__


def _claim(session: Session | None, args: tuple[Any, ...]) -> Claim | None:
    if session is None or len(args) <= _METHOD:
        return None
    target = getattr(args[_CHANNEL], "target", None)
    return None if target is None else claim_for(session, target, args[_METHOD])


def _streaming(kit: Kit, original: Any) -> Any:
    def __init__(self: Any, *args: Any, **named: Any) -> None:
        session = sessions.current()
        claim = _claim(session, args)
        if session is not None and claim is not None:
            answer = kit.of_a_stream(session, claim, args[_CHANNEL].target, args[_METHOD])
            if answer is not None:
                code, none = kit.module.StatusCode.FAILED_PRECONDITION, kit.module.aio.Metadata()
                raise kit.module.aio.AioRpcError(code, none, none, answer.details)
        original(self, *args, **named)

    return __init__


def _calling(kit: Kit, original: Any) -> Any:
    def __init__(self: Any, *args: Any, **named: Any) -> None:
        session = sessions.current()
        claim = _claim(session, args)
        if session is None or claim is None:
            original(self, *args, **named)
        elif rival := kit.rival(session):
            with sessions.left_to(rival, session):
                original(self, *args, **named)
        else:
            below = _Core(kit, session, claim, args)
            original(self, *args[:_CHANNEL], below, *args[_METHOD:], **named)

    return __init__


class _Core:
    """In the place of the channel of the core, for one call."""

    def __init__(self, kit: Kit, session: Session, claim: Claim, args: tuple[Any, ...]) -> None:
        """Raises Miss in replay mode."""
        self._kit = kit
        self._session = session
        self._claim = claim
        self._request, self._deadline, self._metadata = args[:3]
        self._channel, self._method, self._serialize, self._deserialize = args[_CHANNEL : _METHOD + 3]
        # Where nobody is waited for, here, and not in a task of grpc's that knows nothing of the user's line.
        self._replay = self._ask() if session.engine.settings.mode == "replay" else None

    def call(self, *args: Any) -> _Call:
        """What `cygrpc.AioChannel.call` gives."""
        return _Call(self._kit, self._decide, lambda: self._channel.call(*args), self._deadline)

    async def _decide(self) -> Answer | Copy | None:
        """The recorded answer; or what is to be told of the live one, if anything is."""
        found = self._replay or self._ask()
        if isinstance(found, Wait):
            until = now() + (LONGEST if self._deadline is None else self._deadline - _clock())
            while isinstance(found, Wait):
                await landing(found.flight, max(0.0, min(1.0, until - now())))
                found = self._ask(alone=now() >= until)
        return found

    def _ask(self, alone: bool = False) -> Answer | Copy | Wait | None:
        kit, session, claim = self._kit, self._session, self._claim
        try:
            asked = kit.asked(
                self._channel.target, self._method, self._request, self._metadata, self._serialize
            )
        except Exception as problem:  # noqa: BLE001 - what cannot be sent, grpc says itself
            kit.cannot_ask(session, problem)
            return None
        verdict = session.engine.ask(asked, claim, alone)
        kind = kind_of(self._deserialize)
        if isinstance(verdict, Replay):
            return Answer(kit, verdict, kind)
        return verdict if isinstance(verdict, Wait) else kit.copy(session, claim, asked, verdict, kind)


class _Call:
    """What grpc's calls need of the core's: `cygrpc._AioCall`."""

    def __init__(
        self,
        kit: Kit,
        decide: Callable[[], Awaitable[Answer | Copy | None]],
        start: Callable[[], Any],
        deadline: float | None,
    ) -> None:
        self._core = kit.core
        self._decide = decide
        self._start = start
        self._deadline = deadline
        self._live: Any = None
        self._kept: Copy | None = None
        self._answer: Answer | None = None
        self._messages: Iterator[bytes] = iter(())
        self._waits: Iterator[float] = iter(())
        self._problem: BaseException | None = None
        self._own_status: Any = None
        self._cancelled = False
        self._callbacks: list[Callable[[], None]] = []
        self._decided, self._ended = asyncio.Event(), asyncio.Event()

    # The call is made

    async def unary_unary(self, message: bytes, metadata: Any, *context: Any) -> Any:
        answer = await self._begin()
        if answer is not None:
            await pause(next(self._waits))  # a live call always lets other tasks run
            self._end(answer.code, answer.details)
            return answer.messages[0] if answer.messages else b""
        live, kept = self._live, self._kept
        try:
            received = await live.unary_unary(message, metadata, *context)
        except BaseException:
            if kept is not None:
                kept.left()
            raise
        if kept is not None:
            kept.head(live._initial_metadata)
            kept.head(live._status.trailing_metadata())
            if live.is_ok():
                kept.took(received)
            kept.ended(live._status.code())
        return received

    async def initiate_unary_stream(self, message: bytes, metadata: Any, *context: Any) -> None:
        if await self._begin() is not None:
            return
        live, kept = self._live, self._kept
        if kept is not None:
            # Messages come before the status, so whoever has seen an OK has read them all.
            live.add_done_callback(
                lambda: kept.left() if live.is_locally_cancelled() else kept.ended(live._status.code())
            )
        await live.initiate_unary_stream(message, metadata, *context)

    async def receive_serialized_message(self) -> Any:
        if self._live is None:
            return await self._recorded_message()
        message = await self._live.receive_serialized_message()
        if self._kept is not None and message is not self._core.EOF:
            self._kept.head(self._live._initial_metadata)
            self._kept.took(message)
        return message

    async def _begin(self) -> Answer | None:
        """The recorded answer, or None: the live call is there."""
        try:
            found = await self._decide()
            if isinstance(found, Copy):
                self._kept = found
            if not isinstance(found, Answer):
                self._live = self._start()
        except asyncio.CancelledError:
            raise  # grpc is going to cancel us
        except BaseException as problem:
            if self._kept is not None:
                self._kept.left("the call failed")
            self._problem = problem
            self._decided.set()
            self._over()
            raise
        if isinstance(found, Answer):
            self._answer = found
            self._messages = iter(found.messages)
            self._waits = waits(found.verdict.response, found.verdict.pace)
            self._decided.set()
            return found
        for callback in self._callbacks:
            self._live.add_done_callback(callback)
        self._decided.set()
        return None

    async def _recorded_message(self) -> Any:
        answer = self._answer
        if answer is None or self._own_status is not None:
            return self._core.EOF
        message = next(self._messages, None)
        await pause(0 if message is None else next(self._waits))
        if message is not None:
            return message
        if answer.at_end:
            answer.at_end()
        self._end(answer.code, answer.details)
        return self._core.EOF

    # Its end

    def _end(self, code: int, details: str) -> None:
        if self._own_status is None:
            self._own_status = self._core.AioRpcStatus(code, details, (), "")
            self._decided.set()
            self._over()

    def _over(self) -> None:
        self._ended.set()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def cancel(self, details: str) -> Any:
        if self._live is not None:
            done = self._live.cancel(details)  # first: the provider is to stop at once
            if self._kept is not None:
                self._kept.left()
            return done
        self._cancelled = not self.done()
        self._end(CANCELLED, details)
        return self._cancelled

    def add_done_callback(self, callback: Callable[[], None]) -> None:
        if self._live is not None:
            self._live.add_done_callback(callback)
        elif self.done():
            callback()
        else:
            self._callbacks.append(callback)

    # What there is to know of it

    def done(self) -> Any:
        return self._live.done() if self._live is not None else self._ended.is_set()

    def cancelled(self) -> Any:
        return self._live.cancelled() if self._live is not None else self._cancelled

    def is_locally_cancelled(self) -> Any:
        return self._live.is_locally_cancelled() if self._live is not None else self._cancelled

    def is_ok(self) -> Any:
        if self._live is not None:
            return self._live.is_ok()
        return self._own_status is not None and self._own_status.code() == OK

    def time_remaining(self) -> Any:
        if self._live is not None:
            return self._live.time_remaining()
        return None if self._deadline is None else max(0.0, self._deadline - _clock())

    async def initial_metadata(self) -> Any:
        await self._decided.wait()
        if self._problem is not None:
            raise self._problem
        return self._initial_metadata if self._live is None else await self._live.initial_metadata()

    async def status(self) -> Any:
        await self._decided.wait()
        if self._live is not None:
            return await self._live.status()
        await self._ended.wait()
        if self._problem is not None:
            raise self._problem
        return self._own_status

    @property
    def _initial_metadata(self) -> Any:
        if self._live is not None:
            return self._live._initial_metadata
        return self._answer.metadata if self._answer is not None else ()

    @property
    def _status(self) -> Any:
        return self._live._status if self._live is not None else self._own_status

    def __repr__(self) -> str:
        return repr(self._live) if self._live is not None else f"<recorded call, status {self._own_status}>"
