"""The way of one call: provider, canonical request, key, store, decision.

A transport asks `Engine.ask` and gets a `Replay`, a `Forward` with which it makes the call itself (see
`cachy.calls`), or a `Wait`. The engine does no network I/O, knows no HTTP client, and raises nothing but `Miss`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import echo, placeholders, repeats, tally, verdicts
from .calls import Forward, Recorder, Verifier, write
from .errors import Miss, fit_for_here
from .exchange import Request, Response
from .flights import Flight, Flights
from .keys import Canonical, canonical
from .notices import in_brief, say_once
from .policy import Action, Found, decide
from .providers import rpc
from .recorded import Recorded
from .redirects import STATUSES, Redirects, is_signed
from .sign_in import is_sign_in
from .stores import StoreError
from .streaming import undisturbed
from .uploads import Upload, Uploads

if TYPE_CHECKING:
    from .providers import Claim
    from .settings import Settings
    from .stores import Store

Watch = Callable[[str, str, str, str], None]
"""Called with the outcome, the key, the method and the URL without its secrets."""


@dataclass(slots=True)  # not frozen: that makes one at three times the cost, on the way of every hit
class Replay:
    """Answer with this recorded response; nothing is sent."""

    response: Response
    pace: float
    at_end: Callable[[], None] | None = None
    """Call this when all pieces of a partial answer have been handed out and more is wanted; it raises Miss."""


@dataclass(frozen=True, slots=True)
class Wait:
    """The same request is under way: wait until it has landed, a second at most, and ask again."""

    flight: Flight


class Engine(Recorded):
    """Settings and store of one session, and the decisions made with them."""

    def __init__(self, settings: Settings, store: Store, watch: Watch | None = None) -> None:
        """`watch` is told of every decision: `hit`, `recorded` (it is going to be called) or `missed`."""
        super().__init__(settings, store)
        self.flights = Flights()
        self.redirects = Redirects()
        self._watch = watch
        self.uploads = Uploads(keeping=settings.mode == "auto")
        self.kept_headers = frozenset(name.lower() for name in settings.keep_headers)
        """What the settings add to the response headers that are recorded, in lower case."""

    def ask(self, request: Request, claim: Claim, alone: bool = False) -> Replay | Forward | Wait:
        """Decide one call. Raises Miss in replay mode when there is no recording; nothing else.

        `alone`: it has waited long enough for others who ask the same.
        """
        with undisturbed:
            return self._ask(request, claim, alone)

    def _ask(self, request: Request, claim: Claim, alone: bool) -> Replay | Forward | Wait:
        turn: tuple[str, int] | None = None
        flight: Flight | None = None
        try:
            mode = self.settings.mode
            upload = self.uploads.of(request)
            if upload and (progress := upload.progress(request)):
                return self._progress(upload, request, claim, progress)
            # What goes on with an upload at the provider has to reach it, recorded or not.
            reads = mode != "record" and not (mode == "auto" and upload and upload.live)
            known = upload.canonical if upload else canonical
            wanted = repeats.of_variant(known(request, claim, self.rules(claim.provider)))
            if self.counts_turns:
                wanted, turn = self.turned(wanted, request, claim)
            recorded = self.recorded(wanted.key) if reads else None
            if recorded is None:
                # Only now, as nothing of the kind is ever recorded: a hit need not ask.
                if verdict := self._never_recorded(request, claim):
                    return verdict
                wanted, recorded = self._redacted(request, claim, wanted, reads)
            found = self.found(request, claim, wanted, recorded)
            if self.fetch and reads and not alone and found is not Found.WHOLE:
                elsewhere = self.fetch(wanted.key)
                if elsewhere:
                    if turn:
                        self.turns.give_back(*turn)
                    return Wait(elsewhere)
            must_go_out = False
            if mode == "auto" and found is Found.WHOLE and recorded is not None:
                must_go_out = self._must_go_out(request, claim, upload, wanted, recorded)
            action = decide(mode, found, must_go_out=must_go_out)
            if recorded is not None and recorded.echo:
                recorded = echo.put_back(recorded, wanted)
            if action is Action.RECORD and mode == "auto" and reads and not turn and not must_go_out:
                flight, other = self._lead(wanted.key, alone)
                if other is not None:
                    return Wait(other)
                if flight is not None and found is Found.NOTHING and self.recorded(wanted.key):
                    # Whoever led before us has landed since we looked.
                    self.flights.land(wanted.key, flight)
                    return self._ask(request, claim, alone)
            if action is Action.REPLAY and recorded is not None and (upload or "upload" in request.url):
                recorded = self.uploads.noted(upload, request, wanted, recorded, live=False)
            if self._watch:
                outcome = {Action.REPLAY: "hit", Action.REFUSE: "missed"}.get(action, "recorded")
                self._watch(outcome, wanted.key, request.method, self.shown_url(request, claim))
        except BaseException as problem:
            if flight is not None:
                self.flights.land(wanted.key, flight)
            if not isinstance(problem, Exception):  # Ctrl-C in a notebook
                raise
            return self._unrecorded(request, claim, problem)
        if action is Action.REPLAY and recorded is not None:
            if verdicts.heard():
                self.count("hit", request, claim, wanted, ms=recorded.ms)
            else:
                tally.add("hit", recorded.ms)
            if found is Found.EXPIRED:
                url = self.shown_url(request, claim)
                say_once(f"replayed answers are older than their ttl ({url}); CACHY=record renews them")
            if found is Found.PARTIAL:
                return Replay(recorded, self.settings.pace, self._at_end(request, claim, wanted))
            return Replay(recorded, self.settings.pace)
        if action is Action.REFUSE:
            self.count("missed", request, claim, wanted)
            miss = self._refusal(request, claim, wanted)
            if self.settings.on_miss == "respond":
                return Replay(_error(str(miss)), 0.0)
            raise miss
        placeholders.tell_of(request)
        if action is Action.VERIFY and recorded is not None:
            return Forward(Verifier(self, request, claim, wanted, recorded, upload))
        if mode == "verify":
            self.count("bypassed", request, claim, wanted, reason="not verified: it has no recording")
        if action is not Action.RECORD:
            return Forward(None)
        first = upload.to_send(request) if upload and upload.recorded else None
        return Forward(Recorder(self, request, claim, wanted, turn, flight, upload), first)

    def _never_recorded(self, request: Request, claim: Claim) -> Replay | Forward | None:
        """The verdict on a call of a kind that is never recorded; None for all others."""
        if _opens_websocket(request):
            return self.unrecordable(request, claim, "a WebSocket")
        reason = claim.provider.skip(request)
        if not reason:
            return None
        sent = self.settings.mode != "replay"
        self.count("bypassed", request, claim, reason=reason, live=sent)
        return Forward(None) if sent else Replay(_not_sent(reason), 0.0)

    def _redacted(
        self, request: Request, claim: Claim, bare: Canonical, reads: bool
    ) -> tuple[Canonical, Response | None]:
        """A request that was not found as it is, in the form in which it may be stored and shown, and what is recorded
        under that, or by pycachy."""
        wanted = bare.redacted(self.secret_names, self.secrets_of(request, claim))
        if not reads:
            return wanted, None
        recorded = self.recorded(wanted.key) if wanted is not bare else None
        if recorded is None and self.store.legacy:
            recorded = self._adopt(request, claim, wanted)
        return wanted, recorded

    def _unrecorded(self, request: Request, claim: Claim, problem: Exception) -> Forward:
        """The verdict when nothing can be decided. Raises Miss in replay mode: going on would mean a live call, which
        that promises never to make."""
        unusable = isinstance(problem, StoreError)
        reason = str(problem) if unusable else in_brief(problem)
        if self.settings.mode == "replay":
            raise self._refusal(request, claim, None, reason) from problem
        say_once(f"a call went on unrecorded ({reason})")
        why = "the store cannot be used" if unusable else "an error of cachy"
        self.count("bypassed", request, claim, reason=why)
        return Forward(None)

    def _lead(self, key: str, alone: bool) -> tuple[Flight | None, Flight | None]:
        """Have all who ask the same wait for our call: (what they wait for, what we have to wait for instead).
        Neither: nobody is to wait."""
        flight, leads = self.flights.board(key)
        if flight is None or alone:
            return flight if leads else None, None
        if not leads:
            return None, flight
        try:
            elsewhere = self._lease(key, flight)
        except BaseException:
            self.flights.land(key, flight)
            raise
        if elsewhere is None:
            return flight, None
        self.flights.land(key, flight)
        return None, elsewhere

    def _lease(self, key: str, flight: Flight) -> Flight | None:
        """Make other processes wait for this flight; or what to wait for, when one of them was quicker."""
        if self.lease:
            return self.lease(key, flight)
        from .stores import leases

        return leases.take(os.path.realpath(self.store.url), key, flight)

    def count(
        self,
        outcome: tally.Outcome,
        request: Request,
        claim: Claim,
        wanted: Canonical | None = None,
        *,
        ms: int = 0,
        reason: str = "",
        live: bool | None = None,
    ) -> None:
        """Count one call (see `tally.count`), and say what is known of it if anybody wants to know."""
        call = None
        if verdicts.heard():
            call = {
                "provider": claim.provider.name,
                "method": request.method,
                "url": self.shown_url(request, claim),
                "model": wanted.model if wanted else "",
                "key": wanted.key if wanted else "",
                "store": self.store.url,
            }
        tally.count(outcome, ms=ms, reason=reason, live=live, call=call)

    def _progress(
        self, upload: Upload, request: Request, claim: Claim, recorded: Response
    ) -> Replay | Forward:
        if upload.live:
            self.count("bypassed", request, claim, reason="the progress of an upload")
            return Forward(None, upload.to_send(request) if upload.recorded else None)
        self.count("hit", request, claim)
        return Replay(recorded, 0.0)

    def _must_go_out(
        self, request: Request, claim: Claim, upload: Upload | None, wanted: Canonical, recorded: Response
    ) -> bool:
        """Whether an answer of before would be wrong in a run that may call."""
        if recorded.status in STATUSES:
            leads_back = self.redirects.leads_back(request)
            self.redirects.note(request, recorded)
            if leads_back or is_signed(recorded):
                return True
        if upload and not upload.live:
            return False  # there is nothing to cancel
        if claim.provider.unsettled(request, recorded):
            return True
        if request.method == "DELETE" or rpc.forgets(request):
            return True
        if request.method in ("GET", rpc.METHOD):
            return not self.settings.replay_listings and claim.provider.lists(request)
        if "cancel" in request.url and request.split().path.rstrip("/").endswith(("/cancel", ":cancel")):
            return True
        return is_sign_in(wanted)

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
            if self.settings.mode == "auto":
                write(self, request, claim, wanted, response)
            return response
        return None

    def unrecordable(self, request: Request, claim: Claim, what: str) -> Replay | Forward:
        """Decide a call of a kind that is never recorded: a conversation in both directions has no one answer.

        Raises Miss in replay mode."""
        if self.settings.mode != "replay":
            self.count("bypassed", request, claim, reason=what)
            return Forward(None)
        self.count("missed", request, claim)
        url = self.shown_url(request, claim)
        text = f"{what} cannot be replayed (mode replay, nothing was sent)\n  {request.method} {url}"
        if self.settings.on_miss == "respond":
            return Replay(_error(text), 0.0)
        miss = Miss(text, method=request.method, url=url, provider=claim.provider.name, store=self.store.url)
        raise fit_for_here(miss)

    def _at_end(self, request: Request, claim: Claim, wanted: Canonical) -> Callable[[], None]:
        def refuse() -> None:
            self.count("missed", request, claim, wanted)
            raise self._refusal(request, claim, wanted)

        return refuse

    def _refusal(self, request: Request, claim: Claim, wanted: Canonical | None, problem: str = "") -> Miss:
        from .explain import explain

        return fit_for_here(explain(self, request, claim, wanted, problem))


def _opens_websocket(request: Request) -> bool:
    return any(name == "upgrade" and value.lower() == "websocket" for name, value in request.headers)


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
