"""What becomes of a live call: its answer is recorded, compared with the recording, or left alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from . import echo, redact, sign_in, tally
from .clocks import stamp
from .exchange import Headers, Request, Response
from .notices import say_once
from .providers.answers import completed
from .providers.base import LEFT
from .recording import Recording
from .stores import StoreError
from .streaming import Decode, Tee, now, settle
from .verdicts import current_test

if TYPE_CHECKING:
    from .engine import Engine
    from .flights import Flight
    from .keys import Canonical
    from .providers import Claim
    from .uploads import Calls, Upload


class Forward:
    """Make the call. `answered` says what to do with the answer.

    `first`, when there is one, names the calls to make before, and what to send at last: see `Upload.to_send`.
    """

    __slots__ = ("_call", "_started", "first")

    def __init__(self, call: Recorder | Verifier | None, first: Calls | None = None) -> None:
        self._call = call
        self._started = now()
        self.first = first

    def answered(
        self,
        status: int,
        headers: Headers,
        decode: Decode,
        http_version: str = "HTTP/1.1",
        reason: str | None = None,
    ) -> Tee | None:
        """The head of the answer has arrived: a `Tee` to feed its raw body into, or None when it is of no interest."""
        call = self._call
        if call is None or not call.wants(status):
            return None
        tally.before_telling(settle)
        head = Response(status=status, headers=headers, http_version=http_version, reason=reason)
        return Tee(head, self._started, decode, call)

    def failed(self, reason: str = "the call failed") -> None:
        """The call raised before an answer arrived."""
        if self._call is not None:
            self._call.drop(reason)


class _Live:
    """One live call whose answer is of interest."""

    __slots__ = ("_claim", "_engine", "_request", "_upload", "_wanted")

    def __init__(
        self, engine: Engine, request: Request, claim: Claim, wanted: Canonical, upload: Upload | None
    ) -> None:
        """`upload`: what this request goes on with."""
        self._engine = engine
        self._request = request
        self._claim = claim
        self._wanted = wanted
        self._upload = upload

    def _count(self, outcome: tally.Outcome, reason: str = "", ms: int = 0) -> None:
        self._engine.count(outcome, self._request, self._claim, self._wanted, ms=ms, reason=reason)

    def _noted(self, response: Response) -> None:
        self._engine.uploads.noted(self._upload, self._request, self._wanted, response, live=True)

    def _unfinished(self, response: Response, clean: bool) -> str | None:
        return self._claim.provider.finished(self._request, response, clean)


class Recorder(_Live):
    """One live call that is to be recorded."""

    __slots__ = ("_flight", "_turn")

    def __init__(
        self,
        engine: Engine,
        request: Request,
        claim: Claim,
        wanted: Canonical,
        turn: tuple[str, int] | None = None,
        flight: Flight | None = None,
        upload: Upload | None = None,
    ) -> None:
        """`turn`: which question this is and for which time it is asked, where that matters. `flight`: what others
        wait for who ask the same."""
        super().__init__(engine, request, claim, wanted, upload)
        self._turn = turn
        self._flight = flight

    def wants(self, status: int) -> bool:
        """Whether an answer with this status is recorded at all; it is dropped if not."""
        if self._engine.takes(status):
            self.moved()
            return True
        self.drop(f"status {status}")
        return False

    def moved(self) -> None:
        """Those who wait for this call know that it goes on."""
        if self._flight is not None:
            self._flight.moved()

    def keep(self, response: Response, clean: bool) -> None:
        """Record the answer, when it is one that ended well; `clean` as in `streaming.Call`."""
        self._noted(response)
        self._engine.redirects.note(self._request, response)
        try:
            if not clean:
                response = completed(response)
            reason = self._unfinished(response, clean)
            if reason:
                if reason == LEFT and not clean:
                    self._keep_partial(response)
                self.drop(reason)
                return
            write(self._engine, self._request, self._claim, self._wanted, response)
        except StoreError as problem:
            say_once(str(problem))
            self.drop("the store could not be written")
            return
        self._count("recorded", ms=response.ms)
        self._land()

    def _keep_partial(self, response: Response) -> None:
        known = self._engine.recorded(self._wanted.key)
        if known is None or (known.partial and len(known.body) < len(response.body)):
            write(self._engine, self._request, self._claim, self._wanted, response, partial=True)

    def drop(self, reason: str) -> None:
        """There is nothing to record: count why, and let whoever asks next have this turn."""
        self._count("bypassed", reason)
        if self._turn is not None:
            self._engine.turns.give_back(*self._turn)
        self._land()

    def _land(self) -> None:
        if self._flight is not None:
            self._engine.flights.land(self._wanted.key, self._flight)

    def __del__(self) -> None:
        # An answer that nobody reads or closes: who waits for it must not wait for ever.
        self._land()


class Verifier(_Live):
    """One live call whose answer is compared with its recording; nothing is written."""

    __slots__ = ("_recorded",)

    def __init__(
        self,
        engine: Engine,
        request: Request,
        claim: Claim,
        wanted: Canonical,
        recorded: Response,
        upload: Upload | None = None,
    ) -> None:
        super().__init__(engine, request, claim, wanted, upload)
        self._recorded = recorded

    def wants(self, status: int) -> bool:
        """Whether the body is of interest too: not when already the status is another one."""
        if status == self._recorded.status:
            return True
        self._tell([f"status {self._recorded.status} -> {status}"])
        return False

    def moved(self) -> None:
        """Nobody waits for it."""

    def keep(self, response: Response, clean: bool) -> None:
        """Compare the answer, when it is one that ended well; `clean` as in `streaming.Call`."""
        self._noted(response)
        reason = self._unfinished(response, clean)
        if reason:
            self.drop(reason)
            return
        from .drift import compare

        self._tell(compare(self._recorded, response))

    def drop(self, reason: str) -> None:
        """There is nothing to compare, for this reason."""
        self._count("bypassed", f"not verified: {reason}")

    def _tell(self, differences: list[str]) -> None:
        if not differences:
            self._count("verified")
            return
        self._count("drifted")
        shown = "; ".join(differences[:5])
        more = f" and {len(differences) - 5} more" if len(differences) > 5 else ""
        url = self._engine.shown_url(self._request, self._claim)
        say_once(
            f"recording {self._wanted.key[:8]} ({self._request.method} {url}) has drifted: {shown}{more}"
        )


def write(
    engine: Engine,
    request: Request,
    claim: Claim,
    wanted: Canonical,
    response: Response,
    partial: bool = False,
) -> None:
    """Record the answer, redacted. Raises StoreError."""
    recording = recording_of(engine, request, claim, wanted, replace(response, partial=partial))
    engine.store.put(recording.key, recording.to_line())


def recording_of(
    engine: Engine, request: Request, claim: Claim, wanted: Canonical, response: Response, at: str = ""
) -> Recording:
    """The recording of an answer, redacted; `at`: when it was given, in UTC (by default now)."""
    provider = claim.provider
    known = engine.secrets_of(request, claim)
    body = redact.mask_bytes(response.body, known)
    answer = replace(
        response,
        headers=redact.answer_headers(response.headers, engine.kept_headers, known),
        body=sign_in.without_tokens(body) if sign_in.is_sign_in(wanted) else body,
    )
    return Recording(
        key=wanted.key,
        at=at or stamp(),
        provider=provider.name,
        request=wanted.data(),
        response=replace(answer, echo=echo.find(answer, wanted)),
        test=redact.mask_text(current_test()),
    )
