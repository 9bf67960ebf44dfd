"""Mistral's API: OpenAI's but for files and embeddings."""

from __future__ import annotations

from . import openai
from .content import vector
from .server import Answer, Request, Route, whole


def embeddings(request: Request) -> Answer:
    asked = request.json
    data = [
        {"object": "embedding", "index": index, "embedding": vector(text)}
        for index, text in enumerate(asked["inputs" if "inputs" in asked else "input"])
    ]
    usage = {"prompt_tokens": 4, "completion_tokens": 0, "total_tokens": 4}
    head = {"id": f"emb-{request.number}", "object": "list", "model": asked["model"]}
    return whole({**head, "data": data, "usage": usage})


def upload(request: Request) -> Answer:
    name, content = request.part("file")
    facts = {"filename": name, "bytes": len(content), "purpose": "ocr", "created_at": openai.CREATED}
    kind = {"object": "file", "sample_type": "ocr_input", "source": "upload"}
    return whole({"id": f"3fa85f64-5717-4562-b3fc-{request.number:012}", **facts, **kind})


ROUTES: tuple[Route, ...] = (
    ("POST", "/mistral/v1/chat/completions", openai.chat),
    ("POST", "/mistral/v1/embeddings", embeddings),
    ("POST", "/mistral/v1/files", upload),
)
