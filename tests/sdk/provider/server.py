"""HTTP/1.1 with keep-alive: requests in, JSON, events, lines and bytes out. Nothing here knows an API."""

from __future__ import annotations

import email
import email.policy
import gzip
import json
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Request:
    """One request as it arrived. `number` counts up, so that no two live answers are alike."""

    number: int
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    match: re.Match[str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def host(self) -> str:
        return "http://" + self.headers["host"]

    def part(self, name: str) -> tuple[str, bytes]:
        """File name and content of a part of a multipart body."""
        head = f"content-type: {self.headers['content-type']}\r\n\r\n".encode()
        whole = email.message_from_bytes(head + self.body, policy=email.policy.HTTP)
        for part in whole.iter_parts():  # type: ignore[attr-defined]
            if part.get_param("name", header="content-disposition") == name:
                return part.get_filename(""), part.get_payload(decode=True)
        raise LookupError(name)


@dataclass(frozen=True)
class Answer:
    """What goes back: in one piece with its length, or in several as HTTP chunks."""

    pieces: Sequence[bytes]
    kind: str
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200
    cut: bool = False
    """Whether the connection ends before the answer does."""


Route = tuple[str, str, Callable[[Request], Answer]]
"""Method, regular expression for the whole path, and the function that answers."""


def whole(value: Any, **headers: str) -> Answer:
    """A JSON document."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer([json.dumps(value, ensure_ascii=False).encode()], "application/json", named)


def events(values: Iterable[Any], named: bool = False, **headers: str) -> Answer:
    """Server-sent events; `named`: each says its `type` in an `event:` line too."""
    texts = []
    for value in values:
        name = f"event: {value['type']}\n" if named and isinstance(value, dict) else ""
        data = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        texts.append(f"{name}data: {data}\n\n".encode())
    extra = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(_torn(texts), "text/event-stream; charset=utf-8", extra)


def lines(values: Iterable[Any]) -> Answer:
    """One JSON document on each line."""
    return Answer(
        _torn([json.dumps(value, ensure_ascii=False).encode() + b"\n" for value in values]),
        "application/x-ndjson",
    )


def binary(pieces: Sequence[bytes], kind: str) -> Answer:
    return Answer(pieces, kind)


def _torn(texts: list[bytes]) -> list[bytes]:
    """Networks do not respect events: every third one arrives in two pieces, be it within a character."""
    pieces = []
    for index, text in enumerate(texts):
        middle = len(text) // 2 if index % 3 == 2 else len(text)
        pieces += [piece for piece in (text[:middle], text[middle:]) if piece]
    return pieces


class Provider:
    """A server on a free port of loopback that counts what arrives."""

    environment: dict[str, str] = {}
    """What a program needs to find it, beside the variables that name a URL."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.calls: list[Request] = []
        self.faults: list[Answer] = []
        """What the next requests are answered with, whatever they ask."""
        self.routes = [(method, re.compile(pattern), answer) for method, pattern, answer in routes]
        self.lock = threading.Lock()
        handler = type("BoundHandler", (_Handler,), {"provider": self})
        self.knocks = 0
        """Connections that were asked for after `hang_up`."""
        self._httpd = _Httpd(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._httpd.server_port}"
        self._thread: threading.Thread | None = threading.Thread(
            target=self._httpd.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()

    def hang_up(self) -> None:
        """From now on connections are closed at once, and counted."""

        def refuse(request: Any, client_address: Any) -> bool:
            with self.lock:
                self.knocks += 1
            return False

        self._httpd.verify_request = refuse  # type: ignore[method-assign]

    def stop(self) -> None:
        """From now on connections are refused."""
        if self._thread:
            self._httpd.shutdown()
            self._httpd.server_close()
            self._thread.join()
            self._thread = None


class _Httpd(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # clients may keep their connections open

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer's head and body are two writes
    provider: Provider

    def answer(self) -> None:
        body = self._body()
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        found = (
            (function, match)
            for method, pattern, function in self.provider.routes
            if method == self.command and (match := pattern.fullmatch(url.path))
        )
        function, match = next(found, (None, None))
        if function is None or match is None:
            missing = json.dumps({"error": {"message": f"nobody answers {self.command} {url.path}"}}).encode()
            self._send(0, Answer([missing], "application/json", status=404))
            return
        with self.provider.lock:
            number = len(self.provider.calls) + 1
            query = dict(parse_qsl(url.query, keep_blank_values=True))
            request = Request(number, self.command, url.path, query, headers, body, match)
            self.provider.calls.append(request)
            fault = self.provider.faults.pop(0) if self.provider.faults else None
        self._send(number, fault or function(request))

    do_GET = do_POST = do_DELETE = answer

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, number: int, answer: Answer) -> None:
        pieces = answer.pieces
        self.send_response(answer.status)
        self.send_header("content-type", answer.kind)
        # What real providers send along, to see that it does no harm.
        self.send_header("set-cookie", f"session={number}; HttpOnly")
        self.send_header("x-ratelimit-remaining-requests", str(1000 - number))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.kind == "application/json" and "gzip" in self.headers.get("accept-encoding", ""):
            pieces = [gzip.compress(b"".join(pieces), 1)]
            self.send_header("content-encoding", "gzip")
        if len(pieces) == 1 and not answer.cut:
            self.send_header("content-length", str(len(pieces[0])))
            self.end_headers()
            self.wfile.write(pieces[0])
            return
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        if answer.cut:
            self.close_connection = True
            return
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
