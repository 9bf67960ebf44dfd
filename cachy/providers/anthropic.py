"""Anthropic's own API, and Claude on Google Cloud and AWS under Anthropic's paths."""

from __future__ import annotations

from .answers import finished
from .base import PLACEHOLDER, Provider
from .volatile import COMMON

PROVIDERS = (
    Provider(
        name="anthropic",
        finished=finished,
        hosts=("api.anthropic.com", "claude.googleapis.com", "aws-external-anthropic.*.api.aws"),
        base_url_env=(
            "ANTHROPIC_BASE_URL",
            "ANTHROPIC_API_BASE",
            "ANTHROPIC_FOUNDRY_BASE_URL",
            "ANTHROPIC_GOOGLE_CLOUD_BASE_URL",
            "ANTHROPIC_AWS_BASE_URL",
            "ANTHROPIC_AWS_API_BASE",
        ),
        key_env=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_FOUNDRY_API_KEY"),
        normalise=COMMON,
        sdks=("anthropic", "litellm"),
        # The client for Microsoft's cloud has its own variable.
        placeholders=(("ANTHROPIC_API_KEY", PLACEHOLDER), ("ANTHROPIC_FOUNDRY_API_KEY", PLACEHOLDER)),
        shape="anthropic",
    ),
)
