"""A service on loopback that takes uploads as strictly as Google and OpenAI do.

What it is sent it keeps as digests, so that uploads of any size need no memory of it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

BLOCK = 1 << 20


@dataclass
class Session:
    """An upload that the service has under way."""

    size: int
    kind: str = ""
    received: int = 0
    digest: Any = field(default_factory=sha256)
    open: bool = True


class Service:
    """`files` are the SHA-256 digests of what was uploaded whole; `calls` the commands and paths that arrived."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.calls: list[str] = []
        self.sessions: dict[str, Session] = {}
        self.parts: dict[str, tuple[str, bytes]] = {}
        self.failures: list[int] = []
        """For each of the next requests with bytes: fail it (503) after that many of its bytes."""
        self.refuse_starts = 0
        """How many of the next uploads are refused (403)."""
        self.numbers = count(1)
        self.lock = threading.Lock()
        self.meeting: threading.Barrier | None = None
        """Requests with bytes wait for each other here."""
        handler = type("ServiceHandler", (_Handler,), {"service": self})
        self._httpd = _Server(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._httpd.server_port}"
        threading.Thread(target=self._httpd.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self._httpd.shutdown()
        self._httpd.server_close()

    def new_id(self, prefix: str) -> str:
        number = next(self.numbers)
        return prefix + sha256(f"{id(self)}{number}".encode()).hexdigest()[:32]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that hang up are part of the tests


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: Service

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        command = self.headers.get("x-goog-upload-command", "")
        with self.service.lock:
            self.service.calls.append(command or path)
        if command:
            self._start() if command == "start" else self._go_on(command)
        elif path == "/v1/uploads":
            self._create()
        elif path.startswith("/v1/uploads/"):
            _, _, _, upload, verb = path.split("/")
            self._upload(upload, verb)
        else:
            self._store()

    # Google

    def _start(self) -> None:
        self._drain()
        if self._refused():
            return None
        session = self.service.new_id("AB-secret-")
        kind = self.headers["x-goog-upload-header-content-type"]
        size = int(self.headers["x-goog-upload-header-content-length"])
        self.service.sessions[session] = Session(size, kind)
        url = f"{self.service.url}{urlsplit(self.path).path}?upload_id={session}&upload_protocol=resumable"
        return self._json({}, 200, "active", ("x-goog-upload-url", url))

    def _refused(self) -> bool:
        refuse = self.headers.get("x-goog-api-key", "").startswith("wrong") or self.service.refuse_starts > 0
        if refuse:
            self.service.refuse_starts -= 1
            self._json({"error": {"code": 403, "message": "refused"}}, 403)
        return refuse

    def _go_on(self, command: str) -> None:
        (name,) = parse_qs(urlsplit(self.path).query).get("upload_id", [""])
        session = self.service.sessions.get(name)
        if session is None or not session.open:
            self._drain()
            return self._json({"error": {"code": 404, "message": "no such upload"}}, 404)
        if command == "query":
            self._drain()
            received = ("x-goog-upload-size-received", str(session.received))
            return self._json({}, 200, "active", received)
        offset = int(self.headers["x-goog-upload-offset"])
        if offset != session.received:
            self._drain()
            return self._json({"error": {"code": 400, "message": f"{offset} is not the offset"}}, 400)
        if self.service.meeting:
            self.service.meeting.wait(10)
        left = self.service.failures.pop(0) if self.service.failures else None
        for block in self._body():
            taken = block if left is None else block[:left]
            left = None if left is None else left - len(taken)
            session.digest.update(taken)
            session.received += len(taken)
        if left is not None:
            return self._json({"error": {"code": 503, "message": "try again"}}, 503)
        if "finalize" not in command:
            return self._json(None, 200, "active")
        if session.received != session.size:
            return self._json({"error": {"code": 400, "message": "not the size announced"}}, 400)
        session.open = False
        return self._finished(session)

    def _finished(self, session: Session) -> None:
        digest = session.digest.hexdigest()
        self.service.files.append(digest)
        file = {
            "name": self.service.new_id("files/"),
            "mimeType": session.kind,
            "sizeBytes": str(session.received),
            "sha256Hash": digest,
            "state": "ACTIVE",
        }
        self._json({"file": file}, 200, "final")

    # OpenAI

    def _create(self) -> None:
        asked = json.loads(b"".join(self._body()))
        if self._refused():
            return
        upload = self.service.new_id("upload_")
        self.service.sessions[upload] = Session(asked["bytes"])
        self._json(self._about(upload, "pending"))

    def _upload(self, upload: str, verb: str) -> None:
        session = self.service.sessions.get(upload)
        body = b"".join(self._body())
        if session is None or not session.open:
            return self._json({"error": {"message": f"no upload {upload}", "code": "not_found"}}, 404)
        if verb == "parts":
            if self.service.meeting:
                self.service.meeting.wait(10)
            part = self.service.new_id("part_")
            head, _, rest = body.partition(b"\r\n\r\n")
            self.service.parts[part] = (upload, rest[: rest.rindex(head.partition(b"\r\n")[0]) - 2])
            said = {"id": part, "object": "upload.part", "upload_id": upload, "created_at": 1}
            return self._json(said)
        session.open = False
        if verb == "cancel":
            return self._json(self._about(upload, "cancelled"))
        for part in json.loads(body)["part_ids"]:
            owner, data = self.service.parts.get(part, ("", b""))
            if owner != upload:
                return self._json({"error": {"message": f"no part {part} in {upload}"}}, 404)
            session.digest.update(data)
            session.received += len(data)
        if session.received != session.size:
            return self._json({"error": {"message": "not the size announced"}}, 400)
        digest = session.digest.hexdigest()
        self.service.files.append(digest)
        file = {"id": self.service.new_id("file-"), "object": "file", "bytes": session.received,
                "created_at": 1, "filename": digest, "purpose": "batch", "status": "processed"}  # fmt: skip
        return self._json({**self._about(upload, "completed"), "file": file})

    def _about(self, upload: str, status: str) -> dict[str, Any]:
        size = self.service.sessions[upload].size
        return {"id": upload, "object": "upload", "bytes": size, "created_at": 1, "expires_at": 2,
                "filename": "f", "purpose": "batch", "status": status}  # fmt: skip

    # Multipart, and the rest

    def _store(self) -> None:
        digest, size = sha256(), 0
        for block in self._body():
            digest.update(block)
            size += len(block)
        self.service.files.append(digest.hexdigest())
        file = {"id": self.service.new_id("file-"), "object": "file", "bytes": size, "created_at": 1,
                "filename": "f", "purpose": "batch", "status": "processed",
                "sample_type": "batch_request", "source": "upload"}  # fmt: skip
        self._json(file)

    def _body(self) -> Iterator[bytes]:
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("content-length", 0))
        while left and (block := self.rfile.read(min(BLOCK, left))):
            left -= len(block)
            yield block

    def _drain(self) -> None:
        for _ in self._body():
            pass

    def _json(self, value: Any, status: int = 200, upload: str = "", *more: tuple[str, str]) -> None:
        body = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        for name, text in (("x-goog-upload-status", upload), *more):
            if text:
                self.send_header(name, text)
        self.send_header("content-type", "application/json" if body else "text/plain; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
