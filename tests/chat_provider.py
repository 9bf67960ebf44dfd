"""An OpenAI-shaped provider on loopback that counts its calls, and a module that asks it."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ASK = """
import os

import httpx

URL = os.environ["OPENAI_BASE_URL"] + "/chat/completions"


def asked(prompt):
    body = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": prompt}]}
    return {"json": body, "headers": {"authorization": "Bearer sk-" + "a1" * 20}}


def ask(prompt):
    answer = httpx.post(URL, **asked(prompt))
    answer.raise_for_status()
    return answer.json()["choices"][0]["message"]["content"]


async def ask_async(prompt):
    async with httpx.AsyncClient() as client:
        answer = await client.post(URL, **asked(prompt))
    answer.raise_for_status()
    return answer.json()["choices"][0]["message"]["content"]
"""


class Provider:
    """What an OpenAI-shaped server was asked; `answer` of each question says the how-manieth call it was."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                question = json.loads(self.rfile.read(int(self.headers["content-length"])))
                prompt = question["messages"][-1]["content"]
                outer.asked.append(prompt)
                content = f"{prompt}! ({len(outer.asked)})"
                choice = {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": content},
                }
                usage = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}
                facts = {
                    "object": "chat.completion",
                    "model": "gpt-5-mini",
                    "choices": [choice],
                    "usage": usage,
                }
                body = json.dumps(facts).encode()
                self.send_response(500 if prompt == "fail" else 200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._up = True

    def stop(self) -> None:
        """Be gone: what still calls is refused."""
        if self._up:
            self._up = False
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
