"""What a provider is to cachy: a description of one service, or of a family of services with the same shape.

A provider holds facts and pure functions; it does no I/O and knows no HTTP client. A third party describes
its own service the same way and names it in the entry point group `cachy.providers`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..echo import Normalise
from ..exchange import Request, Response
from ..redact import PERHAPS_SECRET
from . import rpc

if TYPE_CHECKING:
    from .usage import Usage

Json = Any
"""A parsed JSON value."""

Unrecordable = str | None
"""None, or the reason in a few words ("the stream ended without its end marker")."""

LEFT = "the consumer left before the end"
"""The reason when as much as was read is a good beginning: it is kept as a partial recording."""

Finished = Callable[[Request, Response, bool], Unrecordable]


def words(text: str) -> frozenset[str]:
    """The words of `text`, which spaces separate."""
    return frozenset(text.split())


MEANING = words(
    "range if-range anthropic-beta anthropic-version openai-beta extra-parameters x-portkey-provider"
    " x-portkey-config"
    " helicone-target-url azureml-model-deployment"
)
"""Request headers that change the meaning of a call, whichever service it goes to: gateways and clouds speak
the dialects of several providers on one host."""

_LISTS = (
    "/files /batches /fine_tuning/jobs /vector_stores /file_batches /assistants /threads /messages /runs /steps"
    " /uploads /parts /responses /input_items /conversations /items /containers /evals /output_items /videos /jobs"
    " /checkpoints /events /operations /tunedmodels /cachedcontents /filesearchstores /documents /corpora /skills"
    " /chat/completions /fine-tunes /datasets /libraries /agents /predictions /trainings /deployments /connectors"
)
_LISTS_OF = tuple(_LISTS.split())


def is_listing(request: Request) -> bool:
    """Whether a GET (or a call of gRPC) lists what other calls add to and take from. The list of models is none:
    nobody's calls change it."""
    if request.method == rpc.METHOD:
        return rpc.lists(request)
    return request.split().path.rstrip("/").lower().endswith(_LISTS_OF)


def never(request: Request) -> bool:
    """For a service without such requests."""
    return False


def never_unsettled(request: Request, response: Response) -> bool:
    """For a service whose unfinished answers are known as such, and not recorded."""
    return False


PLACEHOLDER = "cachy-placeholder-no-key-needed-in-replay-mode"
"""What stands in the place of a key where nothing is sent: it is visible in the error of a provider that gets it
all the same."""

_TOKEN_ENDINGS = ("/token", "/oauth/access_token", "/issuetoken")
_TELEMETRY = ("/v1/traces/ingest", "/api/event_logging/batch")


def not_content(request: Request) -> Unrecordable:
    """The reason when a request is a token exchange or telemetry, which no replay could or should repeat."""
    if request.method != "POST":
        return None
    path = request.split().path.rstrip("/").lower()
    if path.endswith(_TOKEN_ENDINGS):
        return "a token exchange"
    if path.endswith(_TELEMETRY):
        return "telemetry"
    return None


def usage_told(request: Request, response: Response) -> Usage | None:
    """The tokens that an answer in any known API says it has cost, or None."""
    from .usage import usage  # only for those who ask: no call does

    return usage(request, response)


@dataclass(frozen=True, slots=True)
class Provider:
    """One service, or a family of them.

    `finished` decides whether an answer ended well and may be recorded; it is given the whole answer with its
    decoded body, and `clean`: whether the body was read to its end (False: the consumer left early).
    `cachy.providers.answers.finished` does it for all known API shapes.
    `skip` names the requests that must pass untouched and unrecorded (token exchange, telemetry).
    """

    name: str
    finished: Finished
    hosts: tuple[str, ...] = ()
    """Host patterns: `api.openai.com`, `localhost:11434`, or with `*` for one or more whole labels
    (`*.openai.azure.com`) or for a part of one label (`*-aiplatform.googleapis.com`)."""
    base_url_env: tuple[str, ...] = ()
    """Environment variables in which the SDKs take another base URL."""
    key_env: tuple[str, ...] = ()
    """Environment variables in which the SDKs look for the API key."""
    sdks: tuple[str, ...] = ()
    """Modules of the SDKs for it, its own first: before one of them is imported in replay mode, placeholders are
    set for keys (see `cachy.placeholders`)."""
    placeholders: tuple[tuple[str, str], ...] = ()
    """(variable, value) of these placeholders; by default the first of `key_env`."""
    headers: frozenset[str] = MEANING
    """Request headers (lower case) that change the meaning; `x-amzn-bedrock-*` is a prefix."""
    secret_headers: frozenset[str] = frozenset()
    """Request headers of this provider that carry a secret, beyond those in `cachy.redact`."""
    secret_query: frozenset[str] = PERHAPS_SECRET
    """Query parameters of this provider that carry a secret, beyond those in `cachy.redact`."""
    normalise: Normalise | None = None
    """Takes a JSON body, which it is free to change, and a `cachy.echo.Made`; returns the body. It writes in one
    way what the service takes in several, and tells `Made` what the client makes up anew in each run."""
    skip: Callable[[Request], Unrecordable] = not_content
    lists: Callable[[Request], bool] = is_listing
    """Which GET requests list things: in `auto` they go out each time, unless the setting `replay-listings` is on."""
    unsettled: Callable[[Request, Response], bool] = never_unsettled
    """Which recorded answers may have changed since: in `auto` such a request goes out again."""
    usage: Callable[[Request, Response], Usage | None] = usage_told
    """The tokens that a recorded answer has cost."""
    shape: str = ""
    """The API it speaks, by the name of the provider that it comes from: `openai`, `anthropic`, ..."""
    paths: tuple[str, ...] = ()
    """When given: how the paths of the service begin, on a host that serves other things too."""
