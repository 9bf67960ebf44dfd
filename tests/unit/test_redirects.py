"""Where a run is led by redirects, and whether that is back to where it was."""

from __future__ import annotations

import pytest

from cachy.exchange import Body, Request, Response
from cachy.redirects import Redirects

PAGE = "https://h.example/page"


def get(url: str) -> Request:
    return Request("GET", url, (), Body(b""))


def led(*hops: tuple[str, str]) -> Redirects:
    """A run that was led from each first URL to what its `location` says."""
    found = Redirects()
    for url, location in hops:
        found.note(get(url), Response(302, (("location", location),)))
    return found


@pytest.mark.parametrize(
    "hops",
    [
        [(PAGE, PAGE)],
        [(PAGE, "/page#part")],
        [("http://h.example/page", PAGE)],
        [("http://h.example:80/page", "https://h.example:443/page")],
        [(PAGE, "https://sso.example/in?to=1"), ("https://sso.example/in?to=1", PAGE)],
        [(PAGE, "/a"), ("https://h.example/a", "b"), ("https://h.example/b", "page")],
    ],
)
def test_a_circle(hops: list[tuple[str, str]]) -> None:
    """By way of others or straight, whatever the scheme, relative or not."""
    assert led(*hops).leads_back(get(PAGE))


@pytest.mark.parametrize(
    "hops",
    [
        [],
        [(PAGE, "/other")],
        [(PAGE, "")],
        [(PAGE, "/page?x=1")],
        [(PAGE, "https://h.example:8443/page")],
        [(PAGE, "/a"), ("https://h.example/a", "/b"), ("https://h.example/b", "/a")],
        [(PAGE, "http://[broken/page")],
    ],
)
def test_no_circle(hops: list[tuple[str, str]]) -> None:
    """It ends elsewhere, or goes round without coming back here."""
    assert not led(*hops).leads_back(get(PAGE))


def test_what_ends_a_chain_ends_the_circle() -> None:
    """When the page itself has answered, it redirects no more."""
    found = led((PAGE, "/in"), ("https://h.example/in", PAGE))
    found.note(get(PAGE), Response(200))
    assert not found.leads_back(get(PAGE))
    assert not found.leads_back(get("https://h.example/in"))
