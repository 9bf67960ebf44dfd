"""What uploads of every kind share."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from threading import Lock
from typing import IO, TYPE_CHECKING, Any
from uuid import uuid4

from ..exchange import Body, Headers, Request, Response
from ..keys import Canonical, Rules

if TYPE_CHECKING:
    from ..providers import Claim

Form = dict[str, Any]
"""A canonical request as an object."""

Calls = Generator[Request | None, Response | None, Request | None]
"""The calls to make before one of the program's own: see `Upload.to_send`."""

_BLOCK = 1024 * 1024


class Upload(ABC):
    """One upload, from its start on, as one program sees it."""

    def __init__(self, start: Request, form: Form, handle: str, response: Response, live: bool) -> None:
        """`start` is the program's request (never stored: it holds the key), `form` its canonical form;
        `response` the answer, which gave the program the `handle`; `live` whether it is the provider's."""
        self.start = start
        self.form = form
        self.handles = {handle}
        """The names under which the program may go on with this upload."""
        self.keeping = False
        """Whether this may become real, so that what is replayed of it has to be kept."""
        self.recorded = not live
        """Whether the handle comes from a recording, so that the provider does not know it."""
        self.live = live
        """Whether the provider knows this upload, under this handle or another."""
        self.done = False
        self._busy = False
        self._lock = Lock()

    @staticmethod
    @abstractmethod
    def handle_in(request: Request) -> str:
        """The handle that a request is sent to, or ""."""

    @staticmethod
    @abstractmethod
    def handle_out(request: Request, response: Response) -> str:
        """The handle that an answer gives out; "" when the request did not start an upload of this kind."""

    @staticmethod
    @abstractmethod
    def renamed(response: Response, handle: str) -> tuple[Response, str]:
        """The answer to a start with another handle, of the same length, and that handle."""

    @abstractmethod
    def canonical(self, request: Request, claim: Claim, rules: Rules) -> Canonical:
        """The canonical form of a request of this upload: its start and its bytes in place of the handle."""

    def progress(self, request: Request) -> Response | None:
        """When a request asks how far the upload has come: what to say while only a recording knows it."""
        return None

    @abstractmethod
    def took(self, request: Request, wanted: Canonical, response: Response, live: bool) -> None:
        """A request was answered, by the provider (`live`) or from a recording. Raises OSError."""

    @abstractmethod
    def _opened(self, answer: Response) -> bool:
        """The start was made again, now live; False when the provider refused it."""

    @abstractmethod
    def _owed(self, request: Request) -> Request | None:
        """The next request that was replayed, and that the provider must have before `request`."""

    @abstractmethod
    def _paid(self, owed: Request, answer: Response) -> bool:
        """The provider was sent what it was owed; False when it refused it."""

    @abstractmethod
    def _addressed(self, request: Request) -> Request:
        """`request` with the handles that the provider knows."""

    def to_send(self, request: Request) -> Calls:
        """How to send `request` live, when it may be that only a recording knows this upload.

        Yields the calls to make first, each to be answered (`send`) with the whole answer to it; or None: wait a
        moment, another task is at it. Returns the request to send in place of the program's; or None: a call was
        refused, and its answer is the one to give the program.
        """
        while not self._turn():
            yield None
        try:
            if not self.live:
                if not self._opened(_whole((yield self.start))):
                    return None
                self.live = True
            while (owed := self._owed(request)) is not None:
                if not self._paid(owed, _whole((yield owed))):
                    return None
            return self._addressed(request)
        finally:
            self._busy = False

    def _turn(self) -> bool:
        with self._lock:
            if self._busy:
                return False
            self._busy = True
            return True


def _whole(answer: Response | None) -> Response:
    if answer is None:
        raise TypeError("a call that has to come first was not answered")
    return answer


class Spool:
    """Bytes of an upload that were replayed, kept on disk."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the upload
        self._lock = Lock()
        self.size = 0

    def write(self, at: int, body: Body) -> None:
        """Put `body` at the position `at`; what was there or beyond is forgotten."""
        with self._lock:
            self._file.seek(at)
            self._file.writelines(body.chunks())
            self.size = at + body.size

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from `start` to `end`, in blocks of at most 1 MiB."""
        while start < end:
            with self._lock:
                self._file.seek(start)
                block = self._file.read(min(_BLOCK, end - start))
            if not block:
                return
            start += len(block)
            yield block

    def __del__(self) -> None:
        if hasattr(self, "_file"):  # there may be no temporary files here
            self._file.close()


class Kept(Body):
    """A body that lies in a spool."""

    __slots__ = ("_spool", "_start")

    def __init__(self, spool: Spool, start: int, size: int) -> None:
        super().__init__()
        self.data = None
        self.size = size
        self._spool = spool
        self._start = start

    def chunks(self) -> Iterator[bytes]:
        """As `Body` has it."""
        return self._spool.read(self._start, self._start + self.size)


def with_headers(request: Request, changed: dict[str, str]) -> Headers:
    """The headers of `request`, some of them with other values, its length told by `content-length` alone."""
    without = {*changed, "transfer-encoding"} if "content-length" in changed else changed.keys()
    return (*(pair for pair in request.headers if pair[0] not in without), *changed.items())


def varied(text: str) -> str:
    """A random text as long as `text`, but for eight characters at least."""
    length = max(8, len(text))
    return (uuid4().hex * (length // 32 + 1))[:length]
