"""No keys are needed to replay: where nothing is sent, a missing key gets a placeholder, so that SDKs can be built.

Only in replay mode, only for a provider that the store has recordings of, and never over a value that is there.
The placeholder is no secret and looks like none; it stands in the environment of this process and its children.
"""

from __future__ import annotations

import os
from functools import wraps
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .exchange import Request
from .notices import say_once
from .providers import known
from .providers.base import PLACEHOLDER, Provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MARK = "placeholder-no-key-needed"
_lent: dict[str, str] = {}
"""The variables that we set, with their values."""


def lend(sdk: str, recorded: frozenset[str]) -> None:
    """Set the key variables that the clients of an SDK need, for the providers that were recorded."""
    for provider in known(recorded):
        if provider.name in recorded and sdk in provider.sdks and not _has_credentials(provider):
            for name, value in _placeholders(provider, sdk):
                # An empty one is what CI makes of a secret that it does not have.
                if not os.environ.get(name):
                    os.environ[name] = _lent[name] = value


def take_back() -> None:
    """Unset the placeholders: a client that is built from now on is to say that it has no key."""
    while _lent:
        name, value = _lent.popitem()
        if os.environ.get(name) == value:
            del os.environ[name]


def lent() -> list[str]:
    """The variables that hold a placeholder of ours, sorted."""
    return sorted(name for name, value in _lent.items() if os.environ.get(name) == value)


def tell_of(request: Request) -> None:
    """Say it once when a call goes out with a placeholder in the place of its key: no provider will answer it."""
    if _lent and (_marked(request.url) or any(_marked(value) for _, value in request.headers)):
        names = ", ".join(lent()) or "the key"
        say_once(f"a call goes out with the placeholder of replay mode as its key; set {names}")


def _marked(text: str) -> bool:
    return _MARK in text or _MARK.replace("-", "_") in text


def _placeholders(provider: Provider, sdk: str) -> Iterator[tuple[str, str]]:
    if provider.placeholders:
        yield from provider.placeholders
        return
    if provider.key_env:
        yield provider.key_env[0], PLACEHOLDER
    # The SDK itself asks for the key of the service that it was made for, wherever its base URL leads.
    home = next((other for other in known() if other.sdks[:1] == (sdk,)), None)
    if home is not None and home.key_env and not _has_credentials(home):
        yield home.key_env[0], PLACEHOLDER


def _has_credentials(provider: Provider) -> bool:
    if any(os.environ.get(name) not in (None, "", _lent.get(name)) for name in provider.key_env):
        return True
    return provider.name == "bedrock" and _has_aws_credentials()


def _has_aws_credentials() -> bool:
    """Whether AWS's SDK would find credentials somewhere else: what we set would come before them."""
    places = ("AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    if any(os.environ.get(name) for name in (*places, "AWS_CONTAINER_CREDENTIALS_FULL_URI")):
        return True
    folder = os.path.join(os.path.expanduser("~"), ".aws")
    files = (("AWS_SHARED_CREDENTIALS_FILE", "credentials"), ("AWS_CONFIG_FILE", "config"))
    return any(os.path.exists(os.environ.get(name) or os.path.join(folder, file)) for name, file in files)


def patch_google(module: ModuleType, wanted: Callable[[], bool]) -> None:
    """Have `google.auth.default` give placeholder credentials where `wanted()` and there are none.

    No variable can do that: every kind of credentials that one may name gets its token over the network.
    """
    default = module.default
    if hasattr(default, "__wrapped__"):
        return

    @wraps(default)
    def with_placeholder(*args: Any, **kwargs: Any) -> Any:
        if not wanted() or _has_google_credentials():
            return default(*args, **kwargs)
        from google.oauth2 import credentials  # type: ignore[import-untyped, import-not-found, unused-ignore]

        class Placeholder(credentials.Credentials):  # type: ignore[misc, unused-ignore]
            """Credentials that are never refreshed."""

            def refresh(self, request: Any) -> None:
                """Nothing is asked of anybody."""

        project = os.environ.get("GOOGLE_CLOUD_PROJECT") or os.environ.get("GCLOUD_PROJECT")
        return Placeholder(PLACEHOLDER), project  # type: ignore[no-untyped-call, unused-ignore]

    module.default = with_placeholder  # type: ignore[attr-defined]


def _has_google_credentials() -> bool:
    if os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        return True
    home = (
        os.environ.get("APPDATA", "") if os.name == "nt" else os.path.join(os.path.expanduser("~"), ".config")
    )
    folder = os.environ.get("CLOUDSDK_CONFIG") or os.path.join(home, "gcloud")
    return os.path.exists(os.path.join(folder, "application_default_credentials.json"))
