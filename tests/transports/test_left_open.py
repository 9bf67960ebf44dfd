"""Streams that a program neither reads to their end nor closes."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

from environments import clean

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
        handler.chunk(b'data: {"choices":[]}\n\ndata: [DONE]\n\n')
        release.wait(60)

    def half(handler: Any) -> None:
        handler.head(content_type="text/event-stream", transfer_encoding="chunked")
        handler.chunk(b'data: {"choices":[],"enough":1}\n\n')
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
        assert "before the end of the stream" in done.stderr
    assert [call.path for call in server.calls].count("/v1/chat/completions") == 1
    release.set()
