"""What one session has recorded, and under which key it looks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from . import redact, repeats
from .clocks import utc as _utc
from .exchange import Request, Response
from .flights import PATIENCE, Flight
from .keys import Canonical, Rules, rules_for
from .notices import say_once
from .policy import Found, age, time_to_live
from .recording import recorded_at, response_of
from .redirects import STATUSES
from .streaming import now

if TYPE_CHECKING:
    from .providers import Claim, Provider
    from .settings import Settings
    from .stores import Store


class Recorded:
    """The store of a session, asked with its settings."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        self.store = store
        # Of a store with a shared one behind it: see `cachy.stores.layered`.
        self.fetch: Callable[[str], Flight | None] | None = getattr(store, "fetch", None)
        self.lease: Callable[[str, Flight], Flight | None] | None = getattr(store, "lease", None)
        self.turns = repeats.Turns()
        self.counts_turns = settings.repeats != "same"
        self._inspected = False
        self.waited = 0.0
        """Seconds that the first look-up took, until a miss has told of it: it may have read a large file."""
        self.secret_names = frozenset(name.lower() for name in settings.redact)
        """What the settings add to the names of secrets, in lower case."""
        self._ignore = None
        if settings.ignore:
            from .ignore import Ignore

            self._ignore = Ignore.of(settings.ignore)
        # By the identity of the provider, which is kept alive with them.
        self._rules: dict[int, tuple[Rules, Provider]] = {}

    def rules(self, provider: Provider) -> Rules:
        """What decides the keys of a provider's requests in this session."""
        known = self._rules.get(id(provider))
        if known is None:
            rules = rules_for(provider, self.secret_names, self._ignore)
            known = self._rules[id(provider)] = (rules, provider)
        return known[0]

    def shown_url(self, request: Request, claim: Claim) -> str:
        """The URL of a request as people may see it."""
        url = redact.url_without_secrets(request.url, claim.provider.secret_query | self.secret_names)
        return redact.mask_text(url, self.secrets_of(request, claim))

    def secrets_of(self, request: Request, claim: Claim) -> list[str]:
        """The keys that a request is sent with, in every form in which it or its answer may repeat them."""
        more = claim.provider.secret_headers | claim.provider.secret_query | self.secret_names
        return redact.secrets_of(request.headers, request.url, more)

    def recorded(self, key: str) -> Response | None:
        """The answer that is recorded under `key`, whole or partial, or None. Raises StoreError."""
        began = 0.0 if self._inspected else now()
        line = self.store.get(key)
        if not self._inspected:
            self._inspected = True
            self.waited = now() - began
            if problems := self.store.problems:
                say_once(problems)
        if line is None:
            return None
        try:
            return response_of(line)
        except ValueError as problem:
            say_once(f"recording {key[:8]} in {self.store.url} is damaged and is ignored ({problem})")
            return None

    def takes(self, status: int) -> bool:
        """Whether answers with this HTTP status are recorded at all: success, redirects, and what the settings add."""
        return 200 <= status < 300 or status in STATUSES or status in self.settings.record_status

    def found(self, request: Request, claim: Claim, wanted: Canonical, recorded: Response | None) -> Found:
        """What an answer that lies under the key of `wanted` is good for. Raises StoreError."""
        if recorded is None:
            return Found.NOTHING
        if recorded.partial:
            return Found.PARTIAL
        if self.settings.ttl and self._has_expired(wanted.key, request.split().path, claim):
            return Found.EXPIRED
        return Found.WHOLE

    def _has_expired(self, key: str, path: str, claim: Claim) -> bool:
        """Whether the answer under `key` to a request for `path` is older than its `ttl`."""
        seconds = time_to_live(self.settings.ttl, claim.provider.name, claim.host, path)
        line = self.store.get(key) if seconds is not None else None
        return seconds is not None and line is not None and age(recorded_at(line), _utc()) > seconds

    def turned(self, wanted: Canonical, request: Request, claim: Claim) -> tuple[Canonical, tuple[str, int]]:
        """The request as it is asked for the n-th time in this run."""
        question = wanted.key
        turn = self.turns.take(question)
        if self.settings.repeats == "cycle" and self.settings.mode == "replay" and turn > 1:
            turn = self.turns.wrapped(question, turn, self._has_turn(wanted, self.secrets_of(request, claim)))
        return repeats.of_turn(wanted, turn), (question, turn)

    def _has_turn(self, wanted: Canonical, known: list[str]) -> Callable[[int], bool]:
        def has(turn: int) -> bool:
            asked = repeats.of_turn(wanted, turn)
            stored = asked.redacted(self.secret_names, known)
            if any(self.recorded(form.key) for form in (asked, stored)):
                return True
            elsewhere = self.fetch(stored.key) if self.fetch else None
            if elsewhere:
                elsewhere.wait(PATIENCE)  # it has a limit of its own
            return bool(elsewhere and self.recorded(stored.key))

        return has
