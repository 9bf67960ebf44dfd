"""gRPC (grpcio), sync and asyncio: the module is an argument, never imported.

The classes that start a call are wrapped, which every channel of any age ends at. Below them stands the core, in C: a
live call is handed one that copies what arrives, a recorded one is handed a core over which the recording arrives.
Everything around it stays grpc's own: interceptors on either side, `with_call`, futures, callbacks, deadlines,
cancelling, the classes of calls and errors. What the client streams cannot be recorded.
"""

from __future__ import annotations

import copy
import importlib
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .. import session as sessions
from ..engine import Replay, Wait
from ..session import Session
from . import grpc_aio
from .grpc_core import Recorded, Watching
from .grpc_kit import Answer, Kit, claim_for, kind_of, kit_of
from .patching import replace, restore
from .waiting import waited

if TYPE_CHECKING:
    from ..calls import Forward
    from ..exchange import Request
    from ..providers import Claim

_ANSWERED = (
    ("_UnaryUnaryMultiCallable", "_blocking"),
    ("_UnaryUnaryMultiCallable", "future"),
    ("_UnaryStreamMultiCallable", "__call__"),
    ("_SingleThreadedUnaryStreamMultiCallable", "__call__"),
)
_REFUSED = (
    ("_StreamUnaryMultiCallable", "_blocking"),
    ("_StreamUnaryMultiCallable", "future"),
    ("_StreamStreamMultiCallable", "__call__"),
)


def patch(module: ModuleType) -> None:
    """Patch the calls of `module` (grpc). Idempotent. Raises AttributeError when a class is not there, and RuntimeError
    for a grpcio whose calls do not know where they go."""
    kit = kit_of(module)
    channel = importlib.import_module(module.__name__ + "._channel")
    if "target" not in channel._UnaryUnaryMultiCallable.__init__.__code__.co_varnames:
        raise RuntimeError(f"grpcio {module.__version__} is older than 1.61")
    for owner, name in _ANSWERED:
        blocks = name != "future"
        replace(getattr(channel, owner), name, partial(_calling, kit, blocks))
    for owner, name in _REFUSED:
        replace(getattr(channel, owner), name, partial(_streaming, kit))
    grpc_aio.patch(kit)


def unpatch(module: ModuleType) -> None:
    """Put the classes back as they were before `patch`, unless somebody else patched on top of us."""
    channel = importlib.import_module(module.__name__ + "._channel")
    for owner, name in (*_ANSWERED, *_REFUSED):
        restore(getattr(channel, owner), name)
    grpc_aio.unpatch(module)


def _calling(kit: Kit, blocks: bool, original: Any) -> Any:
    def call(
        self: Any, request: Any, timeout: float | None = None, metadata: Any = None, *rest: Any, **named: Any
    ) -> Any:
        session = sessions.current()
        claim = None if session is None else claim_for(session, self._target, self._method)
        if session is None or claim is None:
            return original(self, request, timeout, metadata, *rest, **named)
        if rival := kit.rival(session):
            with sessions.left_to(rival, session):
                return original(self, request, timeout, metadata, *rest, **named)
        try:
            asked = kit.asked(self._target, self._method, request, metadata, self._request_serializer)
        except Exception as problem:  # noqa: BLE001 - what cannot be sent, grpc says itself
            kit.cannot_ask(session, problem)
            return original(self, request, timeout, metadata, *rest, **named)
        verdict = _ask(session, claim, asked, timeout, blocks)
        kind = kind_of(self._response_deserializer)
        if isinstance(verdict, Replay):
            below: Any = Recorded(kit, Answer(kit, verdict, kind))
            return original(_above(self, below), request, timeout, metadata, *rest, **named)
        kept = kit.copy(session, claim, asked, verdict, kind)
        try:
            below = Watching(kit, self, kept)
            return original(_above(self, below), request, timeout, metadata, *rest, **named)
        except BaseException:
            kept.left("the call failed")
            raise

    return call


def _streaming(kit: Kit, original: Any) -> Any:
    def call(self: Any, *args: Any, **named: Any) -> Any:
        session = sessions.current()
        claim = None if session is None else claim_for(session, self._target, self._method)
        if session is None or claim is None:
            return original(self, *args, **named)
        answer = kit.of_a_stream(session, claim, self._target, self._method)
        if answer is None:
            return original(self, *args, **named)
        channel = importlib.import_module(kit.module.__name__ + "._channel")
        code = kit.module.StatusCode.FAILED_PRECONDITION
        raise channel._InactiveRpcError(channel._RPCState((), (), (), code, answer.details))

    return call


def _ask(
    session: Session, claim: Claim, asked: Request, timeout: float | None, blocks: bool
) -> Replay | Forward:
    """`blocks`: whether the program expects to wait, here for the answer of somebody else's call as long as for its
    own."""
    verdict = session.engine.ask(asked, claim, alone=not blocks)
    if isinstance(verdict, Wait):
        return waited(session.engine, asked, claim, verdict, timeout)
    return verdict


def _above(caller: Any, core: Any) -> Any:
    """The object that starts a call, for one call over another core."""
    double = copy.copy(caller)
    double._channel, double._managed_call = core, core.managed_call
    return double
