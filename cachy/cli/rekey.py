"""`cachy rekey`: bring recordings under the keys that today's rules and settings give to their requests.

So a new entry of `ignore`, an alias in `hosts`, or a newer cachy need not cost what is recorded. Secrets are masked
as they would be today, in answers too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import urlsplit

from .. import echo, redact
from ..exchange import Echo
from ..ignore import Ignore
from ..keys import Canonical, again, from_object, rules_for
from ..providers import Registry, by_name
from ..providers.plain import PLAIN
from ..recording import Recording
from ..report import terminal
from ..settings import Settings
from ..stores import Store
from . import shelf
from .talk import agreed, counted, emit, progress, say
from .tend import compacted_store

_ID = "‹id {}›"
_KNOWN = frozenset(("method", "host", "path", "query", "headers", "body", "variant", "turn"))
"""What `cachy.keys` makes a canonical request of, and `cachy.repeats`."""


class _Plan(NamedTuple):
    """How many recordings get another key, fall together with another one, are only masked, and cannot be read."""

    moved: int
    merged: int
    masked: int
    damaged: int


def main(argv: list[str]) -> int:
    """`cachy rekey`: 0 when all recordings are under the keys of today."""
    parser = shelf.parser(
        "rekey",
        "Bring the recordings under the keys that today's settings give to their requests, so that a new entry of"
        " `ignore` or `hosts` needs no new recordings; mask what is a secret by today's rules. Recordings that become"
        " the same are one afterwards, the newest.",
        "  cachy rekey --dry-run",
    )
    shelf.add_consent(parser, "write")
    options = parser.parse_args(argv)
    store = shelf.opened(options)
    work = _Work(store, shelf.loaded(options.store))
    plan = work.plan()
    shelf.tell_skipped(store)
    write = not options.dry_run and any(plan[:3]) and (not options.json or options.yes)
    if options.json:
        emit({"store": terminal.place(store.url), **plan._asdict(), "written": write})
    else:
        say(
            f"{plan.moved} of {counted(len(store))} get another key, {plan.merged} of them fall together with"
            f" another one; {plan.masked} are masked anew"
        )
        if plan.damaged:
            say(f"{plan.damaged} damaged left alone; `cachy verify` names them")
        write = write and agreed(f"rewrite them in {terminal.place(store.url)}?", options.yes)
    if write:
        front = shelf.in_front(shelf.loaded(options.store).store)
        work.do(front)
        if front is not None:
            front.close()
        compacted_store(store)
    return 0


class _Work:
    """The recordings of a store that are to be written anew."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._names = frozenset(name.lower() for name in settings.redact)
        self._ignore = Ignore.of(settings.ignore) if settings.ignore else None
        self._registry = Registry(settings.hosts)
        self.damaged = 0

    def plan(self) -> _Plan:
        """What there is to do. The store is only read."""
        moved = merged = masked = 0
        taken: set[bytes] = set()
        for _, old, new in self._changed("Looking"):
            if old.key == new.key:
                masked += 1
                continue
            moved += 1
            key = bytes.fromhex(new.key)
            merged += key in taken or self._store.get(new.key) is not None
            taken.add(key)
        return _Plan(moved, merged, masked, self.damaged)

    def do(self, front: Store | None) -> None:
        """Write them; `front` forgets what it keeps of them. A crash leaves each recording under its old key, its new
        one, or both. What is recorded anew meanwhile stays as it is."""
        for line, old, new in self._changed("Writing"):
            if self._store.get(old.key) != line:
                continue
            if new.key == old.key or not self._has_newer(new):
                self._store.put(new.key, new.to_line())
            if new.key != old.key:
                self._store.delete(old.key)
            if front is not None:
                front.delete(old.key)

    def _has_newer(self, new: Recording) -> bool:
        """Whether a recording is there already that is at least as new. A damaged one is none."""
        there = self._store.get(new.key)
        try:
            return there is not None and Recording.from_line(there).at >= new.at
        except ValueError:
            return False

    def _changed(self, what: str) -> Iterator[tuple[bytes, Recording, Recording]]:
        """(its line, as it is, as it would be recorded today) of each recording for which these differ."""
        self.damaged = 0
        entries = shelf.entries(self._store, newest_first=False)
        for entry in progress(entries, len(self._store), what):
            if entry.is_legacy:
                continue  # it has no request; it is found by pycachy's own keys
            try:
                old = Recording.from_line(entry.line)
                wanted = self._today(Recording.from_line(entry.line))
            except (ValueError, TypeError, KeyError, AttributeError):
                self.damaged += 1
                continue
            answer = replace(old.response, body=redact.mask_bytes(old.response.body), echo=_echo(old, wanted))
            if wanted.key != old.key or answer.body != old.response.body:
                yield entry.line, old, replace(old, key=wanted.key, request=wanted.data(), response=answer)

    def _today(self, recording: Recording) -> Canonical:
        form = recording.request
        if form.keys() - _KNOWN:
            # A part of an upload, whose key is made of the whole upload (see `cachy.uploads`).
            return from_object(form)
        provider = by_name(recording.provider) or PLAIN
        rules = rules_for(provider, self._names, self._ignore)
        return again(form, rules, self._host(str(form["host"]), str(form["path"]))).redacted(self._names)

    def _host(self, host: str, path: str) -> str:
        """The name that the setting `hosts` gives to a host today: an alias or any port, mostly itself."""
        if "*" in host:
            return host
        parts = urlsplit(f"//{host}")
        claim = self._registry.claim("https", parts.hostname or "", parts.port, path)
        return claim.host if claim else host


def _echo(old: Recording, wanted: Canonical) -> Echo:
    """What the answer repeats of the request, by the numbers that ids have today."""
    numbers = {text: number for number, text in enumerate(wanted.ids, 1)}
    kept: list[tuple[int | str, str]] = []
    for name, text in old.response.echo:
        now = numbers.get(_ID.format(name)) if isinstance(name, int) else name
        if now is not None:
            kept.append((now, text))
    return (*kept, *echo.find(old.response, wanted))
