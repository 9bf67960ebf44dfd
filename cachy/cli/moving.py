"""The verbs that move recordings from one store to another: `copy`."""

from __future__ import annotations

import os
from collections import Counter

from ..recording import Recording
from ..report.terminal import place
from ..stores import Store, open_store
from . import shelf
from .parsing import Parser
from .talk import Problem, emit, line, progress, say

_FOR_PEOPLE = 3  # keys that are named with a reason


class Outcome:
    """What became of the recordings that were to be moved."""

    def __init__(self) -> None:
        self.taken = 0
        self.skipped: Counter[str] = Counter()
        self._named: dict[str, list[str]] = {}

    def skip(self, reason: str, name: str = "") -> None:
        """One was not taken; `name` says which, when there is something wrong with it."""
        self.skipped[reason] += 1
        if name:
            named = self._named.setdefault(reason, [])
            if len(named) < _FOR_PEOPLE:
                named.append(name)

    @property
    def faults(self) -> bool:
        """Whether anything was wrong with what was skipped."""
        return bool(self._named)

    def tell(self, what: str, target: str, as_json: bool) -> int:
        """Report it; the exit status: 1 when something that should have been taken could not be."""
        if as_json:
            emit({"target": place(target), "taken": self.taken, "skipped": dict(self.skipped)})
        else:
            line(f"{self.taken:,} {what} {place(target)}")
            for reason, number in self.skipped.most_common():
                names = self._named.get(reason, [])
                more = ", ..." if number > len(names) else ""
                line(f"{number:,} skipped: {reason}" + (f" ({', '.join(names)}{more})" if names else ""))
        return 1 if self.faults else 0


def copy(argv: list[str]) -> int:
    """`cachy copy FROM TO`: 1 when a recording is damaged, 2 for an I/O error."""
    parser = Parser(
        "copy",
        "Copy every recording of one store into another one, of the same kind or not. What is there already stays;"
        " so a copy that was interrupted goes on when it is started again.",
        "  cachy copy cachy.jsonl cachy/      one file per recording, for a team on GitHub\n"
        "  cachy copy cachy.jsonl cachy.db    for a large private cache",
    )
    parser.add_argument("source", metavar="FROM", help="path or URL of a store")
    parser.add_argument("target", metavar="TO", help="path or URL of a store; made when it does not exist")
    parser.add_argument("--replace", action="store_true", help="where both have an answer, take that of FROM")
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(argv)
    source, target = shelf.existing(options.source), open_store(options.target)
    if not source.url.count("://") and os.path.realpath(source.url) == os.path.realpath(target.url):
        raise Problem("FROM and TO are the same store")
    outcome, problems = Outcome(), None
    front = shelf.in_front(options.target) if options.replace else None
    try:
        for key, found in progress(source, len(source), "Copying"):
            try:
                if len(key) == 32:
                    Recording.from_line(found)
                put(target, key, found, outcome, options.replace)
                if front is not None:
                    front.delete(key)
            except ValueError:
                outcome.skip("damaged", key[:8])
        problems = source.problems
        if problems:
            say(f"cachy: {problems}")
    finally:
        source.close()
        target.close()
        if front is not None:
            front.close()
    return max(outcome.tell("copied to", target.url, options.json), bool(problems))


def put(target: Store, key: str, found: bytes, outcome: Outcome, replace: bool) -> None:
    """Put a recording where none of its key is. Raises StoreError, and ValueError when it is none."""
    there = target.get(key)
    if there == found:
        outcome.skip("there already")
    elif there is not None and not replace:
        outcome.skip("there already, with another answer (--replace takes it)")
    else:
        if there is not None and len(key) == 8:
            target.delete(key)  # of pycachy's lines the first one counts
        target.put(key, found)
        outcome.taken += 1
