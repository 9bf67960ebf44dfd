"""A small server on loopback that answers as OpenAI, Anthropic and Gemini do; each answer says how many came before.

Two live calls are never answered alike, so that an answer seen twice must have been replayed.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class _Provider(ThreadingHTTPServer):
    daemon_threads = True
    answered = 0


@contextmanager
def provider() -> Iterator[str]:
    """The URL of a server that is gone after the block."""
    with _Provider(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Provider

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["content-length"]))
        path = self.path.partition("?")[0]
        self.server.answered += 1
        words = f"answer {self.server.answered}"
        if path.startswith("/upload/"):
            self._gemini_upload(words)
            return
        asked = {} if path == "/v1/files" else json.loads(raw)
        # Gemini's versions differ, and its last segment ends in the method.
        shape = path.rpartition(":")[2]
        if asked.get("stream") or shape == "streamGenerateContent":
            self._events(_EVENTS[shape](words))
        else:
            self._json(_OBJECTS[shape](words, asked))

    def _gemini_upload(self, words: str) -> None:
        if self.headers["x-goog-upload-command"] == "start":
            url = f"http://{self.headers['host']}/upload/session"
            self._json({}, ("x-goog-upload-url", url), ("x-goog-upload-status", "active"))
        else:
            self._json({"file": _gemini_file(words)}, ("x-goog-upload-status", "final"))

    def _json(self, value: Any, *headers: tuple[str, str]) -> None:
        body = json.dumps(value).encode()
        self._head(("content-type", "application/json"), ("content-length", str(len(body))), *headers)
        self.wfile.write(body)

    def _events(self, events: list[str]) -> None:
        self._head(("content-type", "text/event-stream"), ("transfer-encoding", "chunked"))
        for event in [*events, ""]:
            piece = event.encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))

    def _head(self, *headers: tuple[str, str]) -> None:
        self.send_response(200)
        for name, value in (*headers, ("request-id", f"req_{self.server.answered}")):
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


# OpenAI


def _chat(words: str, asked: Any) -> Any:
    if asked.get("tools"):
        call = {"name": "look_up", "arguments": json.dumps({"city": words})}
        message = {"content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": call}]}
    elif asked.get("response_format"):
        message = {"content": json.dumps({"city": words})}
    else:
        message = {"content": words}
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    facts = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-5-mini"}
    return {**facts, "choices": [choice], "usage": usage}


def _chat_events(words: str) -> list[str]:
    def chunk(delta: Any, reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        facts = {"id": "chatcmpl-2", "object": "chat.completion.chunk", "created": 1, "model": "gpt-5-mini"}
        return f"data: {json.dumps({**facts, 'choices': [choice]})}\n\n"

    return [*(chunk({"content": word}) for word in words.split()), chunk({}, "stop"), "data: [DONE]\n\n"]


def _response(words: str, _asked: Any) -> Any:
    text = {"type": "output_text", "text": words, "annotations": []}
    message = {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [text],
    }
    facts = {"id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-5-mini", "tools": []}
    return {**facts, "status": "completed", "output": [message], "parallel_tool_calls": True}


def _embeddings(words: str, _asked: Any) -> Any:
    vector = {"object": "embedding", "index": 0, "embedding": [float(words.split()[1]), 0.25]}
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    return {"object": "list", "data": [vector], "model": "text-embedding-3-small", "usage": usage}


def _file(words: str, _asked: Any) -> Any:
    facts = {"id": f"file-{words.split()[1]}", "object": "file", "bytes": 3, "created_at": 1}
    return {**facts, "filename": "notes.jsonl", "purpose": "batch", "status": "processed"}


# Anthropic


def _message(words: str, asked: Any) -> Any:
    content: Any = {"type": "text", "text": words}
    if asked.get("tools"):
        content = {"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {"city": words}}
    facts = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-6"}
    usage = {"input_tokens": 3, "output_tokens": 5}
    return {**facts, "content": [content], "stop_reason": "end_turn", "stop_sequence": None, "usage": usage}


def _message_events(words: str) -> list[str]:
    start = {**_message("", {}), "content": [], "stop_reason": None}
    usage = {"input_tokens": 3, "output_tokens": 5}
    deltas = [{"index": 0, "delta": {"type": "text_delta", "text": word}} for word in words.split()]
    return [
        f"event: {kind}\ndata: {json.dumps({'type': kind, **facts})}\n\n"
        for kind, facts in [
            ("message_start", {"message": start}),
            ("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
            *(("content_block_delta", delta) for delta in deltas),
            ("content_block_stop", {"index": 0}),
            ("message_delta", {"delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage}),
            ("message_stop", {}),
        ]
    ]


# Gemini


def _content(words: str, asked: Any) -> Any:
    part: Any = {"text": words}
    if asked.get("tools"):
        part = {"functionCall": {"name": "look_up", "args": {"city": words}}}
    elif "responseMimeType" in asked.get("generationConfig", {}):
        part = {"text": json.dumps({"city": words})}
    return {**_candidate(part, "STOP"), "modelVersion": "gemini-2.5-flash"}


def _candidate(part: Any, reason: str | None) -> Any:
    finish = {"finishReason": reason} if reason else {}
    return {"candidates": [{"content": {"parts": [part], "role": "model"}, "index": 0, **finish}]}


def _content_events(words: str) -> list[str]:
    *first, last = [{"text": word} for word in words.split()]
    chunks = [*(_candidate(part, None) for part in first), _candidate(last, "STOP")]
    return [f"data: {json.dumps(chunk)}\r\n\r\n" for chunk in chunks]


def _gemini_file(words: str) -> Any:
    return {"name": f"files/{words.split()[1]}", "uri": "https://example.com/file", "state": "ACTIVE"}


_OBJECTS = {
    "/v1/chat/completions": _chat,
    "/v1/responses": _response,
    "/v1/embeddings": _embeddings,
    "/v1/files": _file,
    "/v1/messages": _message,
    "/v1/messages/count_tokens": lambda words, _: {"input_tokens": int(words.split()[1])},
    "generateContent": _content,
    "batchEmbedContents": lambda words, _: {"embeddings": [{"values": [float(words.split()[1])]}]},
}
_EVENTS = {
    "/v1/chat/completions": _chat_events,
    "/v1/messages": _message_events,
    "streamGenerateContent": _content_events,
}
