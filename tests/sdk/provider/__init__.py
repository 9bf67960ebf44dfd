"""A loopback provider that speaks the APIs of all the SDKs under test, by the standard library alone."""

from __future__ import annotations

from . import anthropic, cohere, gemini, jobs, mistral, ollama, openai
from .server import Provider as Server

ROUTES = (*openai.ROUTES, *anthropic.ROUTES, *gemini.ROUTES, *mistral.ROUTES, *cohere.ROUTES, *ollama.ROUTES)


class Provider(Server):
    """`url` is where it listens, `calls` are the requests that arrived; `stop()` makes it unreachable."""

    def __init__(self) -> None:
        super().__init__((*ROUTES, *jobs.routes()))
