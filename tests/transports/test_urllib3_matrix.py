"""One recording for all: whatever sync client asks, the same question has one key and causes one call."""

from __future__ import annotations

import importlib.util
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

QUESTION = {"model": "gpt-5", "messages": [{"role": "user", "content": "2+2? é"}], "stream": True}
HEADERS = {"authorization": "Bearer sk-test-0123456789", "openai-beta": "assistants=v2"}
EVENTS = [b'data: {"choices":[{"delta":{"content":"four \xc3\xa9"}}]}\n\n', b"data: [DONE]\n\n"]


def over_httpx(name: str) -> Callable[[str, bool], bytes]:
    def ask(url: str, stream: bool) -> bytes:
        lib: Any = importlib.import_module(name)
        if not stream:
            return bytes(lib.post(url, json=QUESTION, headers=HEADERS).content)
        with lib.stream("POST", url, json=QUESTION, headers=HEADERS) as response:
            return b"".join(response.iter_bytes())

    return ask


def over_requests(url: str, stream: bool) -> bytes:
    import requests

    with requests.post(url, json=QUESTION, headers=HEADERS, stream=stream) as response:
        return b"".join(response.iter_content(16)) if stream else response.content


def over_urllib3(url: str, stream: bool) -> bytes:
    import urllib3

    body = json.dumps(QUESTION, separators=(",", ":"), ensure_ascii=False).encode()
    headers = {**HEADERS, "content-type": "application/json; charset=utf-8"}
    with urllib3.PoolManager() as manager:
        response = manager.request("POST", url, body=body, headers=headers, preload_content=not stream)
        return b"".join(response.stream(16)) if stream else bytes(response.data)


CLIENTS = {
    "httpx": over_httpx("httpx"),
    "httpx2": over_httpx("httpx2"),
    "requests": over_requests,
    "urllib3": over_urllib3,
}
INSTALLED = [name for name in CLIENTS if importlib.util.find_spec(name)]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("one", "other"), list(itertools.permutations(INSTALLED, 2)))
def test_what_one_records_the_other_replays(
    server: Any, using: Any, store: Any, one: str, other: str, stream: bool
) -> None:
    """Recorded by one client, replayed by another, streamed or not: one call, the same bytes."""

    def answer(handler: Any) -> None:
        handler.head(content_type="text/event-stream", transfer_encoding="chunked")
        for event in EVENTS:
            handler.chunk(event)
        handler.end()

    url = server.on("/v1/chat/completions", answer)
    with using(hosts={"127.0.0.1:*": "openai"}):
        assert CLIENTS[one](url, stream) == b"".join(EVENTS)
        assert CLIENTS[other](url, not stream) == b"".join(EVENTS)
    assert len(server.calls) == 1
    lengths = [length for _, length in json.loads(store.read_text("utf-8"))["response"]["chunks"]]
    assert lengths == [len(event) for event in EVENTS]


def test_the_canonical_request_is_the_same(server: Any, using: Any, store: Any) -> None:
    """Each client, asked to record, writes the very same key and canonical request."""
    with using("record", hosts={"127.0.0.1:*": "openai"}):
        for name in INSTALLED:
            CLIENTS[name](server.url + "/v1/models", False)
    lines = [json.loads(line) for line in store.read_text("utf-8").splitlines()]
    assert len(lines) == len(INSTALLED)
    assert len({(line["key"], json.dumps(line["request"])) for line in lines}) == 1
