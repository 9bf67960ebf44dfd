"""A server on loopback whose answers each test scripts byte by byte, and the two client libraries."""

from __future__ import annotations

import importlib
import importlib.util
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import cachy

Answer = Callable[["Handler"], None]


@dataclass
class Call:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Handler(BaseHTTPRequestHandler):
    """Reads any body (length or chunked) and lets the test's function write the answer."""

    protocol_version = "HTTP/1.1"
    scripted: Scripted

    def answer(self) -> None:
        body = self._read_body()
        path = self.path.partition("?")[0]
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.scripted.calls.append(Call(self.command, self.path, headers, body))
        try:
            self.scripted.answers.get(path, self._echo)(self)
        except (BrokenPipeError, ConnectionResetError):
            self.scripted.hung_up.set()
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

    def _read_body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    @staticmethod
    def _echo(handler: Handler) -> None:
        handler.whole(f'{{"call":{len(handler.scripted.calls)}}}'.encode())

    def head(self, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def whole(self, body: bytes, status: int = 200, **headers: str) -> None:
        headers.setdefault("content_type", "application/json")
        self.head(status, content_length=str(len(body)), **headers)
        if self.command != "HEAD":
            self.wfile.write(body)

    def chunk(self, piece: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.flush()

    def end(self) -> None:
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: Any) -> None:
        pass


@dataclass
class Scripted:
    """`on(path, answer)` scripts a path; `calls` are the requests that arrived."""

    url: str = ""
    calls: list[Call] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    hung_up: threading.Event = field(default_factory=threading.Event)

    def on(self, path: str, answer: Answer) -> str:
        self.answers[path] = answer
        return self.url + path


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that hang up are part of the tests


@pytest.fixture
def server() -> Iterator[Scripted]:
    scripted = Scripted()
    handler = type("ScriptedHandler", (Handler,), {"scripted": scripted})
    with _Server(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        scripted.url = f"http://127.0.0.1:{httpd.server_port}"
        yield scripted
        httpd.shutdown()
        thread.join()


@pytest.fixture(params=[name for name in ("httpx", "httpx2") if importlib.util.find_spec(name)])
def lib(request: pytest.FixtureRequest) -> Any:
    """httpx, then httpx2 (which needs Python 3.11)."""
    return importlib.import_module(request.param)


@pytest.fixture
def store(tmp_path: Any) -> Any:
    return tmp_path / "calls.jsonl"


@pytest.fixture
def using(store: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """`cachy.using(mode)` on a store of the test's own that covers the loopback server."""
    monkeypatch.delenv("CACHY", raising=False)
    monkeypatch.delenv("CI", raising=False)

    def session(mode: str = "auto", **settings: Any) -> Any:
        settings.setdefault("store", store)
        settings.setdefault("hosts", ["127.0.0.1:*"])
        return cachy.using(mode, summary=False, **settings)  # type: ignore[arg-type]

    yield session
    cachy.disable()
