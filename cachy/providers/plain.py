"""Plain HTTP: a host that the settings name, of which nothing else is known."""

from __future__ import annotations

from ..exchange import Request, Response
from .answers import judge
from .base import MEANING, Provider, Unrecordable, never, words
from .jobs import not_final_anywhere, perhaps_not_final


def _finished(request: Request, response: Response, clean: bool) -> Unrecordable:
    return judge(request, response, clean, not_final_anywhere, errors=False)


PLAIN = Provider(
    name="plain",
    finished=_finished,
    lists=never,
    unsettled=perhaps_not_final,
    secret_query=frozenset(),
    # What any server may choose its answer by, or take for the method.
    headers=MEANING
    | words("accept accept-language prefer if-none-match if-modified-since x-http-method-override"),
)
PROVIDERS = (PLAIN,)
