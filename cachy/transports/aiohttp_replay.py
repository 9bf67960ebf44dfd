"""The parts of a connection of aiohttp over which a recorded answer arrives, to be mixed into aiohttp's own classes.

aiohttp does with it all that it does with a live one: it writes the request to it, waits for the head of the answer,
makes the response, reads the body, and lets go of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..engine import Replay
from ..streaming import pieces, waits
from .waiting import pause

if TYPE_CHECKING:
    from .aiohttp_kit import Kit


class Connection:
    """A connection that leads nowhere, and into no pool."""

    _protocol: Any

    def close(self) -> None:
        self._notify_release()  # type: ignore[attr-defined]
        self._protocol = None

    release = close

    def __del__(self) -> None:
        pass  # nothing that had to be closed


class Protocol:
    """A server that answers, from a recording, as soon as it has the whole request."""

    transport: Any

    def __init__(self, loop: Any, kit: Kit, verdict: Replay) -> None:
        super().__init__(loop)  # type: ignore[call-arg]
        self.transport = _Nowhere()
        self._kit = kit
        self._verdict = verdict
        self._body = kit.empty

    def set_response_params(
        self, *, timer: Any = None, skip_payload: bool = False, read_bufsize: int = 2**16, **_: Any
    ) -> None:
        status = self._verdict.response.status
        if not skip_payload and status not in (204, 304):
            self._body = self._kit.reader(self, read_bufsize, timer, self._verdict)

    def start_timeout(self) -> None:
        # What a request does when its last byte is written: from now on, the answer may be late. It comes in the
        # next turn of the loop: a live call always lets other tasks run, and the task that writes has ended by then.
        self._loop.call_soon(self._answer)  # type: ignore[attr-defined]

    def _answer(self) -> None:
        self.feed_data((self._kit.message(self._verdict.response), self._body), 0)  # type: ignore[attr-defined]

    def pause_reading(self) -> None:
        pass

    def resume_reading(self, resume_parser: bool = True) -> None:
        pass


class _Nowhere(asyncio.Transport):
    """Swallows what is written to it."""

    _closing = False

    def write(self, data: Any) -> None:
        pass

    def writelines(self, list_of_data: Any) -> None:
        pass

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True

    abort = close


class Reader:
    """The body of a recorded answer, piece by piece as it once arrived, each when the consumer has read the last."""

    def __init__(self, protocol: Any, limit: int, timer: Any, verdict: Replay) -> None:
        super().__init__(protocol, limit, timer=timer, loop=protocol._loop)  # type: ignore[call-arg]
        recorded = verdict.response
        self._pieces: Iterator[bytes] = iter(pieces(recorded))
        self._waits = waits(recorded, verdict.pace) if verdict.pace else None
        self._at_end = verdict.at_end
        self._in_chunks = recorded.header("content-length") == ""
        if self._waits is None:
            self._feed()
            if len(recorded.chunks) < 2 and self._at_end is None:
                self.feed_eof()  # type: ignore[attr-defined]

    def _feed(self) -> bool:
        """Let the next piece arrive; whether there was one."""
        piece = next(self._pieces, None)
        if piece is None:
            return False
        stream: Any = self
        if self._in_chunks:
            stream.begin_http_chunk_receiving()
        stream.feed_data(piece, len(piece))
        if self._in_chunks:
            stream.end_http_chunk_receiving()
        return True

    async def _wait(self, _func_name: str) -> None:
        """aiohttp's own name for: the consumer wants what has not arrived."""
        stream: Any = self
        if self._waits is not None and (seconds := next(self._waits)):
            with stream._timer:
                await pause(seconds)
        if not self._feed():
            if self._at_end is not None:
                self._at_end()
            stream.feed_eof()

    async def wait_eof(self) -> None:
        while not self._eof:  # type: ignore[attr-defined]
            await self._wait("wait_eof")
