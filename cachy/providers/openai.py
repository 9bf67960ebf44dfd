"""OpenAI and the services that speak its API."""

from __future__ import annotations

from ..echo import Normalise
from .answers import finished
from .base import MEANING, PLACEHOLDER, Provider
from .volatile import COMMON, in_turn, records


def _like(
    name: str,
    *hosts: str,
    key: str,
    url: str = "",
    sdks: str = "",
    paths: tuple[str, ...] = (),
    normalise: Normalise = COMMON,
    placeholders: tuple[tuple[str, str], ...] = (),
) -> Provider:
    """A service with OpenAI's API; `key` and `url` name environment variables, separated by spaces, and `sdks` the
    modules of its SDKs beside those that everybody uses."""
    return Provider(
        name=name,
        finished=finished,
        hosts=hosts,
        key_env=tuple(key.split()),
        base_url_env=tuple(url.split()),
        sdks=(*sdks.split(), "openai", "litellm"),
        placeholders=placeholders,
        # Groq's compound systems come in versions; the others take nothing of the kind.
        headers=MEANING | {"groq-model-version"},
        normalise=normalise,
        shape="openai",
        paths=paths,
    )


PROVIDERS = (
    _like(
        "openai",
        "api.openai.com",
        "*.api.openai.com",
        key="OPENAI_API_KEY OPENAI_ADMIN_KEY",
        url="OPENAI_BASE_URL OPENAI_API_BASE LITELLM_PROXY_API_BASE OPENAI_LIKE_API_BASE"
        " HOSTED_VLLM_API_BASE VLLM_API_BASE LM_STUDIO_API_BASE LLAMAFILE_API_BASE XINFERENCE_API_BASE"
        " DOCKER_MODEL_RUNNER_API_BASE",
    ),
    _like("chatgpt", "chatgpt.com", key="", paths=("/backend-api/",)),
    _like(
        "azure",
        "*.openai.azure.com",
        "*.openai.azure.us",
        "*.cognitiveservices.azure.com",
        "*.services.ai.azure.com",
        "*.models.ai.azure.com",
        "models.inference.ai.azure.com",
        "models.github.ai",
        key="AZURE_OPENAI_API_KEY AZURE_API_KEY AZURE_OPENAI_AD_TOKEN ANTHROPIC_FOUNDRY_API_KEY",
        url="AZURE_OPENAI_ENDPOINT AZURE_OPENAI_BASE_URL AZURE_API_BASE AZURE_AI_API_BASE GITHUB_API_BASE",
        sdks="azure.ai.inference anthropic",
        # Each SDK has its own variable.
        placeholders=(
            ("AZURE_OPENAI_API_KEY", PLACEHOLDER),
            ("AZURE_API_KEY", PLACEHOLDER),
            ("ANTHROPIC_FOUNDRY_API_KEY", PLACEHOLDER),
        ),
    ),
    _like(
        "deepseek",
        "api.deepseek.com",
        key="DEEPSEEK_API_KEY",
        url="DEEPSEEK_API_BASE DEEPSEEK_ANTHROPIC_API_BASE",
        sdks="anthropic",
    ),
    _like(
        "fireworks",
        "api.fireworks.ai",
        "*.api.fireworks.ai",
        key="FIREWORKS_API_KEY",
        url="FIREWORKS_BASE_URL FIREWORKS_API_BASE",
        sdks="fireworks",
    ),
    # The same host serves the web site.
    _like(
        "openrouter",
        "openrouter.ai",
        key="OPENROUTER_API_KEY",
        url="OPENROUTER_BASE_URL OPENROUTER_API_BASE",
        sdks="openrouter",
        paths=("/api/",),
        normalise=in_turn(COMMON, records("session_id", "trace")),
    ),
    _like("groq", "api.groq.com", key="GROQ_API_KEY", url="GROQ_BASE_URL GROQ_API_BASE", sdks="groq"),
    _like(
        "together",
        "api.together.xyz",
        "api.together.ai",
        key="TOGETHER_API_KEY TOGETHERAI_API_KEY",
        url="TOGETHER_BASE_URL TOGETHER_AI_API_BASE",
        sdks="together",
    ),
    _like(
        "mistral",
        "api.mistral.ai",
        "api.*.mistral.ai",
        "codestral.mistral.ai",
        key="MISTRAL_API_KEY",
        url="MISTRAL_BASE_URL MISTRAL_API_BASE MISTRAL_AUDIO_BASE_URL MISTRAL_AZURE_API_BASE"
        " CODESTRAL_API_BASE",
        sdks="mistralai.client",
    ),
    _like(
        "xai",
        "api.x.ai",
        "*.api.x.ai",
        "management-api.x.ai",
        key="XAI_API_KEY",
        url="XAI_BASE_URL XAI_API_BASE XAI_OAUTH_API_BASE",
        sdks="xai_sdk",
    ),
    _like(
        "moonshot",
        "api.moonshot.ai",
        "api.moonshot.cn",
        key="MOONSHOT_API_KEY",
        url="MOONSHOT_BASE_URL MOONSHOT_API_BASE",
    ),
    _like(
        "cerebras",
        "api.cerebras.ai",
        key="CEREBRAS_API_KEY",
        url="CEREBRAS_BASE_URL CEREBRAS_API_BASE",
        sdks="cerebras.cloud.sdk",
    ),
    _like(
        "perplexity",
        "api.perplexity.ai",
        key="PERPLEXITY_API_KEY PERPLEXITYAI_API_KEY",
        url="PERPLEXITY_BASE_URL PERPLEXITY_API_BASE",
        sdks="perplexity",
    ),
)
