"""What the path of a URL says about the API behind it. Pure functions on paths, without the host."""

from __future__ import annotations

import re

_OPENAI = (
    r"/chat/completions|/completions|/responses|/embeddings|/moderations"
    r"|/images/(?:generations|edits|variations)"
)
_SHAPES = re.compile(
    rf"(?P<openai>(?:{_OPENAI}|/responses/(?:compact|input_tokens)|/audio/(?:speech|transcriptions|translations))$)"
    r"|(?P<anthropic>/messages(?:/count_tokens|/batches)?$|/v1/complete$)"
    r"|(?P<vertex>/publishers/[^/]+/models/[^/:]+:\w+$)"
    r"|(?P<gemini>/(?:models|tunedModels)/[^/:]+:\w+$|/v1(?:alpha|beta\d*)?/interactions$)"
    r"|(?P<bedrock>/model/[^/]+/(?:converse|invoke)(?:-stream|-with-response-stream)?$)"
    r"|(?P<ollama>/api/(?:chat|generate|embed|embeddings|show|tags)$)"
    r"|(?P<cohere>/v[12]/(?:chat|rerank|embed|generate|classify|summarize)$)"
)

# Where only JSON or a stream of events is an answer: a login page with status 200 is none.
_GENERATION = re.compile(
    rf"(?:{_OPENAI}|/messages(?:/count_tokens)?|/v[12]/(?:chat|rerank|embed)|/api/(?:chat|generate|embed|embeddings)"
    r"|/interactions|:(?:stream)?generateContent|:countTokens|:(?:batchE|e)mbedContents?|:(?:streamR|r)awPredict"
    r"|/converse(?:-stream)?)$"
)

# What no other kind of service has, so that a word about it is worth while.
_UNMISTAKABLE = re.compile(
    r"(?:/chat/completions|/v1/(?:messages|responses|embeddings)|:(?:stream)?[gG]enerateContent)$"
)


def shape_of(path: str) -> str:
    """The name of the provider whose API has this path (`openai` for `/v1/chat/completions`), or ""."""
    found = _SHAPES.search(path.rstrip("/"))
    return found.lastgroup or "" if found else ""


def promises_json(path: str) -> bool:
    """Whether the endpoint at this path answers with JSON or a stream of events, and with nothing else."""
    return _GENERATION.search(path.rstrip("/")) is not None


def is_unmistakable(path: str) -> bool:
    """Whether only an API of a language model has this path."""
    return _UNMISTAKABLE.search(path) is not None
