"""Where a run is led by redirects, to see when it is led in a circle.

A page that redirects until it gets a cookie, by way of a sign-in or to itself, and a server that sends from http to
https (which no key tells apart) answer one request first with a redirect and then with what was asked for. A replay
of the redirect would lead there again and again.

One that leads to a signed address has lost the signature in its recording, and would have soon expired with it.
"""

from __future__ import annotations

from urllib.parse import unquote, unquote_plus, urljoin, urlsplit

from .exchange import Request, Response
from .providers.hosts import written
from .redact import MARK

STATUSES = frozenset((301, 302, 303, 307, 308))
_MOST = 10_000  # that are remembered; far more than one chain has


def is_signed(response: Response) -> bool:
    """Whether a recorded redirect leads to an address whose signature, or key, was not recorded."""
    return MARK in response.header("location")


class Redirects:
    """The redirects that were answered in one run. Safe for threads."""

    def __init__(self) -> None:
        self._next: dict[str, str] = {}

    def note(self, request: Request, response: Response) -> None:
        """An answer has been given, whether a redirect or what ends one."""
        location = response.header("location") if response.status in STATUSES else ""
        if not location:  # among them Google's 308, by which an upload goes on
            if self._next:
                self._next.pop(_place(request.url), None)
            return
        if len(self._next) >= _MOST:
            self._next.clear()
        self._next[_place(request.url)] = _place(request.url, location)

    def leads_back(self, request: Request) -> bool:
        """Whether the redirect that answers this request was seen to lead back to it."""
        start = place = _place(request.url)
        for _ in range(len(self._next)):
            place = self._next.get(place, "")
            if place == start:
                return True
            if not place:
                break
        return False


def _place(url: str, location: str = "") -> str:
    """A URL (or a `location`, seen from it) as keys tell it apart: without its scheme and what stands after #.

    And without its quoting: a client does not ask for a location as the server wrote it, each quotes more or less.
    """
    try:
        parts = urlsplit(urljoin(url, location) if location else url)
        host = written(parts.scheme, parts.hostname or "", parts.port)
    except ValueError:
        return location or url
    return f"{host}{unquote(parts.path) or '/'}?{unquote_plus(parts.query)}"
