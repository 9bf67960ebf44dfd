"""Google's Gemini API: content, embeddings, counting tokens, resumable uploads."""

from __future__ import annotations

import json
from typing import Any

from .content import calls_due, example, example_json, sentence, vector, words
from .server import Answer, Request, Route, events, whole


def generate(request: Request) -> Answer:
    return whole(_chunk(request, _parts(request), "STOP"))


def stream(request: Request) -> Answer:
    parts = [
        piece
        for part in _parts(request)
        for piece in ([{"text": word} for word in words(part["text"])] if "text" in part else [part])
    ]
    last = len(parts) - 1
    return events(
        [_chunk(request, [part], "STOP" if index == last else None) for index, part in enumerate(parts)]
    )


def _parts(request: Request) -> list[dict[str, Any]]:
    asked, number = request.json, request.number
    config = asked.get("generationConfig", {})
    last = asked["contents"][-1]["parts"][-1]
    declared = [
        tool for tools in asked.get("tools", ()) for name in _SPELLINGS for tool in tools.get(name, ())
    ]
    given = [part for content in asked["contents"] for part in content["parts"]]
    results = sum(bool({"functionResponse", "function_response"} & part.keys()) for part in given)
    due = calls_due(json.dumps(asked["contents"]), results)
    if declared and (due := due or _insists(asked)):
        schema = (
            declared[0].get("parameters")
            or declared[0].get("parametersJsonSchema")
            or declared[0].get("parameters_json_schema", {})
        )
        return [
            {"functionCall": {"name": declared[0]["name"], "args": example(schema, number + index)}}
            for index in range(due)
        ]
    schema = config.get("responseSchema") or config.get("responseJsonSchema")
    if schema:
        return [{"text": example_json(schema, number)}]
    return [{"text": sentence(number, last.get("text", next(iter(last))))}]


def _insists(asked: dict[str, Any]) -> bool:
    """Whether who asks wants a call and nothing else."""
    return (asked.get("toolConfig") or {}).get("functionCallingConfig", {}).get("mode") == "ANY"


def _chunk(request: Request, parts: list[dict[str, Any]], reason: str | None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if reason:
        candidate["finishReason"] = reason
    usage = {"promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18}
    return {
        "candidates": [candidate],
        "usageMetadata": usage,
        "modelVersion": request.match["model"],
        "responseId": f"resp-{request.number}",
    }


def embed(request: Request) -> Answer:
    """`:batchEmbedContents`, which the SDK uses for one text too."""
    texts = [part["text"] for one in request.json["requests"] for part in one["content"]["parts"]]
    return whole({"embeddings": [{"values": [*vector(text), request.number]} for text in texts]})


def count_tokens(request: Request) -> Answer:
    return whole({"totalTokens": 100 + request.number})


def upload_start(request: Request) -> Answer:
    """A resumable upload begins with a request for the URL that takes the bytes."""
    session = f"{request.host}{request.path}?upload_id=AB-secret-{request.number}&upload_protocol=resumable"
    return whole({}, x_goog_upload_url=session, x_goog_upload_status="active")


def upload(request: Request) -> Answer:
    if request.headers.get("x-goog-upload-command") == "start":
        return upload_start(request)
    file = {
        "name": f"files/{request.number}",
        "uri": f"{request.host}/v1beta/files/{request.number}",
        "mimeType": "text/plain",
        "sizeBytes": str(len(request.body)),
        "state": "ACTIVE",
    }
    return whole({"file": file}, x_goog_upload_status="final")


_SPELLINGS = ("functionDeclarations", "function_declarations")  # the API takes both; LiteLLM says the latter
_MODEL = "/gemini/v1(?:beta)?/models/(?P<model>[^:/]+)"

ROUTES: tuple[Route, ...] = (
    ("POST", _MODEL + ":generateContent", generate),
    ("POST", _MODEL + ":streamGenerateContent", stream),
    ("POST", _MODEL + ":batchEmbedContents", embed),
    ("POST", _MODEL + ":countTokens", count_tokens),
    ("POST", "/gemini/upload/v1(?:beta)?/files", upload),
)
