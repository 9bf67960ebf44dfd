"""Cohere, versions 1 and 2 of its API."""

from __future__ import annotations

from .answers import finished
from .base import Provider
from .volatile import COMMON

PROVIDERS = (
    Provider(
        name="cohere",
        finished=finished,
        hosts=("api.cohere.com", "api.cohere.ai"),
        base_url_env=("CO_API_URL", "COHERE_API_BASE"),
        key_env=("CO_API_KEY", "COHERE_API_KEY"),
        normalise=COMMON,
        sdks=("cohere", "litellm"),
        shape="cohere",
    ),
)
