"""Voyage AI: embeddings and reranking."""

from __future__ import annotations

from .answers import finished
from .base import Provider
from .volatile import COMMON

PROVIDERS = (
    Provider(
        name="voyage",
        finished=finished,
        hosts=("api.voyageai.com", "ai.mongodb.com"),
        base_url_env=("VOYAGE_API_BASE", "VOYAGE_BASE_URL"),
        key_env=("VOYAGE_API_KEY",),
        normalise=COMMON,
        sdks=("voyageai", "litellm"),
        shape="openai",
    ),
)
