"""Recorded traffic of real services, where a copy of it lies at hand: claimed, and judged finished."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cachy.exchange import Body, Request, Response
from cachy.providers import Registry, names

ROOT = Path(__file__).parents[2]
TRAFFIC = Path(os.environ.get("CACHY_SHARED") or ROOT.parent / "shared") / "data" / "traffic"

OWNERS = {
    "api.openai.com": "openai",
    "openai.azure.com": "azure",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "gemini",
    "aiplatform.googleapis.com": "vertex",
    "europe-west4-aiplatform.googleapis.com": "vertex",
    "amazonaws.com": "bedrock",
    "api.aws": "bedrock",
    "api.cerebras.ai": "cerebras",
    "api.cohere.com": "cohere",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral",
    "router.huggingface.co": "huggingface",
    "huggingface.co": "huggingface-hub",
    "localhost:11434": "ollama",
    "ollama.com": "ollama-cloud",
    "openrouter.ai": "openrouter",
    "api.voyageai.com": "voyage",
}


@dataclass(frozen=True)
class Rule:
    pattern: str
    provider: None = None
    alias: None = None


def exchanges() -> Iterator[tuple[Request, Response]]:
    """Every 2xx exchange of the cassettes."""
    yaml = pytest.importorskip("yaml", reason="the cassettes are YAML")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    if not TRAFFIC.is_dir():
        pytest.skip("no recorded traffic beside the project (CACHY_SHARED names another place)")
    for path in sorted(TRAFFIC.glob("*.yaml")):
        for interaction in yaml.load(path.read_bytes(), loader)["interactions"]:
            asked, answered = interaction["request"], interaction["response"]
            status = answered["status"]["code"]
            if not 200 <= status < 300:
                continue
            text: Any = (answered.get("body") or {}).get("string")
            if text is None:
                text = json.dumps(answered.get("parsed_body"))
            headers = tuple(
                (name.lower(), value) for name, values in answered["headers"].items() for value in values
            )
            body = text if isinstance(text, bytes) else text.encode()
            question = Body(json.dumps(asked.get("parsed_body")).encode())
            yield (
                Request(asked["method"].upper(), asked["uri"], (), question),
                Response(status, headers, body),
            )


def owner(netloc: str) -> str | None:
    for host, provider in OWNERS.items():
        if netloc == host or (netloc.endswith("." + host) and host != "huggingface.co"):
            return provider
    return None


@pytest.mark.slow
def test_recorded_traffic() -> None:
    """Every answer of a known service goes to that service and may be recorded whole, and never in half."""
    wrong = []
    seen = set()
    for request, response in exchanges():
        parts = request.split()
        expected = owner(parts.netloc)
        registry = Registry() if expected else Registry([Rule(parts.netloc)])  # type: ignore[list-item]
        claim = registry.claim(parts.scheme, parts.hostname or "", parts.port, parts.path)
        assert claim is not None, request.url
        name = claim.provider.name
        seen.add(name)
        if expected and name != expected:
            wrong.append(f"{request.url}: claimed by {name}")
        if claim.provider.skip(request):
            continue
        kind = response.header("content-type")
        # One test server answers a chat call with plain text: what must not be recorded.
        recordable = not (
            name == "openai" and kind.startswith("text/plain") and "chat/completions" in parts.path
        )
        reason = claim.provider.finished(request, response, True)
        if (reason is None) != recordable:
            wrong.append(f"{request.url}: {reason}")
        half = Response(200, response.headers, response.body[: len(response.body) // 2])
        if (
            name != "plain"
            and ("json" in kind or "stream" in kind)
            and claim.provider.finished(request, half, True) is None
        ):
            wrong.append(f"{request.url}: half of it passed")
    assert wrong == []
    assert set(OWNERS.values()) <= seen <= set(names())


_TOTAL = re.compile(rb'"(?:total_tokens|totalTokenCount|totalTokens)":\s*(\d+)')
_SAYS = re.compile(rb'"(?:prompt_tokens|input_tokens|promptTokenCount|inputTokens|total_tokens)"')


@pytest.mark.slow
def test_usage_of_recorded_traffic() -> None:
    """Every answer that counts tokens is understood, and what is read adds up to the total that it names."""
    wrong = []
    checked = 0
    for request, response in exchanges():
        if request.method != "POST" or not _SAYS.search(response.body):
            continue
        parts = request.split()
        registry = Registry([Rule(parts.netloc)])  # type: ignore[list-item]
        claim = registry.claim(parts.scheme, parts.hostname or "", parts.port, parts.path)
        assert claim is not None
        found = claim.provider.usage(request, response)
        totals = _TOTAL.findall(response.body)
        if found is None or not found.input + found.output or not found.model:
            wrong.append(f"{request.url}: {found}")
        elif totals and found.input + found.output != int(totals[-1]):
            wrong.append(f"{request.url}: {found}, and {int(totals[-1])} in all")
        checked += 1
    assert wrong == []
    assert checked > 100
