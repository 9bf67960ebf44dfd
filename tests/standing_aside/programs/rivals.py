"""`rivals.py TOOL CLIENT ORDER`: a call that is recorded, then made again while a mock or a cassette is active."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import Any

from common import URL, ask, enable, told

import cachy

tool, client, order = sys.argv[1:]


@contextmanager
def active() -> Any:
    """The tool, answering with -1 where it is a mock."""
    if tool == "respx":
        import respx

        with respx.mock() as mock:
            mock.get(URL).respond(json={"n": -1})
            yield
    elif tool == "respx on the client":
        import respx

        with respx.mock(using="httpx") as mock:
            mock.get(URL).respond(json={"n": -1})
            yield
    elif tool == "vcrpy":
        import vcr

        with vcr.use_cassette("tape.yaml"):
            yield
    elif tool == "cassetter":
        import cassetter

        with cassetter.use_cassette("tape.yaml"):
            yield
    elif tool == "responses":
        import responses

        with responses.RequestsMock() as mock:
            mock.get(URL, json={"n": -1})
            yield
    elif tool == "aioresponses":
        from aioresponses import aioresponses

        with aioresponses() as mock:
            mock.get(URL, payload={"n": -1}, repeat=True)
            yield


cachy_first = order == "cachy first"
enable()
first = ask(client)
if not cachy_first:
    cachy.disable()
with active():
    if not cachy_first:
        enable()
    inside = [ask(client), ask(client)]
if not cachy_first:
    # What began below our patch and ends before it takes the patch along (respx on the client, cassetter on
    # urllib3); the next `enable` or `using` puts it back.
    enable()
after = ask(client)
told(first=first, inside=inside, after=after)
