"""A server that numbers its answers, and one call through each client."""

from __future__ import annotations

import asyncio
import http.server
import json
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cachy

served = 0


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        global served
        served += 1
        body = json.dumps({"n": served}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


_server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
threading.Thread(target=_server.serve_forever, daemon=True).start()
URL = f"http://127.0.0.1:{_server.server_port}/v1/things"


def ask(client: str) -> Any:
    """The number in the answer."""
    if client == "requests":
        import requests

        return requests.get(URL).json()["n"]
    return asyncio.run(_ask(client)) if client in ("aiohttp", "async httpx") else _ask_httpx(client)


def _ask_httpx(client: str) -> Any:
    import importlib

    return importlib.import_module(client).get(URL).json()["n"]


async def _ask(client: str) -> Any:
    if client == "aiohttp":
        import aiohttp

        async with aiohttp.ClientSession() as session, session.get(URL) as response:
            return (await response.json())["n"]
    import httpx

    async with httpx.AsyncClient() as http:
        return (await http.get(URL)).json()["n"]


def enable() -> None:
    cachy.enable(mode="auto", store="calls.jsonl", hosts=["127.0.0.1:*"], summary=False)


def told(**facts: Any) -> None:
    """Print the facts, what became of the calls, and how many recordings there are."""
    store = Path("calls.jsonl")
    lines = len(store.read_bytes().splitlines()) if store.exists() else 0
    print(json.dumps({**facts, "stats": asdict(cachy.stats()), "recordings": lines}))
