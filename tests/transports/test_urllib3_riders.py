"""SDKs that ride on requests, in an environment of their own: voyageai, huggingface_hub 0.x, google-auth."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from environments import clean, environment

pytestmark = pytest.mark.slow

SDKS = ("voyageai", "huggingface_hub<1", "google-auth")
KEY = "sk-test-1f8Kd0ZqWm3Vb7Xc9Lp2Rt5Yh4Nj6"

ASK = """
import json, sys
url, key = sys.argv[1:]

def voyage():
    import voyageai
    client = voyageai.Client(api_key=key, base_url=url + "/v1", max_retries=0)
    found = client.embed(["one", "two"], model="voyage-4")
    return found.embeddings, found.total_tokens

def hugging_face():
    from huggingface_hub import InferenceClient
    client = InferenceClient(base_url=url + "/v1", api_key=key)
    return client.chat_completion([{"role": "user", "content": "2+2?"}]).choices[0].message.content

def hugging_face_stream():
    from huggingface_hub import InferenceClient
    client = InferenceClient(base_url=url + "/v1", api_key=key)
    pieces = client.chat_completion([{"role": "user", "content": "2+2?"}], stream=True)
    return [piece.choices[0].delta.content for piece in pieces]

print(json.dumps([voyage(), hugging_face(), hugging_face_stream()]))
"""

TOKEN = """
import sys
from google.auth.transport.requests import Request
from google.oauth2.credentials import Credentials
token_uri = sys.argv[1] + "/token"
kept = Credentials(None, refresh_token="r", token_uri=token_uri, client_id="c", client_secret=sys.argv[2])
kept.refresh(Request())
print(kept.token)
"""


@pytest.fixture(scope="session")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with these SDKs and cachy."""
    return environment(tmp_path_factory.mktemp("riders"), wheel, SDKS)


def embeddings(handler: Any) -> None:
    data = [{"object": "embedding", "index": n, "embedding": [0.5, n]} for n in range(2)]
    answer = {"object": "list", "data": data, "model": "voyage-4", "usage": {"total_tokens": 2}}
    handler.whole(json.dumps(answer).encode())


def chat(handler: Any) -> None:
    def choice(kind: str, content: str, end: str | None) -> bytes:
        message = {"index": 0, kind: {"role": "assistant", "content": content}, "finish_reason": end}
        whole = {"id": "c-1", "object": "chat", "created": 1, "model": "m", "choices": [message]}
        return json.dumps(whole).encode()

    if not json.loads(handler.scripted.calls[-1].body).get("stream"):
        handler.whole(choice("message", "four", "stop"))
        return
    handler.head(content_type="text/event-stream", transfer_encoding="chunked")
    for content, end in (("fo", None), ("ur", "stop")):
        handler.chunk(b"data: " + choice("delta", content, end) + b"\n\n")
    handler.chunk(b"data: [DONE]\n\n")
    handler.end()


def run(python: Path, program: str, home: Path, url: str, key: str, **env: str) -> Any:
    env = {"HOME": str(home), "USERPROFILE": str(home), "CACHY_HOSTS": "127.0.0.1:*"} | env
    words = [str(python), "-c", program, url, key]
    return subprocess.run(words, env=clean(**env), cwd=home, capture_output=True, text=True, check=False)


def test_sdks_on_requests(python: Path, server: Any, tmp_path: Path) -> None:
    """Recorded in one process and replayed in a fresh one, with another key and nothing sent."""
    (tmp_path / "cachy.jsonl").touch()  # outside a project, the store is this file where there is one
    server.on("/v1/embeddings", embeddings)
    server.on("/v1/chat/completions", chat)
    live = run(python, ASK, tmp_path, server.url, KEY, CACHY="1")
    assert live.returncode == 0, live.stderr
    assert "3 recorded" in live.stderr
    calls = len(server.calls)
    again = run(python, ASK, tmp_path, server.url, "sk-another", CACHY="replay")
    assert (again.returncode, again.stdout) == (0, live.stdout), again.stderr
    assert json.loads(live.stdout) == [[[[0.5, 0], [0.5, 1]], 2], "four", ["fo", "ur"]]
    assert len(server.calls) == calls == 3
    assert KEY not in (tmp_path / "cachy.jsonl").read_text("utf-8")


def test_google_auth_tokens_are_never_recorded(python: Path, server: Any, tmp_path: Path) -> None:
    """Each run gets a token of its own, and no token is stored, even where every host is listed."""
    (tmp_path / "cachy.jsonl").touch()
    tokens = iter(["ya29.first-token", "ya29.second-token"])
    answer = {"expires_in": 3600, "token_type": "Bearer"}
    server.on("/token", lambda h: h.whole(json.dumps({**answer, "access_token": next(tokens)}).encode()))
    found = [run(python, TOKEN, tmp_path, server.url, "secret", CACHY="1") for _ in range(2)]
    assert [done.stdout.strip() for done in found] == ["ya29.first-token", "ya29.second-token"], found
    assert (tmp_path / "cachy.jsonl").read_text("utf-8") == ""
