"""The verbs that show recordings: `ls`, `search`, `show`."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from ..report import terminal
from ..report.entry import MARKER, Entry, ignored
from ..report.messages import Message, size
from ..stores import Store
from . import shelf
from .parsing import Parser, number
from .talk import Problem, Span, ago, cut, emit, emit_list, for_eyes, for_programs, line, progress, say, width

_NARROW = 72  # characters; a narrower terminal has no room for all columns
_AROUND = 40  # characters before and behind what was searched for
_ARROWS = {"call": "→ ", "result": "← ", "thinking": "", "note": "", "text": ""}
_STYLES = {"call": "cyan", "result": "cyan", "thinking": "dim italic", "note": "magenta", "text": ""}
_ROLES = {"system": "bold yellow", "developer": "bold yellow", "user": "bold green", "tool": "bold cyan"}


def ls(argv: list[str]) -> int:
    """`cachy ls`: one line for each recording, the newest first."""
    parser = shelf.parser(
        "ls",
        "List recordings, the newest first: key, age, provider, model, size, and the last thing that was asked.",
        "  cachy ls --provider openai --model 'gpt-5*'\n  cachy ls --older 90d\n  cachy ls --status 4xx --json",
    )
    shelf.add_filters(parser)
    parser.add_argument("--limit", type=number, metavar="N", help="no more than N")
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(argv)
    store = shelf.opened(options)
    found: Iterator[Entry] = islice(
        _passing(store, shelf.Filter(options, store), options.json), options.limit
    )
    if options.json:
        emit_list({"store": terminal.place(store.url)}, "recordings", (entry.facts() for entry in found))
        return 0
    digits = shelf.digits(store)
    count = 0
    for entry in found:
        row(entry, digits)
        count += 1
    if not count:
        say(f"no recordings{' like that' if len(store) else ''} in {terminal.place(store.url)}")
    return 0


def _passing(store: Store, passes: Callable[[Entry], bool], as_json: bool) -> Iterator[Entry]:
    damaged = 0
    entries = shelf.entries(store)
    if for_eyes() and not as_json:  # elsewhere, lines are only begun, or a pager owns the terminal
        entries = progress(entries, len(store), "Looking")
    for entry in entries:
        try:
            if passes(entry):
                entry.facts()
                yield entry
        except ValueError:
            damaged += 1
    if damaged:
        say(f"{damaged} damaged left out; `cachy verify` names them")
    shelf.tell_skipped(store)


def row(entry: Entry, digits: int) -> None:
    """One line about a recording. Raises ValueError for a damaged one."""
    status = "" if entry.response.status == 200 else str(entry.response.status)
    narrow = width() < _NARROW
    model = 12 if narrow else 22
    facts: list[Span] = [
        (f"{entry.key[:digits]:<{digits}}", "yellow"),
        f"  {ago(entry.age()):>6}",
        "" if narrow else f"  {cut(entry.provider, 11):<11}",
        f"  {cut(entry.model, model):<{model}}",
        "  " if narrow else f"  {size(len(entry.line)):>7}  ",
        (f"{status} " if status else "", "red"),
        ("partial " if entry.response.partial else "", "magenta"),
    ]
    used = sum(len(span if isinstance(span, str) else span[0]) for span in facts)
    line(*facts, cut(entry.title, max(8, width() - used)))


def search(argv: list[str]) -> int:
    """`cachy search WORDS`: the recordings whose question or answer holds them, with the place."""
    parser = shelf.parser(
        "search",
        "Find words in what was asked and answered; streams are put together first.",
        "  cachy search 'Eiffel tower'\n  cachy search --regex 'order \\d+' --provider openai",
    )
    parser.add_argument("words", metavar="WORDS", help="capitals do not matter")
    parser.add_argument("--regex", action="store_true", help="WORDS is a regular expression")
    shelf.add_filters(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(argv)
    try:
        wanted = re.compile(options.words if options.regex else re.escape(options.words), re.IGNORECASE)
    except re.error as problem:
        raise Problem(f"{options.words!r} is no regular expression: {problem}") from None
    store = shelf.opened(options)
    passes = shelf.Filter(options, store)
    hits = (
        (entry, spot)
        for entry in _passing(
            store, lambda entry: passes(entry) and bool(wanted.search(entry.words)), options.json
        )
        if (spot := wanted.search(entry.words)) is not None
    )
    if options.json:
        found = (
            {**entry.facts(), "match": spot.group(), "around": "".join(_around(spot))} for entry, spot in hits
        )
        emit_list({"store": terminal.place(store.url), "words": options.words}, "recordings", found)
        return 0
    digits = shelf.digits(store)
    count = 0
    for entry, spot in hits:
        room = width() - digits - 4 - len(spot.group())  # two spaces, two ellipses
        before, match, behind = _around(spot, max(8, min(_AROUND, room // 2)))
        line((entry.key[:digits], "yellow"), "  ", before, (match, "bold red"), behind)
        count += 1
    if not count:
        say(f"{options.words!r} stands in no recording of {terminal.place(store.url)}")
    return 0


def _around(spot: re.Match[str], most: int = _AROUND) -> tuple[str, str, str]:
    """A match with the words around it, at most so many characters on each side, in one line."""
    text = spot.string
    before = text[max(0, spot.start() - most) : spot.start()].replace("\n", " ").lstrip()
    behind = text[spot.end() : spot.end() + most].replace("\n", " ").rstrip()
    return ("…" if spot.start() > most else "") + before, spot.group().replace("\n", " "), behind


def show(argv: list[str]) -> int:
    """`cachy show KEY`: one recording, as a conversation."""
    parser = shelf.parser(
        "show",
        "Show a recording as a conversation: who says what, which tools are called, a stream put together.",
        "  cachy show 8d1614\n  cachy show 8d1614 --curl\n  cachy show 8d1614 --body > answer.mp3",
    )
    parser.add_argument("key", metavar="KEY", help="the beginning of its key, as `cachy ls` shows it")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--raw", action="store_true", help="the line as it lies in the store")
    form.add_argument("--body", action="store_true", help="the bytes of the answer, and nothing else")
    form.add_argument(
        "--curl", action="store_true", help="a command that asks the same; the key is a variable"
    )
    form.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(argv)
    entry = shelf.find(store := shelf.opened(options), options.key)
    if options.raw or options.body:
        sys.stdout.flush()
        sys.stdout.buffer.write(entry.line + b"\n" if options.raw else entry.response.body)
        return 0
    try:
        entry.check()
        if options.curl:
            from .curl import command

            text = command(entry)
            for_programs()
            print(text)
        elif options.json:
            emit(_whole(entry, shelf.tests_using(store)))
        else:
            _tell(entry, shelf.tests_using(store))
    except ValueError as problem:
        raise Problem(f"recording {entry.key[:8]} is damaged ({problem}); --raw shows its line") from None
    return 0


def textconv(argv: list[str]) -> int:
    """`cachy textconv FILE`: all recordings of a file as text that a diff can be made of."""
    parser = Parser(
        "textconv",
        "Print a file of recordings as conversations, in the order of the file. Git calls it for `git diff` after"
        " `cachy init --git-diff`.",
    )
    parser.add_argument("file", metavar="FILE")
    store = shelf.existing(parser.parse_args(argv).file)
    for_programs()
    for entry in shelf.entries(store, newest_first=False):
        try:
            entry.check()
            _tell(entry, {}, stable=True)
        except ValueError as problem:
            line(f"recording {entry.key}: damaged ({problem})")
        line("")
    store.close()
    return 0


def _whole(entry: Entry, tests: dict[str, list[str]]) -> dict[str, Any]:
    return {
        **entry.facts(),
        "url": entry.request.url if entry.form else None,
        "tests": shelf.tests_of(entry, tests),
        "request": entry.form,
        "ignored": ignored(entry.form),
        "headers": [list(pair) for pair in entry.response.headers],
        "question": _as_json(entry.question),
        "answer": _as_json(entry.answer),
    }


def _as_json(messages: list[Message]) -> list[dict[str, Any]]:
    return [
        {
            "role": message.role,
            "parts": [
                {k: v for k, v in part._asdict().items() if v or k != "name"} for part in message.parts
            ],
        }
        for message in messages
    ]


def _tell(entry: Entry, tests: dict[str, list[str]], stable: bool = False) -> None:
    """Print a recording; `stable`: only what is the same tomorrow and elsewhere."""
    response = entry.response
    line((f"recording {entry.key}", "yellow"))
    if entry.form:
        line(f"  {entry.request.method} {entry.request.url}")
    facts = [
        f"status {response.status}",
        terminal.duration(response.ms) if response.ms else "",
        f"streamed in {len(response.chunks)} pieces" if response.chunks else "",
        "only its beginning, as its reader left" if response.partial else "",
        f"recorded {entry.at}" + ("" if stable else f" ({ago(entry.age())})")
        if entry.at
        else "recorded by pycachy, without its request",
    ]
    line("  " + " · ".join(filter(None, facts)))
    used = entry.usage
    if used:
        cached = f" ({used.cached} from a cache)" if used.cached else ""
        thought = f" ({used.reasoning} of them thinking)" if used.reasoning else ""
        cost = "" if stable else _price(entry)
        line(
            f"  {entry.provider} {entry.model} · {used.input} tokens in{cached}, {used.output} out{thought}{cost}"
        )
    else:
        line(f"  {entry.provider} {entry.model}")
    if entry.options:
        line(f"  with {', '.join(entry.options)}")
    for test in shelf.tests_of(entry, tests):
        line(f"  used by {test}")
    if ignored(entry.form):
        line(("  what stands in ‹› does not count", "dim"))
    for message in [*entry.question, *entry.answer]:
        line("")
        line((message.role, _ROLES.get(message.role, "bold blue")))
        for part in message.parts:
            text = f"{part.name}({part.text})" if part.kind == "call" else part.text
            if part.kind == "result" and part.name:
                text = f"{part.name}: {text}"
            for row in (_ARROWS[part.kind] + text).splitlines():
                line("  ", *_marked(row, _STYLES[part.kind]))


def _price(entry: Entry) -> str:
    from ..report.prices import Prices, dollars

    price = Prices().of(entry)
    return "" if price is None else f" · {dollars(price)} est."


def _marked(text: str, style: str) -> Iterator[Span]:
    """A text in which what does not count can be seen."""
    at = 0
    for spot in MARKER.finditer(text):
        yield text[at : spot.start()], style
        yield spot.group(), "reverse dim"
        at = spot.end()
    yield text[at:], style
