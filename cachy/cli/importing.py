"""The verb that takes over what other tools have recorded: `import`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from hashlib import blake2b

from .. import formats, repeats
from ..calls import recording_of
from ..engine import Engine
from ..exchange import Request, Response
from ..formats import Interaction, Unreadable
from ..keys import canonical
from ..providers import Claim, Registry
from ..providers.plain import PLAIN
from ..recording import response_of
from ..stores import open_store
from . import shelf
from .moving import Outcome, put
from .talk import Problem, progress

_STORES = (".jsonl", ".txt")


def import_(argv: list[str]) -> int:
    """`cachy import PATH...`: 1 when something could not be read, 2 for an I/O error."""
    parser = shelf.parser(
        "import",
        "Take over what other tools have recorded: cassettes of vcrpy and pytest-recording (YAML, JSON), HAR files,"
        " and files of pycachy. Of different answers to the same request the first is that of the first time it is"
        ' asked in a run, the next one that of the second (`repeats = "sequence"`). What is there already stays, so an'
        " import that was interrupted goes on when it is started again.",
        "  cachy import tests/cassettes          every cassette and HAR file below a folder\n"
        "  cachy import old/cachy.jsonl          a file of pycachy\n"
        "  cachy import session.har --all-hosts  also what is no provider's",
    )
    parser.add_argument("paths", metavar="PATH", nargs="+", help="files, or folders of them")
    parser.add_argument(
        "--all-hosts", action="store_true", help="also hosts that are no provider's and not in `hosts`"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(argv)
    for path in options.paths:
        if not os.path.exists(path):
            raise Problem(f"{path} does not exist")
    paths = list(formats.files(options.paths))
    if not paths:
        endings = ", ".join(formats.ENDINGS)
        raise Problem(f"no file below {' or '.join(options.paths)} ends in one of {endings}")
    found = shelf.loaded(options.store)
    store = open_store(found.store, found.limits)
    taker = _Taker(Engine(found, store), Registry(found.hosts), options.all_hosts)
    try:
        for _ in progress(taker.take(paths), sum(map(os.path.getsize, paths)), "Importing", taker.reached):
            pass
    finally:
        store.close()
    return taker.outcome.tell("imported into", store.url, options.json)


class _Taker:
    """Puts what files hold into a store, as if it had been recorded."""

    def __init__(self, engine: Engine, registry: Registry, all_hosts: bool) -> None:
        self.outcome = Outcome()
        self._engine = engine
        self._registry = registry
        self._all_hosts = all_hosts
        self._turns: dict[str, tuple[int, set[bytes]]] = {}
        """Of questions that came again: the first turn that was not looked at, the answers of those before it."""
        self._behind = self._within = 0  # bytes of the files that are done, and of the one that is not

    def take(self, paths: list[str]) -> Iterator[None]:
        """All of these files, a step for each thing that they hold. Raises OSError and StoreError."""
        for path in paths:
            yield from self._take_store(path) if path.lower().endswith(_STORES) else self._take_file(path)

    def reached(self) -> int:
        """How many bytes of the files have been read."""
        return self._behind + self._within

    def _take_file(self, path: str) -> Iterator[None]:
        with open(path, "rb") as file:
            try:
                for item in formats.read(file):
                    if isinstance(item, Unreadable):
                        self.outcome.skip(str(item), path)
                    else:
                        self._take(item)
                    self._within = file.tell() if file.seekable() else 0
                    yield
            except Unreadable as problem:
                self.outcome.skip(str(problem), path)
        self._done(path)

    def _take_store(self, path: str) -> Iterator[None]:
        source, size = shelf.existing(path), os.path.getsize(path)
        total = len(source)
        for done, (key, line) in enumerate(source, 1):
            try:
                put(self._engine.store, key, line, self.outcome, replace=False)
            except ValueError:
                self.outcome.skip("damaged", key[:8])
            self._within = size * min(done, total) // max(1, total)
            yield
        if problems := source.problems:
            self.outcome.skip(problems, path)
        source.close()
        self._done(path)

    def _done(self, path: str) -> None:
        self._behind += os.path.getsize(path)
        self._within = 0

    def _take(self, item: Interaction) -> None:
        request, engine = item.request, self._engine
        claim, reason = self._claim(request)
        reason = reason or (claim and self._why_not(claim, item)) or ""
        if reason or claim is None:
            self.outcome.skip(reason)
            return
        asked = canonical(request, claim, engine.rules(claim.provider))
        asked = asked.redacted(engine.secret_names, engine.secrets_of(request, claim))
        recording = recording_of(engine, request, claim, asked, item.response, item.at)
        answer = _digest(recording.response)
        turn, known = self._turns.get(asked.key, (1, set()))
        while answer not in known:
            wanted = repeats.of_turn(asked, turn)
            there = engine.store.get(wanted.key)
            if there is None:
                engine.store.put(
                    wanted.key, replace(recording, key=wanted.key, request=wanted.data()).to_line()
                )
                self.outcome.taken += 1
                break
            try:
                known.add(_digest(response_of(there)))
            except ValueError:
                pass  # damaged, and somebody else's to heal
            turn += 1
        else:
            self.outcome.skip("there already")
        if turn > 1:
            self._turns[asked.key] = turn, known

    def _claim(self, request: Request) -> tuple[Claim | None, str]:
        try:
            parts = request.split()
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if not host:
            return None, "its URL is none that could be"
        claim = self._registry.claim(parts.scheme, host, port, parts.path)
        if claim is None and self._all_hosts:
            claim = Claim(PLAIN, parts.netloc.rpartition("@")[2].lower())
        return claim, "" if claim else f"{host} is no provider's and not in `hosts` (--all-hosts takes it)"

    def _why_not(self, claim: Claim, item: Interaction) -> str | None:
        """Why a live call would not have been recorded, or None."""
        status = item.response.status
        if not self._engine.takes(status):
            return f"status {status}"
        if self._engine.uploads.of(item.request):
            return "an upload in several requests"
        return claim.provider.skip(item.request) or claim.provider.finished(item.request, item.response, True)


def _digest(response: Response) -> bytes:
    """What makes it another answer."""
    return blake2b(b"%d " % response.status + response.body, digest_size=16).digest()
