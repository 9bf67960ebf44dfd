"""The verb that hands recordings on to other tools: `export`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from ..exchange import Request
from ..formats import Unreadable, har, vcr
from ..report.entry import Entry, ignored
from ..report.terminal import place
from ..stores import Store
from . import shelf
from .moving import Outcome
from .talk import Problem, for_programs, progress, say

_FORMATS = {"har": har, "vcr": vcr}


def export(argv: list[str]) -> int:
    """`cachy export --format FORMAT`: 1 when something could not be handed on whole, 2 for an I/O error."""
    parser = shelf.parser(
        "export",
        "Hand recordings on to other tools: as a HAR file (browsers, proxies, load testers) or a cassette of vcrpy. They"
        " hold what was recorded: no keys, and of files that were uploaded only that there were some.",
        "  cachy export --format har -o calls.har\n"
        "  cachy export --format vcr --provider openai > cassette.yaml",
    )
    parser.add_argument("--format", choices=sorted(_FORMATS), required=True)
    parser.add_argument("--output", metavar="FILE", help="where to, also -o FILE (default: stdout)")
    # Apart, as Pythons write the two of them in different ways, and docs/cli.md holds one.
    parser.add_argument("-o", dest="output", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    shelf.add_filters(parser)
    options = parser.parse_args(argv)
    store = shelf.opened(options)
    passes = shelf.Filter(options, store)
    outcome = Outcome()
    try:
        with _written(options.output) as out:
            _write(store, passes, _FORMATS[options.format], out, outcome)
        shelf.tell_skipped(store)
        faults = outcome.faults or store.problems
    except Unreadable as problem:
        raise Problem(str(problem)) from None
    finally:
        store.close()
    say(f"{outcome.taken:,} exported" + (f" to {place(options.output)}" if options.output else ""))
    for reason, number in outcome.skipped.most_common():
        say(f"{number:,} {reason}")
    return 1 if faults else 0


def _write(store: Store, passes: shelf.Filter, writer: Any, out: IO[str], outcome: Outcome) -> None:
    out.write(writer.HEAD)
    between = ""
    for entry in progress(shelf.entries(store, newest_first=False), len(store), "Exporting"):
        try:
            if not passes(entry):
                continue
            if entry.is_legacy:
                outcome.skip("skipped: pycachy kept no request")
                continue
            text = writer.entry(_request(entry), entry.response, entry.at)
        except ValueError:
            outcome.skip("skipped: damaged", entry.key[:8])
            continue
        if '"digest"' in json.dumps(entry.form.get("body", {})):
            outcome.skip("exported with digests in the place of files and pictures")
        elif ignored(entry.form):
            outcome.skip("exported with ‹...› where something does not count")
        out.write(between + text)
        between = writer.BETWEEN
        outcome.taken += 1
    out.write(writer.TAIL if outcome.taken else writer.EMPTY_TAIL)


def _request(entry: Entry) -> Request:
    """The request with the content type of its body, which other tools want to know."""
    request, body = entry.request, entry.form.get("body", {})
    kinds = {"json": "application/json", "form": "application/x-www-form-urlencoded"}
    kind = body.get("type") or next((kind for name, kind in kinds.items() if name in body), "")
    headers = (*request.headers, ("content-type", kind)) if kind else request.headers
    return Request(request.method, request.url, headers, request.body)


@contextmanager
def _written(path: str | None) -> Iterator[IO[str]]:
    """Where to write to: a file that is there only when it is whole, or stdout."""
    if path is None:
        for_programs()
        yield sys.stdout
        return
    aside = f"{path}.part"
    try:
        with open(aside, "w", encoding="utf-8", newline="\n") as file:
            yield file
        os.replace(aside, path)
    except BaseException:
        if os.path.exists(aside):
            os.unlink(aside)
        raise
