"""Google's resumable uploads: a session URL, and the bytes in one or more requests to it.

An answer depends on the start, on the bytes that the service has by then, and on whether they are all. So that
is what a request is looked up by, however the file was cut and however often a piece had to be sent again.
"""

from __future__ import annotations

import re
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from ..exchange import Body, Request, Response
from ..keys import Canonical, Rules, from_object
from .base import Form, Kept, Spool, Upload, varied, with_headers

if TYPE_CHECKING:
    from ..providers import Claim

_URL = "x-goog-upload-url"
_COMMAND = "x-goog-upload-command"
_OFFSET = "x-goog-upload-offset"
_STATUS = "x-goog-upload-status"
_ID = re.compile(r"([?&]upload_id=)([^&#]+)")


class ResumableUpload(Upload):
    """An upload whose handle is the id in its session URL: clients may change the host."""

    def __init__(self, start: Request, form: Form, handle: str, response: Response, live: bool) -> None:
        super().__init__(start, form, handle, response, live)
        self._given = self._real = response.header(_URL)
        self._digests = {0: blake2b(digest_size=16)}
        """The digest of all bytes before an offset."""
        self._last = (0, Body())
        self._spool: Spool | None = None
        self._replayed = 0
        """How many bytes the program knows to have arrived."""
        self._has = 0
        """How many of them the service has."""

    @staticmethod
    def handle_in(request: Request) -> str:
        return _handle(request.url)

    @staticmethod
    def handle_out(request: Request, response: Response) -> str:
        starts = "start" in _commands(request) and 200 <= response.status < 300
        return _handle(response.header(_URL)) if starts else ""

    @staticmethod
    def renamed(response: Response, handle: str) -> tuple[Response, str]:
        url = response.header(_URL)
        new = _ID.sub(lambda found: found[1] + varied(found[2]), url)
        headers = tuple((name, new if name == _URL else value) for name, value in response.headers)
        return replace(response, headers=headers), _handle(new)

    def canonical(self, request: Request, claim: Claim, rules: Rules) -> Canonical:
        offset = _offset(request)
        before = self._before(offset)
        digest = before.copy()
        for chunk in request.body.chunks():
            digest.update(chunk)
        end = offset + request.body.size
        # The client goes on behind this piece or within it, or sends it again; never anything before it.
        self._digests = {0: self._digests[0], offset: before, end: digest}
        self._last = (offset, request.body)
        form: Form = {
            "method": request.method,
            "host": claim.host,
            "path": self.form["path"],
            "headers": {_COMMAND: ", ".join(_commands(request))},
            "file": {"digest": "blake2b:" + digest.hexdigest(), "size": end},
            "upload": self.form,
        }
        return from_object(form)

    def _before(self, offset: int) -> blake2b:
        """The digest of all bytes before an offset."""
        known = self._digests.get(offset)
        if known is not None:
            return known
        start, body = self._last
        if not start < offset < start + body.size:
            # Not bytes that were seen here, and not to be taken for any that were.
            return blake2b(f"from {offset}".encode(), digest_size=16)
        # The service has a part of the last piece only, and the client goes on from there.
        digest = self._digests[start].copy()
        left = offset - start
        for chunk in body.chunks():
            digest.update(chunk[:left])
            left -= len(chunk[:left])
        return digest

    def progress(self, request: Request) -> Response | None:
        if _commands(request) != ["query"]:
            return None
        return Response(200, ((_STATUS, "active"), ("x-goog-upload-size-received", str(self._replayed))))

    def took(self, request: Request, wanted: Canonical, response: Response, live: bool) -> None:
        status = response.header(_STATUS)
        if status in ("final", "cancelled"):
            self.done = True
            self._spool = None
            self._last = (0, Body())
        elif status == "active" and not live:
            self._replayed = _offset(request) + request.body.size
            if self.keeping:
                self._spool = self._spool or Spool()
                self._spool.write(_offset(request), request.body)

    def _opened(self, answer: Response) -> bool:
        self._real = answer.header(_URL)
        return bool(self.handle_out(self.start, answer))

    def _owed(self, request: Request) -> Request | None:
        until = min(_offset(request), self._replayed)
        if self._spool is None or self._has >= until:
            return None
        # All in one request, whatever pieces it came in: whole pieces are multiples of the service's granularity.
        size = until - self._has
        headers = {_COMMAND: "upload", _OFFSET: str(self._has), "content-length": str(size)}
        return self._addressed(
            Request("POST", request.url, with_headers(request, headers), Kept(self._spool, self._has, size))
        )

    def _paid(self, owed: Request, answer: Response) -> bool:
        if answer.header(_STATUS) != "active":
            return False
        self._has += owed.body.size
        return True

    def _addressed(self, request: Request) -> Request:
        if self._real == self._given:
            return request
        asked, given, real = urlsplit(request.url), urlsplit(self._given), urlsplit(self._real)
        if asked[:2] != given[:2]:
            real = real._replace(scheme=asked.scheme, netloc=asked.netloc)  # the client sends it elsewhere
        return replace(request, url=urlunsplit(real), headers=with_headers(request, {"host": real.netloc}))


def _handle(url: str) -> str:
    found = _ID.search(url)
    return unquote(found[2]) if found else ""


def _commands(request: Request) -> list[str]:
    return [command.strip().lower() for command in request.header(_COMMAND).split(",") if command]


def _offset(request: Request) -> int:
    return int(request.header(_OFFSET, "0"))
