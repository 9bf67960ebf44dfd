"""What a provider is to cachy: a description of one service, or of one family of services with the same shape.

A provider holds facts and two pure functions; it does no I/O and knows no HTTP client.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..exchange import Request, Response

Json = Any
"""A parsed JSON value."""

Unrecordable = str | None
"""None, or the reason in a few words ("the stream ended without [DONE]")."""

def _always(_request: Request) -> Unrecordable:
    return None


@dataclass(frozen=True, slots=True)
class Provider:
    """One service, or a family of them.

    `finished` decides whether an answer ended well and may be recorded; it is given the whole answer with its
    decoded body, and `clean`: whether the body was read to its end (False: the consumer left early).
    `skip` names the requests that must pass untouched and unrecorded (token exchange, telemetry).
    """

    name: str
    finished: Callable[[Request, Response, bool], Unrecordable]
    hosts: tuple[str, ...] = ()
    """Host patterns: `api.openai.com`, or with `*` for one or more whole labels: `*.openai.azure.com`."""
    base_url_env: tuple[str, ...] = ()
    """Environment variables in which the SDKs take another base URL."""
    key_env: tuple[str, ...] = ()
    """Environment variables in which the SDKs look for the API key."""
    headers: frozenset[str] = frozenset()
    """Request headers (lower case) that change the meaning; `x-amzn-bedrock-*` is a prefix."""
    secret_headers: frozenset[str] = frozenset()
    """Request headers of this provider that carry a secret, beyond those in `cachy.redact`."""
    secret_query: frozenset[str] = frozenset()
    """Query parameters of this provider that carry a secret, beyond those in `cachy.redact`."""
    skip: Callable[[Request], Unrecordable] = _always
