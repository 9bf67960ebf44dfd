"""Amazon Bedrock: the runtime (converse, invoke), agents, jobs, and Mantle (OpenAI- and Anthropic-shaped)."""

from __future__ import annotations

from .answers import finished
from .base import MEANING, Provider

PROVIDERS = (
    Provider(
        name="bedrock",
        finished=finished,
        hosts=(
            "bedrock-runtime.*.amazonaws.com",
            "bedrock-runtime.*.amazonaws.com.cn",
            "bedrock-runtime-fips.*.amazonaws.com",
            "bedrock-runtime.*.api.aws",
            "bedrock-agent-runtime.*.amazonaws.com",
            "bedrock.*.amazonaws.com",
            "bedrock-mantle.*.api.aws",
            "*.bedrock-runtime.*.vpce.amazonaws.com",
        ),
        base_url_env=(
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
            "AWS_BEDROCK_RUNTIME_ENDPOINT",
            "AWS_BEDROCK_BASE_URL",
            "ANTHROPIC_BEDROCK_BASE_URL",
            "ANTHROPIC_BEDROCK_MANTLE_BASE_URL",
            "BEDROCK_MANTLE_API_BASE",
        ),
        key_env=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_BEARER_TOKEN_BEDROCK"),
        # Guardrail, latency class, accepted type; the rest of AWS's headers are signature and retry noise.
        headers=MEANING | {"x-amzn-bedrock-*", "accept"},
        shape="bedrock",
    ),
)
