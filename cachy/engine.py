"""The way of one call: provider, canonical request, key, store, decision; and, after a live call, the recording.

A transport asks `Engine.ask` and gets a `Replay`, or a `Forward` with which it makes the call itself. The engine
does no network I/O, knows no HTTP client, and raises nothing but `Miss`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from . import redact, tally
from .errors import Miss
from .exchange import Headers, Request, Response
from .keys import Canonical, canonical
from .notices import in_brief, say_once
from .policy import Action, decide
from .recording import Recording, response_of
from .stores import StoreError
from .streaming import Decode, Tee, now, settle, undisturbed

if TYPE_CHECKING:
    from .providers import Claim
    from .settings import Settings
    from .stores import Store

Watch = Callable[[str, str, Request], None]
"""Called with the outcome, the key and the request."""

_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_utc_now = datetime.now  # copied: see streaming._clock


@dataclass(frozen=True, slots=True)
class Replay:
    """Answer with this recorded response; nothing is sent."""

    response: Response
    pace: float


class Forward:
    """Make the call. `answered` says what to do with the answer."""

    __slots__ = ("_call", "_started")

    def __init__(self, call: _Call | None) -> None:
        self._call = call
        self._started = now()

    def answered(
        self, status: int, headers: Headers, decode: Decode, http_version: str = "HTTP/1.1", reason: str = ""
    ) -> Tee | None:
        """The head of the answer has arrived: a `Tee` to feed its raw body into, or None when it is not recorded."""
        call = self._call
        if call is None:
            return None
        if not (200 <= status < 300 or status in _REDIRECTS or status in call.engine.settings.record_status):
            call.drop(f"status {status}")
            return None
        tally.before_telling(settle)
        head = Response(status=status, headers=headers, http_version=http_version, reason=reason)
        return Tee(head, self._started, decode, call.keep, call.drop)

    def failed(self) -> None:
        """The call raised before an answer arrived."""
        if self._call is not None:
            self._call.drop("the call failed")


class Engine:
    """Settings, registry and store of one session, and the decisions made with them."""

    def __init__(self, settings: Settings, store: Store, watch: Watch | None = None) -> None:
        """`watch` is told of every decision: `hit`, `recorded` (it is going to be called) or `missed`."""
        self.settings = settings
        self.store = store
        self._watch = watch
        self._inspected = False
        self.secret_names = frozenset(name.lower() for name in settings.redact)
        """What the settings add to the names of secrets, in lower case."""
        self._kept = frozenset(name.lower() for name in settings.keep_headers)

    def ask(self, request: Request, claim: Claim) -> Replay | Forward:
        """Decide one call. Raises Miss in replay mode when there is no recording; nothing else."""
        with undisturbed:
            return self._ask(request, claim)

    def _ask(self, request: Request, claim: Claim) -> Replay | Forward:
        try:
            mode = self.settings.mode
            wanted = canonical(request, claim, self.secret_names)
            found = self._look_up(wanted.key) if mode in ("auto", "replay") else None
            if found is None:
                # Only now, as nothing of the kind is ever recorded: a hit need not ask.
                reason = claim.provider.skip(request)
                if reason:
                    tally.count("bypassed", reason=reason)
                    return Replay(_not_sent(reason), 0.0) if mode == "replay" else Forward(None)
                # From here on the request may be stored or shown, so its body is redacted first.
                bare, wanted = wanted, wanted.redacted(self.secret_names)
                if mode in ("auto", "replay"):
                    found = self._look_up(wanted.key) if wanted is not bare else None
                    found = found or (self._adopt(request, claim, wanted) if self.store.legacy else None)
            action = decide(mode, found=found is not None, changes_state=_changes_state(request))
            if self._watch:
                outcome = {Action.REPLAY: "hit", Action.REFUSE: "missed"}.get(action, "recorded")
                self._watch(outcome, wanted.key, request)
        except Exception as problem:
            reason = str(problem) if isinstance(problem, StoreError) else in_brief(problem)
            if self.settings.mode == "replay":
                # Going on would mean a live call, which replay mode promises never to make.
                raise self._refusal(request, claim, None, reason) from problem
            say_once(f"a call went on unrecorded ({reason})")
            unusable = isinstance(problem, StoreError)
            tally.count("bypassed", reason="the store cannot be used" if unusable else "an error of cachy")
            return Forward(None)
        if action is Action.REPLAY and found is not None:
            tally.count("hit", ms=found.ms)
            return Replay(found, self.settings.pace)
        if action is Action.REFUSE:
            tally.count("missed")
            miss = self._refusal(request, claim, wanted)
            if self.settings.on_miss == "respond":
                return Replay(_error(str(miss)), 0.0)
            raise miss
        return Forward(_Call(self, request, claim, wanted) if action is Action.RECORD else None)

    def _look_up(self, key: str) -> Response | None:
        line = self.store.get(key)
        if not self._inspected:
            self._inspected = True
            if problems := self.store.problems:
                say_once(problems)
        if line is None:
            return None
        try:
            return response_of(line)
        except ValueError as problem:
            say_once(f"recording {key[:8]} in {self.store.url} is damaged and is ignored ({problem})")
            return None

    def _adopt(self, request: Request, claim: Claim, wanted: Canonical) -> Response | None:
        """Find what pycachy recorded, by its own keys, and record it under ours."""
        from . import legacy

        for key in legacy.keys(request):
            line = self.store.get(key)
            if line is None:
                continue
            try:
                response = legacy.response_of(line)
            except ValueError:
                continue
            well = 200 <= response.status < 300 or response.status in self.settings.record_status
            if not well and self.settings.mode != "replay":
                # pycachy 0.0.22 froze errors (a 401 of a dummy key); only a run that may not call serves them.
                continue
            if self.settings.mode != "replay" and well:
                self.record(request, claim, wanted, response)
            return response
        return None

    def record(self, request: Request, claim: Claim, wanted: Canonical, response: Response) -> None:
        """Write the recording. Raises StoreError."""
        provider = claim.provider
        known = redact.secrets_of(request.headers, request.url, provider.secret_headers | self.secret_names)
        body = redact.mask_bytes(response.body, known)
        recording = Recording(
            key=wanted.key,
            at=_utc_now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            provider=provider.name,
            request=wanted.data(),
            response=Response(
                status=response.status,
                headers=redact.answer_headers(response.headers, self._kept, known),
                body=body,
                chunks=response.chunks,
                ms=response.ms,
                http_version=response.http_version,
                reason=response.reason,
            ),
        )
        self.store.put(recording.key, recording.to_line())

    def _refusal(self, request: Request, claim: Claim, wanted: Canonical | None, problem: str = "") -> Miss:
        from .explain import explain

        return explain(self, request, claim, wanted, problem)


class _Call:
    """One live call that is to be recorded."""

    __slots__ = ("claim", "engine", "request", "wanted")

    def __init__(self, engine: Engine, request: Request, claim: Claim, wanted: Canonical) -> None:
        self.engine = engine
        self.request = request
        self.claim = claim
        self.wanted = wanted

    def keep(self, response: Response, clean: bool) -> None:
        reason = self.claim.provider.finished(self.request, response, clean)
        if reason:
            self.drop(reason)
            return
        try:
            self.engine.record(self.request, self.claim, self.wanted, response)
        except StoreError as problem:
            say_once(str(problem))
            self.drop("the store could not be written")
            return
        tally.count("recorded", ms=response.ms)

    def drop(self, reason: str) -> None:
        tally.count("bypassed", reason=reason)


def _changes_state(request: Request) -> bool:
    if request.method == "DELETE":
        return True
    return "cancel" in request.url and request.split().path.rstrip("/").endswith(("/cancel", ":cancel"))


def _not_sent(reason: str) -> Response:
    """The answer, in replay mode, to what is never recorded: a background thread that exports traces is not to
    be killed by a Miss, and nothing is to be sent."""
    return _error(f"cachy: {reason} is never recorded, and in replay mode nothing is sent")


def _error(message: str) -> Response:
    """A 424 answer in the shape that OpenAI, Anthropic and Google SDKs all read, and none of them retries."""
    import json

    error = {"type": "cachy_miss", "code": 424, "status": "FAILED_PRECONDITION", "message": message}
    body = json.dumps({"type": "error", "error": error, "message": message}).encode()
    headers = (("content-type", "application/json"), ("x-should-retry", "false"))
    return Response(status=424, headers=headers, body=body)
