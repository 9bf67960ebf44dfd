"""Plain HTTP: a host that the settings name, of which nothing else is known."""

from __future__ import annotations

from ..exchange import Request, Response
from .answers import judge
from .base import MEANING, Provider, Unrecordable, never, words
from .jobs import not_final_anywhere, perhaps_not_final

# What any server may choose its answer by, or take for the method.
_CHOSEN_BY = words(
    "accept accept-language prefer if-match if-none-match if-modified-since if-unmodified-since x-requested-with"
    " x-http-method-override x-http-method x-method-override api-version x-api-version"
)
# Where a service is asked in headers, with the same URL and body each time.
_SAID_IN_HEADERS = words(
    # AWS: the operation (JSON protocol), the source of a copy (S3), the model behind an endpoint (SageMaker).
    "x-amz-target x-amz-copy-source x-amz-copy-source-range x-amzn-sagemaker-*"
    # Azure's Blob Storage: the range, and the source of a copy.
    " x-ms-range x-ms-copy-source"
    # The operation of SOAP 1.1; the target of a copy or move in WebDAV (RFC 4918); the file or piece of an upload.
    " soapaction destination depth content-range upload-*"
    # The fields that Google's APIs are asked for, all arguments of Dropbox's content API, the schema of PostgREST.
    " x-goog-fieldmask dropbox-api-arg accept-profile content-profile"
    # Whose account it is about, and the version of the API.
    " stripe-account stripe-version notion-version x-github-api-version"
    # What Jina's reader makes of a page.
    " x-return-format x-respond-with x-target-selector x-remove-selector x-engine"
)


def _finished(request: Request, response: Response, clean: bool) -> Unrecordable:
    return judge(request, response, clean, not_final_anywhere, errors=False)


PLAIN = Provider(
    name="plain",
    finished=_finished,
    lists=never,
    unsettled=perhaps_not_final,
    secret_query=frozenset(),
    headers=MEANING | _CHOSEN_BY | _SAID_IN_HEADERS,
)
PROVIDERS = (PLAIN,)
