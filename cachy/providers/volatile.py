"""What clients make up anew in each run, in the dialects that more than one service speaks.

Only ids that tie the parts of one request together are renumbered: a tool call and its result. An id that names
something that lies at the provider (a file, a container, an earlier response, a stored item) is what it is, and
counts. Prompts and all other texts are never touched.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..echo import Made, Normalise
from .base import Json, words

# For the provider's records of abuse, its prompt cache and its logs; what LiteLLM's proxy takes for itself.
_RECORDS = words(
    "user prompt_cache_key safety_identifier litellm_session_id litellm_trace_id litellm_call_id"
)
_GENERATES = words("messages input prompt")
# A program's own service at such a path (`/api/chat`, `/messages`) may well answer by who asks; it names no model.
_MODEL = words("model anthropic_version")
_INLINE = words("message function_call function_call_output custom_tool_call custom_tool_call_output")


def members(holder: Json, name: str) -> list[dict[str, Any]]:
    """The objects in the list `holder[name]`; none when there is no such thing."""
    found = holder.get(name) if isinstance(holder, dict) else None
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def texts(values: Iterable[Json]) -> frozenset[str]:
    """The texts among `values`."""
    return frozenset(value for value in values if isinstance(value, str))


def in_turn(*normalisers: Normalise) -> Normalise:
    """One normaliser for a service with several dialects: each leaves alone what is not its own."""

    def normalise(body: Json, made: Made) -> Json:
        for one in normalisers:
            body = one(body, made)
        return body

    return normalise


def records(*more: str) -> Normalise:
    """Drops what OpenAI's API and its likes (which may have `more`) take for their records alone."""
    names = _RECORDS.union(more)

    def normalise(body: Json, made: Made) -> Json:
        # Elsewhere, in an administration API say, `user` may be what the call is about.
        if (
            isinstance(body, dict)
            and not names.isdisjoint(body)
            and not _GENERATES.isdisjoint(body)
            and not _MODEL.isdisjoint(body)
        ):
            made.drop(body, *names)
        return body

    return normalise


def messages(body: Json, made: Made) -> Json:
    """OpenAI's chat completions, as two dozen others speak them too, and Anthropic's messages, also in batches."""
    said = members(body, "messages")
    for message in said:
        if "tool_calls" in message:
            for call in members(message, "tool_calls"):
                made.renumber(call, "id")
        if "tool_call_id" in message:
            made.renumber(message, "tool_call_id")
        if isinstance(message.get("content"), list):
            for block in members(message, "content"):
                kind = str(block.get("type"))
                if kind.endswith("tool_use"):
                    made.renumber(block, "id")
                elif kind.endswith("tool_result"):
                    made.renumber(block, "tool_use_id")
                if "caller" in block:
                    made.renumber(block["caller"], "tool_id")
    if said and "metadata" in body and not _MODEL.isdisjoint(body):
        about = body["metadata"]
        if isinstance(about, dict) and "user_id" in about:
            made.drop(about, "user_id")
            if not about:
                del body["metadata"]
    for request in members(body, "requests"):
        messages(request.get("params"), made)
    return body


def responses(body: Json, made: Made) -> Json:
    """OpenAI's responses."""
    items = members(body, "input")
    if not items:
        return body
    calls = texts(
        item.get("call_id") for item in items if str(item.get("type")).endswith(("_call", "program"))
    )
    for item in items:
        kind = str(item.get("type") or ("message" if "content" in item else "item_reference"))
        # The result of a call that is not here answers one that lies at the provider.
        made.renumber(item, "call_id", calls)
        made.renumber(item.get("caller"), "caller_id", calls)
        # Reasoning without its content is looked up at the provider by its id.
        if kind in _INLINE or (kind == "reasoning" and item.get("encrypted_content")):
            made.renumber(item, "id")
    return body


# Nearly every service has OpenAI's endpoints beside its own, and many have Anthropic's.
COMMON = in_turn(records(), messages, responses)
