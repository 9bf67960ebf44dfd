"""The head of an answer on its way between a recording and a client."""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus


@lru_cache(maxsize=64)
def _phrase(status: int) -> str:
    """What HTTP calls a status, or ""."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def own_reason(status: int, said: str) -> str | None:
    """What to record of the words that a server gave with a status: nothing when they are the usual ones. Some
    (Tomcat) give none."""
    return None if said == _phrase(status) else said


def reason_for(status: int, recorded: str | None) -> str:
    """The words that a replay gives with a status: what `own_reason` had recorded, or the usual ones."""
    return _phrase(status) if recorded is None else recorded


def raw_header(text: str) -> bytes:
    """The bytes of a recorded name or value."""
    try:
        return text.encode("latin-1")  # as it was read
    except UnicodeEncodeError:  # edited by hand, or pycachy's
        return text.encode("utf-8", "replace")
