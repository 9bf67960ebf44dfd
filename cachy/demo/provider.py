"""An OpenAI-shaped chat provider on loopback that takes as long as a real one. For `cachy demo` only."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

THINKING = 1.2
"""Seconds until a JSON answer, or the first word of a stream."""
STREAMING = 1.5
"""Seconds from the first to the last word of a stream."""

# Each answer says when it was made: a replayed one repeats the time of its recording.
_JSON = "A recording is one request with its answer. Written live at {time}."
_STREAM = "A replay gives the same answer again, word by word, without asking me. Written live at {time}."


@contextmanager
def serving() -> Iterator[str]:
    """Serve on a free port of 127.0.0.1 while the block runs; gives the base URL. Raises OSError."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
        time.sleep(THINKING)
        now = time.time()
        clock = f"{time.strftime('%H:%M:%S', time.localtime(now))}.{int(now % 1 * 1000):03d}"
        if question.get("stream"):
            self._stream(_STREAM.format(time=clock))
        else:
            message = {"role": "assistant", "content": _JSON.format(time=clock)}
            body = _chunk("chat.completion", {"message": message}, "stop")
            self._head("application/json", ("content-length", str(len(body))))
            self.wfile.write(body)

    def _stream(self, text: str) -> None:
        self._head("text/event-stream", ("transfer-encoding", "chunked"))
        words = [word + " " for word in text.split()]
        words[-1] = words[-1].rstrip()
        for number, word in enumerate(words):
            if number:
                time.sleep(STREAMING / (len(words) - 1))
            self._event(_chunk("chat.completion.chunk", {"delta": {"content": word}}, None))
        self._event(_chunk("chat.completion.chunk", {"delta": {}}, "stop"))
        self._event(b"[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _head(self, kind: str, length: tuple[str, str]) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header(*length)
        self.end_headers()

    def _event(self, data: bytes) -> None:
        event = b"data: " + data + b"\n\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        """Say nothing: the terminal belongs to the demo."""


def _chunk(kind: str, content: dict[str, Any], finish: str | None) -> bytes:
    choice = {"index": 0, **content, "finish_reason": finish}
    head = {"id": "chatcmpl-demo", "object": kind, "created": int(time.time()), "model": "demo-1"}
    return json.dumps({**head, "choices": [choice]}, separators=(",", ":")).encode()
