"""Jobs that run at the provider: batches, background responses, runs, videos, fine-tunes, operations, files.

Each is under way at its first two looks and done at the third. What is said depends on the number of the request, so
that no two live answers are alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from . import openai
from .server import Answer, Request, Route, lines, whole

DONE_AT = 3
"""The look at which a job is done."""

_BATCH = {"object": "batch", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
_RUN = {"object": "thread.run", "thread_id": "thread_1", "assistant_id": "asst_1", "tools": [], "model": "m"}
_TUNE = {"object": "fine_tuning.job", "model": "gpt-5.2", "seed": 7, "training_file": "file-1"}
_VIDEO = {"object": "video", "model": "sora-3", "progress": 0, "seconds": "4", "size": "720x1280"}
_COUNTS = {"processing": 0, "succeeded": 1, "errored": 0, "canceled": 0, "expired": 0}


def _openai(kind: dict[str, Any], id_: str, status: str) -> dict[str, Any]:
    return {"id": id_, "created_at": openai.CREATED, "status": status, **kind}


def _response(id_: str, status: str, number: int = 0) -> dict[str, Any]:
    text = {"type": "output_text", "text": f"Done by {number}", "annotations": []}
    message = {
        "type": "message",
        "id": "msg_1",
        "status": "completed",
        "role": "assistant",
        "content": [text],
    }
    kind = {"object": "response", "background": True, "model": "gpt-5.2", "tools": []}
    return _openai(kind, id_, status) | {"output": [message] if status == "completed" else []}


def _message_batch(id_: str, status: str) -> dict[str, Any]:
    times = {"created_at": "2026-06-01T12:00:00Z", "expires_at": "2026-06-02T12:00:00Z"}
    kind = {"type": "message_batch", "results_url": None}
    return {"id": id_, "processing_status": status, "request_counts": _COUNTS, **kind, **times}


def _results(request: Request) -> Answer:
    message = {"id": f"msg_{request.number}", "type": "message", "role": "assistant", "content": []}
    return lines([{"custom_id": "one", "result": {"type": "succeeded", "message": message}}])


def routes() -> tuple[Route, ...]:
    """The routes of one provider, with jobs of its own."""
    looks: Counter[str] = Counter()

    def look(
        under_way: str, done: str, document: Callable[[Request, str], Any]
    ) -> Callable[[Request], Answer]:
        def answer(request: Request) -> Answer:
            looks[request.path] += 1
            return whole(document(request, done if looks[request.path] >= DONE_AT else under_way))

        return answer

    def made(document: Callable[[Request, str], Any], status: str) -> Callable[[Request], Answer]:
        return lambda request: whole(document(request, status))

    def named(request: Request) -> str:
        return request.match.groupdict().get("id") or f"job_{request.number}"

    def openai_job(kind: dict[str, Any]) -> Callable[[Request, str], Any]:
        return lambda request, status: (
            _openai(kind, named(request), status) | {"metadata": {"n": str(request.number)}}
        )

    def response(request: Request, status: str) -> Any:
        return _response(named(request), status, request.number)

    def message_batch(request: Request, status: str) -> Any:
        results = request.host + request.path + "/results" if status == "ended" else None
        return _message_batch(named(request), status) | {"results_url": results}

    def operation(request: Request, status: str) -> Any:
        video = {"uri": f"{request.host}/gemini/v1beta/files/video-{request.number}:download?alt=media"}
        samples = {"generateVideoResponse": {"generatedSamples": [{"video": video}]}}
        name = f"models/veo-4/operations/{named(request)}"
        return {"name": name, **({"done": True, "response": samples} if status == "done" else {})}

    def file(request: Request, status: str) -> Any:
        uri = f"{request.host}/v1beta/files/{named(request)}"
        size = {"mimeType": "video/mp4", "sizeBytes": str(request.number)}
        return {"name": f"files/{named(request)}", "uri": uri, "state": status, **size}

    def gone(request: Request) -> Answer:
        return whole({"id": named(request), "object": "deleted", "type": "deleted", "deleted": True})

    v1, id_ = openai._BASE, "/(?P<id>[^/:]+)"
    found: list[Route] = []
    for path, kind, under_way, done in [
        ("/batches", _BATCH, "in_progress", "completed"),
        ("/threads/thread_1/runs", _RUN, "queued", "completed"),
        ("/fine_tuning/jobs", _TUNE, "running", "succeeded"),
        ("/videos", _VIDEO, "in_progress", "completed"),
    ]:
        job = openai_job(kind)
        found += [
            ("POST", v1 + path, made(job, "queued")),
            ("GET", v1 + path + id_, look(under_way, done, job)),
            ("POST", v1 + path + id_ + "/cancel", made(job, "cancelling")),
            ("DELETE", v1 + path + id_, gone),
        ]
    batches, gemini = "/anthropic/v1/messages/batches", "/gemini/v1(?:beta)?"
    return (
        *found,
        ("GET", v1 + "/responses" + id_, look("in_progress", "completed", response)),
        ("POST", v1 + "/responses" + id_ + "/cancel", made(response, "cancelled")),
        ("GET", v1 + "/files/(?P<id>[^/]+)", look("uploaded", "processed", openai_job({"object": "file"}))),
        ("DELETE", v1 + "/files/(?P<id>[^/]+)", gone),
        ("POST", batches, made(message_batch, "in_progress")),
        ("GET", batches + id_, look("in_progress", "ended", message_batch)),
        ("GET", batches + id_ + "/results", _results),
        ("POST", batches + id_ + "/cancel", made(message_batch, "canceling")),
        ("DELETE", batches + id_, gone),
        ("POST", gemini + "/models/[^/]+:predictLongRunning", made(operation, "")),
        ("GET", gemini + "/models/[^/]+/operations" + id_, look("", "done", operation)),
        ("GET", gemini + "/files" + id_, look("PROCESSING", "ACTIVE", file)),
        ("DELETE", gemini + "/files" + id_, lambda request: whole({})),
    )


def in_background(request: Request) -> Answer:
    """`POST /v1/responses` with `background`."""
    return whole(_response(f"resp_{request.number}", "queued"))
