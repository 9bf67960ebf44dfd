"""`cachy verify`: is every line a whole recording, is it under its right key, is there a secret in it?"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

from .. import redact
from ..explain.nearest import leaves
from ..keys import from_object
from ..legacy import LINE
from ..policy import age
from ..providers import known
from ..providers.base import PLACEHOLDER
from ..recording import KEY_AT, Recording
from ..report import terminal
from ..report.entry import Entry
from ..stores import Store
from ..stores.folder import to_line
from ..stores.jsonl import JsonlStore
from ..stores.lines import CONFLICT, HEAD, tombstone
from . import shelf
from .talk import Problem, counted, emit_list, line, progress, say


class Finding(NamedTuple):
    """What is wrong with a line. `kind`: `damaged`, `key` or `secret`; no secret is in `what`."""

    file: str
    number: int | None
    """Of the line, from 1; None where a store has no lines."""
    key: str
    kind: str
    what: str


class Checks:
    """Looks at lines. `checked` counts them."""

    def __init__(self, only_secrets: bool = False, secret_names: frozenset[str] = frozenset()) -> None:
        self._only_secrets = only_secrets
        self._names = secret_names
        # The keys of this machine, wherever they stand, whatever they look like.
        variables = {name for provider in known() for name in provider.key_env}
        values = {os.environ.get(name, "") for name in variables} - {PLACEHOLDER}
        self._keys = sorted(
            (value for value in values if len(value) >= redact.SHORTEST), key=len, reverse=True
        )
        self.checked = 0

    def line(self, file: str, number: int | None, text: bytes) -> Iterator[Finding]:
        """What is wrong with a line of a file."""
        text = text.strip()
        if not text:
            return
        key = text[KEY_AT].decode("ascii", "replace") if text.startswith(HEAD) else ""
        if key and text == tombstone(text[KEY_AT]):
            return
        if not key and (found := LINE.match(text)):
            key = (found[1] or found[2]).decode()
        self.checked += 1
        if not self._only_secrets:
            wrong = _wrong(key, text)
            if wrong:
                yield Finding(file, number, key, *wrong)
        for place in self._secrets(text):
            yield Finding(file, number, key, "secret", f"a secret in {place}")

    def _secrets(self, text: bytes) -> list[str]:
        """Where in a line there are secrets."""
        whole = text.decode("utf-8", "replace")
        try:
            facts = json.loads(whole)
        except (ValueError, RecursionError):
            facts = None
        found = []
        if isinstance(facts, dict):
            for path, value in leaves(facts):
                if isinstance(value, str) and redact.mask_text(value, self._keys) != value:
                    found.append(_path(path))
            request = facts.get("request")
            if isinstance(request, dict):
                blank = dict(leaves(redact.blank_request(request, self._names)))
                found += [
                    _path(("request", *path)) for path, value in leaves(request) if blank.get(path) != value
                ]
        if not found and redact.mask_text(whole, self._keys) != whole:
            found.append("the line")
        return list(dict.fromkeys(found))


def _path(steps: Iterable[str | int]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")


def _wrong(key: str, text: bytes) -> tuple[str, str] | None:
    if text[:7] in CONFLICT:
        return "damaged", "left by a git merge; delete such lines"
    if not key:
        return "damaged", "not a recording; delete it"
    try:
        if len(key) == 8:
            Entry(key, text).check()
            return None
        recording = Recording.from_line(text)
        age(recording.at, 0)  # raises ValueError for what is no time
        lengths = sum(length for _, length in recording.response.chunks)
        if recording.response.chunks and lengths != len(recording.response.body):
            return "damaged", "the pieces of its answer do not add up; delete it"
        if from_object(recording.request).key != key:
            return "key", "its request has been changed: the key is another one; `cachy rekey` gives it that"
    except (ValueError, TypeError, KeyError, RecursionError):
        return "damaged", "not a whole recording; delete it"
    return None


def verify(argv: list[str]) -> int:
    """`cachy verify`: 1 when anything is wrong."""
    parser = shelf.parser(
        "verify",
        "Check every line: is it a whole recording, is it under the key of its request, is there a secret in it"
        " (something that looks like a key, or a key that is set in this environment).",
        "  cachy verify\n  cachy verify --secrets --staged     in a pre-commit hook",
    )
    parser.add_argument("--secrets", action="store_true", help="look for secrets only")
    parser.add_argument(
        "--staged", action="store_true", help="the lines that `git commit` would add, of any store"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(argv)
    found = shelf.loaded(options.store)
    checks = Checks(options.secrets, frozenset(name.lower() for name in found.redact))
    if options.staged:
        where = "what is staged"
        findings = _staged(checks, found.store)
    else:
        store = shelf.opened(options)
        where = terminal.place(store.url)
        findings = of_store(checks, store)
    if options.json:
        count = emit_list({"store": where}, "findings", (finding._asdict() for finding in findings))
        return 1 if count else 0
    count, secrets = 0, False
    for finding in findings:
        secrets |= finding.kind == "secret"
        number = f":{finding.number}" if finding.number else ""
        line((f"{finding.file}{number}", "bold"), f"  {finding.key[:8]}  ", (finding.what, "red"))
        count += 1
    say(f"{counted(checks.checked)} checked, {count or 'nothing'} found")
    if secrets:
        say(
            "secrets: `cachy rekey` masks them, `cachy rm KEY` deletes; a key that was ever committed should be replaced"
        )
    return 1 if count else 0


def of_store(checks: Checks, store: Store) -> Iterator[Finding]:
    """What is wrong in a store; of a file in each of its lines, those that were replaced too."""
    place = terminal.place(store.url)
    if not isinstance(store, JsonlStore):
        for _, text in progress(store, len(store), "Checking"):
            yield from checks.line(place, None, text)
        if store.problems:
            yield Finding(place, None, "", "damaged", store.problems)
        return
    with open(store.url, "rb") as file:
        for number, text in progress(enumerate(_lines(file), 1), len(store), "Checking"):
            yield from checks.line(place, number, text)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    first = file.readline().removeprefix(b"\xef\xbb\xbf")
    if first:
        yield first
    yield from file


_DIFF = [
    "diff", "--cached", "--unified=0", "--text", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames",
    "--src-prefix=a/", "--dst-prefix=b/", "--diff-filter=d", "--", ".",
]  # fmt: skip
_RECORDINGS = "*.rec"  # in a folder store a file is one recording, and its body as it is


def _staged(checks: Checks, store: str) -> Iterator[Finding]:
    """What is wrong in the lines that are about to be committed: of the store whatever it is, elsewhere recordings."""
    root = os.path.realpath(_git(".", "rev-parse", "--show-toplevel").decode().strip())
    files = _git(root, "diff", "--cached", "--name-only", "-z", "--diff-filter=d", "--", _RECORDINGS)
    for name in filter(None, files.decode("utf-8", "surrogateescape").split("\0")):
        try:
            text = to_line(_git(root, "cat-file", "blob", f":{name}"))
        except ValueError as problem:
            yield Finding(name, None, "", "damaged", f"the file {problem}; delete it")
        else:
            yield from checks.line(name, None, text)
    own = os.path.realpath(store)
    for name, number, text in _added(root):
        is_store = os.path.join(root, *name.split("/")) == own
        if is_store or text.startswith(HEAD) or LINE.match(text):
            yield from checks.line(name, number, text)


def _added(root: str) -> Iterator[tuple[str, int, bytes]]:
    """The staged lines of all files that are no recordings by themselves: (file, number in it from 1, line)."""
    with subprocess.Popen(
        ["git", *_DIFF, f":(exclude){_RECORDINGS}"], cwd=root, stdout=subprocess.PIPE
    ) as git:
        assert git.stdout is not None
        name, number, in_head = "", 0, True
        for text in git.stdout:
            if text.startswith(b"diff --git "):
                in_head = True
            elif in_head and text.startswith(b"+++ "):
                name = text[4:].strip().strip(b'"').removeprefix(b"b/").decode("utf-8", "replace")
            elif text.startswith(b"@@ "):
                in_head = False
                number = int(text.split(b"+", 1)[1].split(b" ", 1)[0].split(b",")[0])
            elif not in_head and text.startswith(b"+"):
                yield name, number, text[1:]
                number += 1
    if git.returncode:
        raise Problem("git could not tell what is staged")


def _git(folder: str, *words: str) -> bytes:
    try:
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        raise Problem("--staged works in a git repository only") from None


def facts(findings: Iterable[Finding]) -> dict[str, Any]:
    """How many findings there are of each kind, and the first of them."""
    counts: dict[str, int] = {}
    first = None
    for finding in findings:
        counts[finding.kind] = counts.get(finding.kind, 0) + 1
        first = first or finding
    return {"findings": counts, "first": first._asdict() if first else None}
