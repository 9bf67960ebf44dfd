"""Google: the Gemini API, and Vertex AI with its regional hosts and the models of other makers on them."""

from __future__ import annotations

from ..exchange import Request, Response
from .answers import judge
from .base import MEANING, Json, Provider, Unrecordable
from .jobs import not_final


def _not_done(request: Request, value: Json) -> Unrecordable:
    path = request.split().path
    if ("/operations/" in path or path.endswith(":fetchPredictOperation")) and isinstance(value, dict):
        # A long-running operation has no `done` until it is done.
        return None if value.get("done") is True else "the operation is not done"
    batch = value.get("metadata") if isinstance(value, dict) else None
    if "/batches/" in path and isinstance(batch, dict):
        return not_final(request, batch)
    return not_final(request, value)


def _finished(request: Request, response: Response, clean: bool) -> Unrecordable:
    return judge(request, response, clean, _not_done)


# What an upload request asks for stands in its headers: start, upload, finalize; size and type of the file.
_HEADERS = MEANING | {"x-goog-upload-*"}

PROVIDERS = (
    Provider(
        name="gemini",
        finished=_finished,
        hosts=("generativelanguage.googleapis.com", "generativelanguage.mtls.googleapis.com"),
        base_url_env=("GOOGLE_GEMINI_BASE_URL", "GEMINI_API_BASE", "GEMINI_BASE_URL"),
        key_env=("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENAI_API_KEY"),
        headers=_HEADERS,
        shape="gemini",
    ),
    Provider(
        name="vertex",
        finished=_finished,
        hosts=(
            "aiplatform.googleapis.com",
            "*-aiplatform.googleapis.com",
            "aiplatform.*.rep.googleapis.com",
            "aiplatform.mtls.googleapis.com",
            "*-aiplatform.mtls.googleapis.com",
        ),
        base_url_env=(
            "GOOGLE_VERTEX_BASE_URL",
            "ANTHROPIC_VERTEX_BASE_URL",
            "VERTEX_API_BASE",
            "VERTEXAI_API_BASE",
        ),
        key_env=("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_API_KEY"),
        headers=_HEADERS,
        shape="vertex",
    ),
)
