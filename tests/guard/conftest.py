"""A provider of its own name on loopback, and sessions that know it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import cachy
from cachy import children, guard, notices, tally

HOST = "api.guarded.test"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


class Provider:
    """Answers every request with `{}`; `greeted` is how many connections arrived."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.greeted = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:  # it was closed
                return
            self.greeted += 1
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    @staticmethod
    def _answer(connection: socket.socket) -> None:
        with connection:
            try:
                while request := connection.recv(65536):
                    if request.endswith(b"\r\n\r\n"):
                        connection.sendall(ANSWER)
            except OSError:
                pass

    def close(self) -> None:
        # A close alone does not wake the thread that waits in accept.
        self._socket.settimeout(0)
        with socket.create_connection(("127.0.0.1", self.port)):
            pass
        self._socket.close()
        self._thread.join(5)


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    """The provider, found under `HOST` by every look-up of this process."""
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *rest: Any, **named: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        return real("127.0.0.1" if name and name.endswith(".test") else host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    serving = Provider()
    yield serving
    serving.close()


@pytest.fixture
def enable(
    provider: Provider, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., None]]:
    """`cachy.enable(mode)` for the provider and nobody else; what the process said before is forgotten."""
    for name in ("CACHY", "CI", tally.RUN_DIR):
        monkeypatch.delenv(name, raising=False)
    tally.reset()
    for said in (guard._told, children._told, notices._said):
        said.clear()

    def start(mode: Any = "auto", **settings: Any) -> None:
        settings.setdefault("hosts", [f"{HOST}:{provider.port}"])
        cachy.enable(mode, store=tmp_path / "calls.jsonl", summary=False, **settings)

    yield start
    cachy.disable()
    tally.reset()
