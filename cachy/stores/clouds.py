"""What is particular to each cloud's object store: how it is addressed, who logs in, and what it says when it refuses.

    s3://BUCKET/PREFIX     ?endpoint= and ?region= may follow
    gs://BUCKET/PREFIX     ?endpoint= may follow
    az://CONTAINER/PREFIX  or az://CONTAINER@ACCOUNT.blob.core.windows.net/PREFIX; ?endpoint= may follow

Everything else comes from the environment, where these services' own tools look. obstore reads most of it itself
(https://developmentseed.org/obstore/latest/api/store/: `S3Config`, `GCSConfig`, `AzureConfig`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from ..notices import in_brief


class Cloud(NamedTuple):
    """How one of them names things."""

    bucket: str
    endpoint: str
    """obstore's name for `?endpoint=`."""
    endpoints: tuple[str, ...]
    """Variables that it reads an endpoint from."""
    parameters: tuple[str, ...]
    """What may follow in the URL."""
    login: str
    """What to do where nobody is logged in."""


CLOUDS = {
    "s3": Cloud(
        "bucket",
        "endpoint",
        ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
        ("endpoint", "region"),
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (profiles are not read)",
    ),
    "gs": Cloud(
        "bucket",
        "base_url",
        ("GOOGLE_BASE_URL",),
        ("endpoint",),
        "set GOOGLE_APPLICATION_CREDENTIALS, or `gcloud auth application-default login`",
    ),
    "az": Cloud(
        "container",
        "endpoint",
        ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
        ("endpoint",),
        "set AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, or AZURE_USE_AZURE_CLI=true",
    ),
}


class Address(NamedTuple):
    """What obstore is given."""

    url: str
    config: dict[str, str]
    plain: bool
    """Whether it is spoken to without TLS."""


def address(url: str, environ: Mapping[str, str]) -> Address:
    """Where the store at `url` is. Raises ValueError, with words for a person, when it cannot be meant so."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    cloud = CLOUDS[scheme]
    config = {}
    container, account, host = parts.netloc.rpartition("@")
    if scheme == "az":
        config = _azure(environ)
        if account:
            config["account_name"] = host.partition(".")[0]
            if not host.endswith((".blob.core.windows.net", ".dfs.core.windows.net")):
                config["endpoint"] = f"https://{host}"
    for name, value in parse_qsl(parts.query):
        if name not in cloud.parameters:
            known = " or ".join(f"?{name}=" for name in cloud.parameters)
            raise ValueError(f"it takes {known} and no ?{name}=; everything else comes from the environment")
        config[cloud.endpoint if name == "endpoint" else name] = value
    endpoint = config.get(cloud.endpoint) or next(filter(None, map(environ.get, cloud.endpoints)), "")
    if endpoint:
        if not re.match(r"https?://[^/?#\s]", endpoint):  # obstore panics
            raise ValueError("its endpoint does not begin with http:// or https://")
        config[cloud.endpoint] = endpoint
    bucket = container if account and scheme == "az" else host
    if not bucket:
        raise ValueError(f"it names no {cloud.bucket}")
    if parts.fragment:
        raise ValueError("a # in it is written %23")
    return Address(f"{scheme}://{bucket}{parts.path}", config, endpoint.startswith("http://"))


def whose(url: str, environ: Mapping[str, str]) -> str:
    """What tells the store at `url` from one of another account, or on another server, whose URL is the same."""
    parts = urlsplit(url)
    cloud = CLOUDS.get(parts.scheme.lower())
    try:
        config = address(url, environ).config if cloud else {}
    except ValueError:
        return ""
    if cloud is CLOUDS["az"]:
        config.setdefault("account_name", environ.get("AZURE_STORAGE_ACCOUNT_NAME", ""))
    return " ".join(
        config.get(name, "") for name in ("account_name", cloud.endpoint if cloud else "")
    ).strip()


def _azure(environ: Mapping[str, str]) -> dict[str, str]:
    """What `az` and Azure's SDKs read from the environment and obstore does not; its own names come first.

    Connection strings: https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string
    """
    text = environ.get("AZURE_STORAGE_CONNECTION_STRING", "")
    said = {name.strip(): value for name, _, value in (part.partition("=") for part in text.split(";"))}
    if said.get("UseDevelopmentStorage", "").lower() == "true":
        return {"use_emulator": "true"}
    account = said.get("AccountName") or environ.get("AZURE_STORAGE_ACCOUNT", "")
    endpoint = said.get("BlobEndpoint", "").rstrip("/")
    if account and said.get("EndpointSuffix") and not endpoint:
        protocol = said.get("DefaultEndpointsProtocol", "https")
        endpoint = f"{protocol}://{account}.blob.{said['EndpointSuffix']}"
    found = {
        "account_name": account or (urlsplit(endpoint).hostname or "").partition(".")[0],
        "account_key": said.get("AccountKey") or environ.get("AZURE_STORAGE_KEY", ""),
        "sas_key": said.get("SharedAccessSignature", ""),
        "endpoint": endpoint,
    }
    return {name: value for name, value in found.items() if value and not any(map(environ.get, _OWN[name]))}


_OWN = {
    "account_name": ("AZURE_STORAGE_ACCOUNT_NAME",),
    "account_key": ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_MASTER_KEY"),
    "sas_key": ("AZURE_STORAGE_SAS_KEY", "AZURE_STORAGE_SAS_TOKEN"),
    "endpoint": CLOUDS["az"].endpoints,
}
"""The variables that obstore reads."""


_MISSING = re.compile(r"NoSuchBucket|ContainerNotFound|specified (bucket|container) does not exist")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"status code: (\d{3}[A-Za-z ]*)")
_HOST = re.compile(r"https?://([^/\s]+)")
_MACHINE = re.compile(
    r"/latest/api/token|/latest/meta-data/|/computeMetadata/|/metadata/identity/|//169\.254\."
)
"""Where a machine in a cloud asks for its role; a laptop has nobody there."""


def is_missing(problem: BaseException) -> bool:
    """Whether what is not there is the bucket itself."""
    return _MISSING.search(str(problem)) is not None


def reason(problem: BaseException, url: str) -> str:
    """Why the store at `url` cannot be used, in a few words and without what was sent; and what to do, if that is known.

    obstore tells what happened in its text alone, the answer of the service in it.
    """
    parts = urlsplit(url)
    cloud = CLOUDS[parts.scheme.lower()]
    text = str(problem).partition("\n\nDebug source")[0]
    status, code, host = (
        found[1].strip() if (found := pattern.search(text)) else "" for pattern in (_STATUS, _CODE, _HOST)
    )
    answer = " ".join(filter(None, (status, code)))
    if is_missing(problem) or isinstance(problem, FileNotFoundError):
        return f"there is no {cloud.bucket} {urlsplit(address(url, {}).url).netloc}"
    if _MACHINE.search(text):
        return f"no credentials were found, nor has this machine a role; {cloud.login}"
    if "Account must be specified" in text:
        return "no account is named: set AZURE_STORAGE_ACCOUNT_NAME, or write az://CONTAINER@ACCOUNT.blob.core.windows.net/PREFIX"
    if "unknown variant `external_account`" in text:
        return "obstore knows no federated credentials; set GOOGLE_BEARER_TOKEN to an access token (docs/stores.md)"
    if "token request" in text and status:
        return f"logging in at {host} failed ({answer}); {cloud.login}"
    if status[:3] in ("401", "403"):
        return f"it refuses these credentials ({answer})"
    if "region" in text and "redirect" in text:
        return "it is in another region: set AWS_REGION, or add ?region= to the URL"
    if "error sending request" in text:
        return f"{host} cannot be reached"
    if status:
        return f"it answers {answer}"
    return re.sub(r"^GenericError: Generic \w+ error: ", "", in_brief(problem))
