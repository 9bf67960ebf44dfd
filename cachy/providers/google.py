"""Google: the Gemini API, and Vertex AI with its regional hosts and the models of other makers on them."""

from __future__ import annotations

import re

from ..echo import Made
from ..exchange import Request, Response
from .answers import judge
from .base import MEANING, Json, Provider, Unrecordable, words
from .jobs import not_final
from .volatile import COMMON, in_turn, members, texts


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


# What lies below these has names of the user's own: arguments, parameters, labels.
_FREE = words(
    "args response parameters parametersJsonSchema responseJsonSchema properties patternProperties $defs defs"
    " partMetadata"
) | words("default example labels headers")
_HUMP = re.compile("_([a-z])")


def _one_spelling(body: Json, made: Made) -> Json:
    """Protocol buffers as JSON: every field has two names (google-genai 1 writes `mimeType`, 3 `mime_type`), and
    settings that are all left out are no settings."""
    if not isinstance(body, dict) or "contents" not in body:
        return body  # not of Gemini's shape: other makers' models, whose names are as they are
    body = _camel(body)
    if body.get("generationConfig") == {}:
        del body["generationConfig"]
    return body


def _camel(value: Json) -> Json:
    if isinstance(value, list):
        return [_camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    renamed = {}
    for given, item in value.items():
        name = _HUMP.sub(lambda found: found[1].upper(), given) if "_" in given else given
        renamed[name] = item if name in _FREE else _camel(item)
    if len(renamed) < len(value):
        return value  # one field under both its names: which of them counts is not for us to say
    return renamed


_CALLS = words("functionCall functionResponse toolCall toolResponse executableCode codeExecutionResult")


def _generate_content(body: Json, made: Made) -> Json:
    for content in members(body, "contents"):
        for part in members(content, "parts"):
            for name in sorted(_CALLS.intersection(part)):
                made.renumber(part[name], "id")
    return body


def _interactions(body: Json, made: Made) -> Json:
    steps = members(body, "input")
    calls = texts(step.get("id") for step in steps if str(step.get("type")).endswith("_call"))
    for step in steps:
        # As in OpenAI's responses: what answers a call of an earlier interaction keeps its id.
        made.renumber(step, "id", calls)
        made.renumber(step, "call_id", calls)
    return body


_NORMALISE = in_turn(_one_spelling, _generate_content, _interactions, COMMON)

# What an upload request asks for stands in its headers: start, upload, finalize; size and type of the file.
# A field mask says which fields an answer is to have.
_HEADERS = MEANING | {"x-goog-upload-*", "x-goog-fieldmask"}

PROVIDERS = (
    Provider(
        name="gemini",
        finished=_finished,
        hosts=("generativelanguage.googleapis.com", "generativelanguage.mtls.googleapis.com"),
        base_url_env=("GOOGLE_GEMINI_BASE_URL", "GEMINI_API_BASE", "GEMINI_BASE_URL"),
        key_env=("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENAI_API_KEY"),
        sdks=("google.genai", "google.generativeai", "openai", "litellm"),
        headers=_HEADERS,
        normalise=_NORMALISE,
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
        normalise=_NORMALISE,
        shape="vertex",
    ),
)
