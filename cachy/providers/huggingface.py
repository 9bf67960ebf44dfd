"""Hugging Face: the router to other providers, inference endpoints, and the one look-up they need."""

from __future__ import annotations

from ..exchange import Request
from .answers import finished
from .base import PLACEHOLDER, Provider, Unrecordable
from .volatile import COMMON


def _not_a_lookup(request: Request) -> Unrecordable:
    if request.method == "GET" and "inferenceProviderMapping" in request.split().query:
        return None
    return "the model hub"


PROVIDERS = (
    Provider(
        name="huggingface",
        finished=finished,
        hosts=("router.huggingface.co", "api-inference.huggingface.co", "*.endpoints.huggingface.cloud"),
        base_url_env=("HF_INFERENCE_ENDPOINT", "HF_API_BASE", "HUGGINGFACE_API_BASE"),
        key_env=("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_API_KEY"),
        normalise=COMMON,
        sdks=("huggingface_hub", "openai", "litellm"),
        # A key that does not begin so is taken for that of another provider, and sent to another URL.
        placeholders=(("HF_TOKEN", "hf_" + PLACEHOLDER.replace("-", "_")),),
        shape="openai",
    ),
    # An inference client asks the hub first who serves a model: without that answer nothing replays offline.
    # Everything else of the hub (model files of many gigabytes) has its own cache and is left alone.
    Provider(
        name="huggingface-hub",
        finished=finished,
        hosts=("huggingface.co",),
        base_url_env=("HF_ENDPOINT",),
        key_env=("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
        skip=_not_a_lookup,
        paths=("/api/models/",),
    ),
)
