"""Ollama: the server on this machine, and its cloud."""

from __future__ import annotations

from .answers import finished
from .base import Provider
from .volatile import COMMON

PROVIDERS = (
    Provider(
        name="ollama",
        finished=finished,
        hosts=(
            "localhost:11434",
            "127.0.0.1:11434",
            "[::1]:11434",
            "0.0.0.0:11434",
            "host.docker.internal:11434",
        ),
        base_url_env=("OLLAMA_HOST", "OLLAMA_API_BASE", "OLLAMA_BASE_URL"),
        normalise=COMMON,
        sdks=("ollama", "openai"),
        shape="ollama",
    ),
    # The same host serves the web site.
    Provider(
        name="ollama-cloud",
        finished=finished,
        hosts=("ollama.com",),
        key_env=("OLLAMA_API_KEY",),
        normalise=COMMON,
        sdks=("ollama", "openai"),
        shape="ollama",
        paths=("/api/", "/v1/"),
    ),
)
