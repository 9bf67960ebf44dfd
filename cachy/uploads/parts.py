"""OpenAI's uploads: an id, parts that get ids of their own, and the completion, which lists them.

A part is looked up by the start and its own bytes, a completion by the bytes of its parts.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..exchange import Body, Request, Response
from ..keys import Canonical, Rules, canonical, from_object
from .base import Form, Kept, Spool, Upload, varied, with_headers

if TYPE_CHECKING:
    from ..providers import Claim

_GOES_ON = re.compile(r"/uploads/([^/]+)/(?:parts|complete|cancel)/?$")


class PartedUpload(Upload):
    """An upload whose handle is its id."""

    def __init__(self, start: Request, form: Form, handle: str, response: Response, live: bool) -> None:
        super().__init__(start, form, handle, response, live)
        self._real_id = handle
        self._named: dict[str, str] = {}
        """What stands for the id of a part in a canonical request."""
        self._real: dict[str, str] = {}
        """The ids at the provider of parts that the program knows by recorded ones."""
        self._replayed: dict[str, Request] = {}
        """The parts that the provider does not have, by the ids that the program knows."""
        self._spool: Spool | None = None

    @staticmethod
    def handle_in(request: Request) -> str:
        found = _GOES_ON.search(urlsplit(request.url).path)
        return found[1] if found else ""

    @staticmethod
    def handle_out(request: Request, response: Response) -> str:
        if request.method != "POST" or not urlsplit(request.url).path.rstrip("/").endswith("/uploads"):
            return ""
        said = _object(response)
        return _id(said) if said.get("object") == "upload" else ""

    @staticmethod
    def renamed(response: Response, handle: str) -> tuple[Response, str]:
        kind, dash, rest = handle.rpartition("_")
        new = kind + dash + varied(rest)
        return replace(response, body=response.body.replace(handle.encode(), new.encode())), new

    def canonical(self, request: Request, claim: Claim, rules: Rules) -> Canonical:
        form = canonical(self._readdressed(request, "-", self._named), claim, rules).data()
        return from_object({**form, "upload": self.form})

    def took(self, request: Request, wanted: Canonical, response: Response, live: bool) -> None:
        said = _object(response)
        if isinstance(said.get("upload_id"), str):
            # An upload that has become real has two ids; programs may see both.
            self.handles.add(said["upload_id"])
        if said.get("object") == "upload.part" and (part := _id(said)):
            self._named[part] = "blake2b:" + from_object(wanted.data().get("body", {})).key
            if self.keeping and not live:
                self._spool = self._spool or Spool()
                start = self._spool.size
                self._spool.write(start, request.body)
                self._replayed[part] = replace(request, body=Kept(self._spool, start, request.body.size))
        elif said.get("object") == "upload" and said.get("status") != "pending":
            self.done = True
            self._replayed.clear()
            self._spool = None

    def _opened(self, answer: Response) -> bool:
        self._real_id = self.handle_out(self.start, answer)
        self.handles.add(self._real_id)
        return bool(self._real_id)

    def _owed(self, request: Request) -> Request | None:
        if urlsplit(request.url).path.rstrip("/").endswith("/cancel"):
            return None
        return next((self._addressed(part) for part in self._replayed.values()), None)

    def _paid(self, owed: Request, answer: Response) -> bool:
        real = _id(_object(answer))
        if real:
            part = next(iter(self._replayed))
            del self._replayed[part]
            self._real[part] = real
        return bool(real)

    def _addressed(self, request: Request) -> Request:
        return self._readdressed(request, self._real_id, self._real)

    def _readdressed(self, request: Request, upload: str, parts: dict[str, str]) -> Request:
        """`request` with another id of the upload in its path, and other ids of parts in its body."""
        url = urlsplit(request.url)
        given = self.handle_in(request)
        path = url.path.replace(f"/uploads/{given}/", f"/uploads/{upload}/")
        request = replace(request, url=url._replace(path=path).geturl())
        listed = _json(request.body.data) if path.rstrip("/").endswith("/complete") else None
        if not isinstance(listed, dict) or not isinstance(listed.get("part_ids"), list):
            return request
        ids = [parts.get(part, part) if isinstance(part, str) else part for part in listed["part_ids"]]
        if ids == listed["part_ids"]:
            return request
        body = Body(json.dumps({**listed, "part_ids": ids}).encode())
        return replace(request, body=body, headers=with_headers(request, {"content-length": str(body.size)}))


def _json(raw: bytes | None) -> Any:
    try:
        return json.loads(raw or b"")
    except (ValueError, RecursionError):
        return None


def _object(response: Response) -> dict[str, Any]:
    said = _json(response.body) if 200 <= response.status < 300 else None
    return said if isinstance(said, dict) else {}


def _id(said: dict[str, Any]) -> str:
    found = said.get("id")
    return found if isinstance(found, str) else ""
