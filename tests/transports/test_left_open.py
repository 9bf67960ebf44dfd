"""Streams that a program neither reads to their end nor closes."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from typing import Any

import pytest
from environments import clean

from cachy.stores import jsonl

PROGRAM = """
import sys, httpx
client = httpx.Client()
kept = []
for path in sys.argv[2:]:
    response = client.send(client.build_request("POST", sys.argv[1] + path, json={}), stream=True)
    pieces = response.iter_text()
    text = ""
    while "[DONE]" not in text and "enough" not in text:
        text += next(pieces)
    kept.append((response, pieces))
"""


def test_a_stream_still_open_at_exit(server: Any, store: Any, tmp_path: Any) -> None:
    """What was read up to its end marker is recorded at the latest at exit, and told; what was not is neither."""
    release = threading.Event()

    def whole(handler: Any) -> None:
        handler.head(content_type="text/event-stream", transfer_encoding="chunked")
        handler.chunk(b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: [DONE]\n\n')
        release.wait(60)

    def half(handler: Any) -> None:
        handler.head(content_type="text/event-stream", transfer_encoding="chunked")
        handler.chunk(b'data: {"choices":[{"delta":{"content":"a"}}],"enough":1}\n\n')
        release.wait(60)

    server.on("/v1/chat/completions", whole)
    server.on("/b/v1/chat/completions", half)
    env = clean(CACHY="1", CACHY_HOSTS="127.0.0.1:*", CACHY_STORE=str(store), HOME=str(tmp_path))
    for told in ("1 recorded · 1 not recorded", "1 replayed · 1 not recorded"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, server.url, "/v1/chat/completions", "/b/v1/chat/completions"],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert told in done.stderr
        assert "left before the end" in done.stderr
    assert [call.path for call in server.calls].count("/v1/chat/completions") == 1
    release.set()


def test_the_garbage_collector_may_come_in_the_middle_of_a_write(
    lib: Any, server: Any, using: Any, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that is closed by the collector while another one is recorded is recorded after it."""

    def stream(handler: Any) -> None:
        handler.head(content_type="text/event-stream", transfer_encoding="chunked")
        handler.chunk(b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: [DONE]\n\n')
        handler.end()

    url = server.on("/v1/chat/completions", stream)
    kept: list[Any] = []

    def leave_and_write(fd: int, data: bytes) -> None:
        kept.clear()
        gc.collect()
        write(fd, data)

    write = jsonl._write
    monkeypatch.setattr(jsonl, "_write", leave_and_write)
    with using(), lib.Client() as client:
        response = client.send(client.build_request("POST", url, json={}), stream=True)
        pieces = response.iter_raw()
        next(pieces)
        kept += [response, pieces]
        del response, pieces
        client.get(server.url + "/other")
        assert len(store.read_bytes().splitlines()) == 2
        assert client.post(url, json={}).text.endswith("[DONE]\n\n")
    assert len(server.calls) == 2
