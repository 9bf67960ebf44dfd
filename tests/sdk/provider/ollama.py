"""Ollama's API: chat, generate, embed; streams are JSON lines."""

from __future__ import annotations

import json
from typing import Any

from .content import calls_due, example, example_json, sentence, vector, words
from .server import Answer, Request, Route, lines, whole

_COUNTS = {"total_duration": 5_000_000, "load_duration": 1_000_000, "prompt_eval_count": 11, "eval_count": 7}


def chat(request: Request) -> Answer:
    asked = request.json
    last = asked["messages"][-1]
    results = sum(message["role"] == "tool" for message in asked["messages"])
    if asked.get("tools") and (due := calls_due(json.dumps(asked["messages"]), results)):
        wanted = asked["tools"][0]["function"]
        given = [example(wanted["parameters"], request.number + index) for index in range(due)]
        calls = [{"function": {"name": wanted["name"], "arguments": arguments}} for arguments in given]
        return _answer(request, [{"message": {"role": "assistant", "content": "", "tool_calls": calls}}])
    text = _text(request, last["content"])
    return _answer(request, [{"message": {"role": "assistant", "content": piece}} for piece in text])


def generate(request: Request) -> Answer:
    return _answer(request, [{"response": piece} for piece in _text(request, request.json["prompt"])])


def _text(request: Request, question: str) -> list[str]:
    asked = request.json
    schema = asked.get("format")
    whole_text = (
        example_json(schema, request.number)
        if isinstance(schema, dict)
        else sentence(request.number, question)
    )
    return words(whole_text) if asked.get("stream", True) else [whole_text]


def _answer(request: Request, pieces: list[dict[str, Any]]) -> Answer:
    asked = request.json
    head = {"model": asked["model"], "created_at": f"2026-06-01T12:00:00.{request.number:06}Z"}
    end = {"done": True, "done_reason": "stop", **_COUNTS}
    if not asked.get("stream", True):
        return whole({**head, **pieces[0], **end})
    empty = {"response": ""} if "response" in pieces[0] else {"message": {"role": "assistant", "content": ""}}
    return lines([*({**head, **piece, "done": False} for piece in pieces), {**head, **empty, **end}])


def show(request: Request) -> Answer:
    """What a model can do; LiteLLM asks before its first call."""
    facts = {"capabilities": ["completion", "tools"], "model_info": {"general.architecture": "qwen3"}}
    return whole({**facts, "modified_at": f"2026-06-01T12:00:00.{request.number:06}Z", "template": ""})


def embed(request: Request) -> Answer:
    asked = request.json
    texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
    vectors = [[*vector(text), request.number] for text in texts]
    return whole({"model": asked["model"], "embeddings": vectors, **_COUNTS})


ROUTES: tuple[Route, ...] = (
    ("POST", "/ollama/api/chat", chat),
    ("POST", "/ollama/api/generate", generate),
    ("POST", "/ollama/api/embed", embed),
    ("POST", "/ollama/api/show", show),
)
