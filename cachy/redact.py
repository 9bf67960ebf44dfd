"""What must never be stored, and how it is taken out. Everything below this module has passed through it.

Three rules:
- Request headers are not stored at all, except the few that carry meaning (a provider says which).
- Values with the name of a secret (query parameters, form and JSON fields) are dropped or blanked by name.
- Strings with the shape of an API key, and the very keys the request was sent with, are masked wherever they
  stand, in requests and in answers. A mask has the length of what it hides, so lengths and chunks stay true; it
  is the same for the same secret and masks to itself, so an agent that sends a masked answer back still hits.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from hashlib import blake2b
from operator import itemgetter
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, urlencode, urlsplit, urlunsplit

from .key_shapes import PREFIXES, SHAPES

BLANK = "[redacted]"

PERHAPS_SECRET = frozenset((
    "key", "token", "upload_id", "appid", "app_key", "access_key", "user_key", "api_token", "auth", "secret",
    "session_token",
))  # fmt: skip
"""Names of parameters that are secrets at providers and elsewhere as likely the name of a record or a page."""

SECRET_QUERY = PERHAPS_SECRET | frozenset(
    [
        "api_key",
        "apikey",
        "api-key",
        "access_token",
        "auth_token",
        "sig",
        "signature",
        "client_secret",
        "subscription-key",
        "x-amz-signature",
        "x-amz-credential",
        "x-amz-security-token",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-algorithm",
        "x-amz-signedheaders",
        "x-goog-signature",
        "x-goog-credential",
        "x-goog-date",
        "x-goog-expires",
        "x-goog-algorithm",
        "x-goog-signedheaders",
        "awsaccesskeyid",
        "googleaccessid",
        "client-secret",
        "app_secret",
        "apitoken",
        "hapikey",
    ]
)

SECRET_HEADERS = frozenset(
    [
        "authorization",
        "proxy-authorization",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        "ocp-apim-subscription-key",
        "x-amz-security-token",
        "xi-api-key",
        "x-subscription-token",
        "x-auth-token",
        "x-access-token",
        "cookie",
    ]
)

# Fields of JSON and form bodies whose string value is a secret at any depth (MCP servers carry their tokens so).
_FIELDS = frozenset(
    [
        "api_key",
        "apikey",
        "api-key",
        "authorization",
        "authorization_token",
        "access_token",
        "refresh_token",
        "id_token",
        "client_secret",
        "secret_access_key",
        "aws_secret_access_key",
        "aws_session_token",
        "private_key",
        "password",
        "x-api-key",
    ]
)

# Looked up in lower case, so that protobuf's JSON (`accessToken`) is meant too.
SECRET_FIELDS = _FIELDS | {name.replace("_", "") for name in _FIELDS}

# Response headers that a client needs on replay (measured: shared notes, sdks.md); nothing else is stored.
KEPT_HEADERS = frozenset(
    [
        "content-type",
        "content-length",
        "content-disposition",
        "content-range",
        "accept-ranges",
        "content-language",
        "etag",
        "last-modified",
        "link",
        "location",
        "retry-after",
        "retry-after-ms",
        "x-should-retry",
        "request-id",
        "x-request-id",
        "apim-request-id",
        "x-ms-request-id",
        "x-amzn-requestid",
        "x-amzn-errortype",
        "x-amzn-bedrock-content-type",
        "x-amzn-bedrock-input-token-count",
        "x-amzn-bedrock-output-token-count",
        "x-amzn-bedrock-cache-read-input-token-count",
        "x-amzn-bedrock-cache-write-input-token-count",
        "x-goog-upload-url",
        "x-goog-upload-status",
        "x-goog-upload-chunk-granularity",
        "x-goog-upload-control-url",
        "x-goog-upload-size-received",
        # Where to poll for what a 202 has begun (Azure), how far an upload is (tus), what a file is (Dropbox, Google).
        "operation-location",
        "azure-asyncoperation",
        "upload-offset",
        "upload-length",
        "dropbox-api-result",
        "x-goog-hash",
        "allow",
        "x-repo-commit",
        "x-linked-size",
        "x-linked-etag",
        # How far a list goes on (of many servers; of GitLab; of WordPress): who misses them takes it for complete.
        "x-total-count",
        "x-total",
        "x-total-pages",
        "x-page",
        "x-per-page",
        "x-prev-page",
        "x-next-page",
        "x-wp-total",
        "x-wp-totalpages",
        "openai-model",
        "openai-version",
    ]
)

_URLS = frozenset(
    (
        "location",
        "operation-location",
        "azure-asyncoperation",
        "x-goog-upload-url",
        "x-goog-upload-control-url",
    )
)

MARK = "REDACTED"
"""How a mask begins."""
# Words of a signature (AWS) that hide nothing.
_NO_SECRETS = SECRET_HEADERS | {"AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"}
PATH_SAFE = "!$&'()*+,;=:@~"
"""What is not escaped in a segment of a path."""
SHORTEST = 16
"""Characters of a secret; a shorter "key" (test, none, ollama) may be an ordinary word of an answer."""


def mask(secret: str) -> str:
    """A string of the same length that does not tell the secret: `REDACTED3f9a...`; idempotent."""
    if secret.startswith(MARK):
        return secret
    digest = blake2b(secret.encode("utf-8", "surrogatepass"), digest_size=32).hexdigest()
    return (MARK + digest + "x" * len(secret))[: len(secret)]


def mask_text(text: str, known: Iterable[str] = ()) -> str:
    """`text` with everything masked that has the shape of a key or is one of the `known` secrets."""
    for secret in known:
        if secret in text:
            text = text.replace(secret, mask(secret))
    if any(prefix in text for prefix in PREFIXES):
        text = SHAPES.sub(lambda match: mask(match.group()), text)
    return text


def mask_bytes(body: bytes, known: Iterable[str] = ()) -> bytes:
    """`mask_text` for the body of an answer; what is not UTF-8 is binary and left as it is."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return body
    masked = mask_text(text, known)
    return body if masked is text or masked == text else masked.encode()


def secrets_of(headers: Iterable[tuple[str, str]], url: str, more: frozenset[str] = frozenset()) -> list[str]:
    """The keys and tokens that a request is sent with (in its headers, cookies and query), the longest first.

    Each in every form in which a URL, a JSON text or an answer may repeat it.
    """
    found: set[str] = set()
    for name, value in headers:
        if name in SECRET_HEADERS or name in more:
            # "Bearer X", "Basic X", "AWS4-HMAC-SHA256 Credential=..., Signature=...", "a=1; b=2"
            for piece in re.split(r"[\s,;]+", value):
                found.update((piece, piece.partition("=")[2]))
            scheme, _, sent = value.partition(" ")
            if scheme.lower() == "basic":
                found.update(_user_and_password(sent))
    query = urlsplit(url).query
    found.update(value for name, value in parse_qsl(query) if is_secret_name(name, more))
    forms: set[str] = set()
    for secret in found - _NO_SECRETS:
        if len(secret) >= SHORTEST:
            forms.update((secret, json.dumps(secret)[1:-1]))
            forms.update((quote_plus(secret), *(quote(secret, safe=safe) for safe in ("", "/", PATH_SAFE))))
    return sorted(forms, key=len, reverse=True)


def _user_and_password(sent: str) -> tuple[str, ...]:
    try:
        pair = base64.b64decode(sent, validate=True).decode()
    except ValueError:
        return ()
    return pair, pair.partition(":")[2]


def is_secret_name(name: str, more: frozenset[str] = frozenset()) -> bool:
    """Whether a query parameter or form field of this name holds a secret."""
    lower = name.lower()
    return lower in SECRET_QUERY or lower in SECRET_FIELDS or lower in more


def query_that_counts(
    pairs: Iterable[tuple[str, str]], more: frozenset[str] = frozenset()
) -> list[list[str]]:
    """The parameters of a query that carry meaning, sorted by name; without its secrets."""
    found = [[name, kept] for name, value in pairs if (kept := _kept(name, value, more)) is not None]
    return sorted(found, key=itemgetter(0))  # `sort=a&sort=b` is not `sort=b&sort=a`


def _kept(name: str, value: str, more: frozenset[str]) -> str | None:
    """What of the value of a parameter or field may be stored; None: nothing, it is a secret by its name."""
    if not is_secret_name(name, more):
        return value
    lower = name.lower()
    if lower not in PERHAPS_SECRET or lower in more:
        return None
    return value if len(value) < SHORTEST else mask(value)


def blank_request(form: dict[str, Any], more: frozenset[str] = frozenset()) -> dict[str, Any]:
    """A canonical request whose body fields with the name of a secret read `[redacted]`, at any depth; JSON and
    addresses in its headers alike."""
    if isinstance(form.get("headers"), dict):
        headers = {name: _blank_header(value, more) for name, value in form["headers"].items()}
        form = {**form, "headers": headers}
    body = form.get("body")
    if not isinstance(body, dict):
        return form
    if "json" in body:
        body = {**body, "json": _blank(body["json"], more)}
    elif "form" in body:
        body = {"form": [[name, _blanked(name, value, more)] for name, value in body["form"]]}
    elif "multipart" in body:
        body = {
            "multipart": [
                {**part, "text": _blanked(part.get("name", ""), part["text"], more)}
                if "text" in part
                else part
                for part in body["multipart"]
            ]
        }
    return {**form, "body": body}


def _blank_header(value: Any, more: frozenset[str]) -> Any:
    if not isinstance(value, str):
        return value  # a line that was edited by hand
    if value.startswith("{"):
        try:
            return json.dumps(_blank(json.loads(value), more))
        except (ValueError, RecursionError):
            pass
    return url_without_secrets(value, more) if "://" in value else value


def _blanked(name: str, value: Any, more: frozenset[str]) -> Any:
    kept = _kept(name, value, more) if isinstance(value, str) else value
    return BLANK if kept is None else kept


def _blank(value: Any, more: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {
            name: BLANK
            if isinstance(item, str) and (name.lower() in SECRET_FIELDS or name.lower() in more)
            else _blank(item, more)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_blank(item, more) for item in value]
    return value


def url_without_secrets(url: str, more: frozenset[str] = frozenset()) -> str:
    """`url` without user name and password, its secret query parameters masked."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    query = parts.query
    pairs = parse_qsl(query, keep_blank_values=True, errors="surrogateescape") if query else []
    if any(is_secret_name(name, more) for name, _ in pairs):
        masked = [(name, mask(value) if is_secret_name(name, more) else value) for name, value in pairs]
        query = urlencode(masked, errors="surrogateescape")
    return urlunsplit((parts.scheme, host, parts.path, query, parts.fragment))


def answer_headers(
    headers: Iterable[tuple[str, str]], extra: frozenset[str] = frozenset(), known: Iterable[str] = ()
) -> tuple[tuple[str, str], ...]:
    """The response headers worth keeping (`KEPT_HEADERS` and `extra`), with secrets masked; never a cookie."""
    kept = []
    encoded = any(name == "content-encoding" and value != "identity" for name, value in headers)
    for name, value in headers:
        if name not in KEPT_HEADERS and (name not in extra or name == "set-cookie"):
            continue
        if encoded and name in ("content-length", "content-encoding"):
            continue  # the body is stored decoded
        is_url = name in _URLS
        kept.append((name, mask_text(url_without_secrets(value) if is_url else value, known)))
    return tuple(kept)
