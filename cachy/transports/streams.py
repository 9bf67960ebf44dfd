"""The body of an answer as a client iterates over it, sync or async: a recorded one, and a live one that is copied."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

from ..engine import Replay
from ..streaming import Tee, pieces, waits
from .waiting import pause

sleep = time.sleep  # copied: a program's tests may mock it


class ReplayStream:
    """The body of a recorded answer, piece by piece as it once arrived."""

    def __init__(self, verdict: Replay) -> None:
        self._response = verdict.response
        self._pace = verdict.pace
        self._at_end = verdict.at_end

    def __iter__(self) -> Iterator[bytes]:
        return self._with_care() if self._pace or self._at_end else iter(pieces(self._response))

    def _with_care(self) -> Iterator[bytes]:
        for seconds, piece in zip(waits(self._response, self._pace), pieces(self._response), strict=False):
            if seconds:
                sleep(seconds)
            yield piece
        if self._at_end:
            self._at_end()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if not self._pace:
            for piece in pieces(self._response):
                yield piece
        else:
            for seconds, piece in zip(
                waits(self._response, self._pace), pieces(self._response), strict=False
            ):
                await pause(seconds)
                yield piece
        if self._at_end:
            self._at_end()


class TeeStream:
    """The stream of a live answer, handed on piece by piece while a copy is kept."""

    def __init__(self, stream: Any, tee: Tee) -> None:
        self._stream = stream
        self._tee = tee

    def __iter__(self) -> Iterator[bytes]:
        tee = self._tee
        try:
            for piece in self._stream:
                tee.feed(piece)
                yield piece
        except BaseException as problem:
            tee.fail(problem)
            raise
        tee.finish()

    def close(self) -> None:
        try:
            self._stream.close()  # first: an early close stops the provider's generation at once
        finally:
            self._tee.leave()


class AsyncTeeStream:
    """`TeeStream` for async clients."""

    def __init__(self, stream: Any, tee: Tee) -> None:
        self._stream = stream
        self._tee = tee

    async def __aiter__(self) -> AsyncIterator[bytes]:
        tee = self._tee
        stream = self._stream.__aiter__()
        try:
            async for piece in stream:
                tee.feed(piece)
                yield piece
        except BaseException as problem:
            tee.fail(problem)
            raise
        finally:
            # An async generator left half-way is otherwise closed by the garbage collector, in another task.
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()
        tee.finish()

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self._tee.leave()
