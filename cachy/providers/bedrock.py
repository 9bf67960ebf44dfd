"""Amazon Bedrock: the runtime (converse, invoke), agents, jobs, and Mantle (OpenAI- and Anthropic-shaped)."""

from __future__ import annotations

from ..echo import Made
from .answers import finished
from .base import MEANING, PLACEHOLDER, Json, Provider
from .volatile import COMMON, in_turn, members


def _converse(body: Json, made: Made) -> Json:
    said = members(body, "messages")
    for message in said:
        for block in members(message, "content"):
            made.renumber(block.get("toolUse"), "toolUseId")
            made.renumber(block.get("toolResult"), "toolUseId")
    if said:
        made.drop(body, "requestMetadata")  # what the invocation logs can be filtered by
    return body


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
        sdks=("botocore", "anthropic", "openai", "litellm"),
        placeholders=(("AWS_ACCESS_KEY_ID", PLACEHOLDER), ("AWS_SECRET_ACCESS_KEY", PLACEHOLDER)),
        # Guardrail, latency class, accepted type; the rest of AWS's headers are signature and retry noise.
        headers=MEANING | {"x-amzn-bedrock-*", "accept"},
        # `invoke` takes the body of the model's maker; Mantle speaks OpenAI's and Anthropic's dialects.
        normalise=in_turn(_converse, COMMON),
        shape="bedrock",
    ),
)
