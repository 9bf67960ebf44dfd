"""A live answer is handed on piece by piece while a copy is kept; a recorded one is handed out the same way.

Nothing here knows an HTTP client: a transport feeds raw pieces in and takes decoded pieces out.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from threading import Lock, local
from typing import Protocol
from weakref import WeakSet

from .clocks import elapsed as _clock
from .exchange import Headers, Response
from .notices import in_brief, say_once

LARGEST = 64 * 1024 * 1024
"""Bytes of an answer above which it is handed on but not recorded."""


class Incomplete(Exception):
    """Everything could be decoded, but the encoding lacks its end: no wonder when the consumer left before it."""


Decode = Callable[[Headers, list[bytes]], Iterable[tuple[int, bytes]]]
"""Undo the content-encoding: from headers and raw pieces to (index of the raw piece, decoded piece). Raises
Incomplete, or anything else."""


class Call(Protocol):
    """What is interested in the answer of a live call. After `keep` or `drop`, one of which comes once, it is over."""

    def moved(self) -> None:
        """A piece of the answer has arrived."""

    def keep(self, response: Response, clean: bool) -> None:
        """The answer; `clean`: it was read to its end (False: the consumer left early). May raise."""

    def drop(self, reason: str) -> None:
        """There is no answer to keep, for this reason."""


def now() -> float:
    """Seconds on a clock that never goes backwards."""
    return _clock()


class Tee:
    """The copy that is kept of one live answer. None of its methods raises."""

    __slots__ = (
        "__weakref__",
        "_arrived",
        "_call",
        "_decode",
        "_head",
        "_pieces",
        "_size",
        "_started",
    )

    def __init__(self, head: Response, started: float, decode: Decode, call: Call) -> None:
        """`head` is the answer without its body; `started` the time of the request on the clock of `now`."""
        self._head = head
        self._started = started
        self._decode = decode
        self._call: Call | None = call
        self._pieces: list[bytes] = []
        self._arrived: list[float] = []
        self._size = 0
        with _lock:
            _open.add(self)

    def feed(self, piece: bytes) -> None:
        """One piece of the raw body has arrived."""
        call = self._call  # another thread may close the answer meanwhile
        if call is None:
            return
        call.moved()
        self._size += len(piece)
        if self._size > LARGEST:
            self.give_up(f"the answer is larger than {LARGEST // 2**20} MiB")
            return
        self._arrived.append(_clock())  # first: each piece has its time, whoever closes the answer now
        self._pieces.append(piece)

    def finish(self) -> None:
        """The body has ended as the protocol says it should."""
        self._done(clean=True)

    def leave(self) -> None:
        """The consumer closed the answer; after `finish` this says nothing new."""
        self._done(clean=False)

    def fail(self, problem: BaseException) -> None:
        """Reading the body raised `problem`."""
        # Not an error of the connection but the consumer leaving (GeneratorExit, a cancelled task, Ctrl-C):
        # it may have read all that matters.
        if isinstance(problem, Exception):
            self.give_up(f"the connection broke in mid-answer ({type(problem).__name__})")
        else:
            self.leave()

    def give_up(self, reason: str) -> None:
        """The answer is none that could be kept, for this reason."""
        call, self._call = self._call, None
        if call is not None:
            self._pieces.clear()
            call.drop(reason)

    def _done(self, clean: bool) -> None:
        call = self._call
        if call is None:  # asked first: gevent takes greenlets apart at exit, after what belongs to them
            return
        if undisturbed.depth:
            _later.append((self, clean))
            return
        call, self._call = self._call, None
        if call is None:
            return
        with undisturbed:
            try:
                call.keep(self._answer(clean), clean)
            except Exception as problem:  # noqa: BLE001 - the user's call is worth more than our copy of it
                say_once(f"this answer could not be recorded ({in_brief(problem)}); the program goes on")
                call.drop("it could not be recorded")

    def _answer(self, clean: bool) -> Response:
        head = self._head
        body = bytearray()
        chunks: list[tuple[int, int]] = []
        try:
            for index, piece in self._decode(head.headers, self._pieces):
                if piece:
                    body += piece
                    chunks.append((round((self._arrived[index] - self._started) * 1000), len(piece)))
        except Incomplete:
            if clean:
                raise
        # The provider's time: until the last piece, not until a slow consumer had taken it.
        ended = self._arrived[-1] if self._arrived else _clock()
        self._pieces.clear()
        return Response(
            status=head.status,
            headers=head.headers,
            body=bytes(body),
            chunks=tuple(chunks),
            ms=round((ended - self._started) * 1000),
            http_version=head.http_version,
            reason=head.reason,
        )


class _Undisturbed(local):
    """`with undisturbed:` nothing of this thread is recorded in the middle of the block, but right after it.

    Needed around all that uses the store or a lock of ours: the garbage collector may close forgotten streams at
    any moment, and closing one records it.
    """

    depth = 0

    def __enter__(self) -> None:
        self.depth += 1

    def __exit__(self, *_: object) -> None:
        self.depth -= 1
        if _later:
            self._catch_up()

    def _catch_up(self) -> None:
        while _later and not self.depth:
            try:
                tee, clean = _later.popleft()
            except IndexError:  # another thread was quicker
                return
            tee._done(clean)


undisturbed = _Undisturbed()
_later: deque[tuple[Tee, bool]] = deque()
_lock = Lock()
_open: WeakSet[Tee] = WeakSet()
"""The answers that have not ended yet, as far as they are still in use."""


def settle() -> None:
    """The program ends: what is still open was left by its consumer, who may have read all that matters.

    Python would close the streams too, but only after it has taken apart what recording needs.
    """
    with _lock:
        still = list(_open)
    for tee in still:
        tee.leave()


def _after_fork() -> None:
    """The answers that its parent reads are none of a forked child's."""
    global _lock, _open
    _lock = Lock()
    _open = WeakSet()
    _later.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def pieces(response: Response) -> list[bytes]:
    """The pieces of a recorded answer as they once arrived."""
    body, chunks = response.body, response.chunks
    if len(chunks) < 2:
        return [body] if body else []
    found = []
    start = 0
    for _, length in chunks:
        end = start + length
        found.append(body[start:end])
        start = end
    if start < len(body):  # a hand-edited recording: never lose bytes
        found.append(body[start:])
    return found


def waits(response: Response, pace: float) -> Iterator[float]:
    """The seconds to wait before each of `pieces`; `pace` is the factor on the recorded waits."""
    last = 0
    for ms, _ in response.chunks if len(response.chunks) > 1 else ((response.ms, 0),):
        yield max(0, ms - last) / 1000 * pace
        last = ms
    while True:
        yield 0.0
