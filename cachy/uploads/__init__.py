"""Uploads that take several requests: a start that hands out a handle, then the bytes, sent to that handle.

The start does not say which file follows, so the upload is decided when its bytes arrive: they are looked up by
the start and by what they are, never by the handle, which is another one each time. A handle that came out of a
recording is dead at the provider. When, in auto mode, bytes come that are not recorded, the upload becomes real:
`Upload.to_send` names the calls that a transport has to make first (the start, then what was replayed so far).

No I/O here but a temporary file, and no HTTP client: every transport can use it.
"""

from __future__ import annotations

from threading import RLock

from ..exchange import Request, Response
from ..keys import Canonical
from ..notices import in_brief, say_once
from .base import Calls, Upload
from .parts import PartedUpload
from .resumable import ResumableUpload

__all__ = ["Calls", "Upload", "Uploads"]

_KINDS: tuple[type[Upload], ...] = (ResumableUpload, PartedUpload)
_MOST = 256  # uploads remembered at once: a program may start some and never end them


class Uploads:
    """The uploads that the program has under way, by their handles."""

    def __init__(self, keeping: bool) -> None:
        """`keeping`: an upload from a recording may become real, so what is replayed of it has to be kept."""
        self._keeping = keeping
        self._known: dict[str, Upload] = {}
        self._lock = RLock()  # the garbage collector may end an answer, which is noted, at any moment

    def of(self, request: Request) -> Upload | None:
        """The upload that `request` goes on with, or None, as for nearly every request."""
        # Every handle is the id of an upload, called `upload_id` or below a path `/uploads/`.
        if not self._known or "upload" not in request.url:
            return None
        for kind in _KINDS:
            upload = self._known.get(kind.handle_in(request))
            if upload is not None:
                return upload
        return None

    def noted(
        self, upload: Upload | None, request: Request, wanted: Canonical, response: Response, live: bool
    ) -> Response:
        """Take note of the answer to a request. Returns it, with a handle of its own should this be the start of
        an upload from a recording of which another is under way."""
        if upload is None and "upload" not in request.url:
            return response
        with self._lock:
            if upload is not None:
                try:
                    upload.took(request, wanted, response, live)
                except OSError as problem:
                    say_once(
                        f"an upload could not be kept on disk ({in_brief(problem)}); it can only be replayed"
                    )
                self._know(upload)
                return response
            for kind in _KINDS:
                if handle := kind.handle_out(request, response):
                    former = self._known.get(handle)
                    if former is not None and not former.done and not live:
                        response, handle = kind.renamed(response, handle)
                    # What is stored, and so what is found, is redacted already.
                    upload = kind(request, wanted.data(), handle, response, live)
                    upload.keeping = self._keeping
                    self._know(upload)
                    break
            return response

    def _know(self, upload: Upload) -> None:
        for handle in upload.handles:
            former = self._known.get(handle)
            if former in (None, upload) or former.done:  # one recording may tell two uploads the same id
                self._known.pop(handle, None)  # the dictionary ends with those that went on last
                self._known[handle] = upload
        while len(self._known) > _MOST:
            del self._known[next(iter(self._known))]
