"""The copy that is kept of a live answer, and how a recorded one is handed out."""

from __future__ import annotations

import sys
import threading
from itertools import islice
from typing import Any

import pytest

from cachy import streaming
from cachy.exchange import Response
from cachy.streaming import Tee, pieces, waits


class Kept:
    """A call that notes what it is told."""

    def __init__(self, decode: Any = lambda _headers, raw: enumerate(raw)) -> None:
        self.answers: list[tuple[Response, bool]] = []
        self.dropped: list[str] = []
        self.pieces = 0
        self.tee = Tee(Response(200), streaming.now(), decode, self)

    def moved(self) -> None:
        self.pieces += 1

    def keep(self, response: Response, clean: bool) -> None:
        self.answers.append((response, clean))

    def drop(self, reason: str) -> None:
        self.dropped.append(reason)


def test_a_whole_answer_is_kept_once() -> None:
    """Finish keeps all pieces; closing afterwards says nothing new."""
    kept = Kept()
    kept.tee.feed(b"ab")
    kept.tee.feed(b"c")
    kept.tee.finish()
    kept.tee.leave()
    kept.tee.finish()
    [(answer, clean)] = kept.answers
    assert (answer.body, clean, [length for _, length in answer.chunks]) == (b"abc", True, [2, 1])
    assert kept.dropped == []


@pytest.mark.parametrize("at", range(1, 11))
def test_another_thread_closes_it_while_a_piece_arrives(at: int, capfd: pytest.CaptureFixture[str]) -> None:
    """Whichever line that happens at, the reader is not disturbed, and what had arrived is kept."""
    kept = Kept()
    kept.tee.feed(b"a")

    def traced(frame: Any, event: str, _: Any) -> Any:
        nonlocal at
        if frame.f_code is Tee.feed.__code__ and event == "line":
            at -= 1
            if not at:
                sys.settrace(None)
                thread = threading.Thread(target=kept.tee.leave)
                thread.start()
                thread.join()
                return None
        return traced

    before = sys.gettrace()
    sys.settrace(traced)
    try:
        kept.tee.feed(b"b")
    finally:
        sys.settrace(before)
    kept.tee.leave()
    assert [answer.body for answer, _ in kept.answers] in ([b"a"], [b"ab"])
    assert capfd.readouterr().err == ""


def test_what_is_over_asks_nothing_of_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """gevent closes forgotten streams at exit, when nothing that belongs to their greenlet is left."""

    class Gone:
        @property
        def depth(self) -> int:
            raise RuntimeError("greenlet is being finalized")

    kept = Kept()
    kept.tee.leave()
    monkeypatch.setattr(streaming, "undisturbed", Gone())
    kept.tee.leave()
    kept.tee.fail(GeneratorExit())
    assert [clean for _, clean in kept.answers] == [False]


@pytest.mark.parametrize("problem", [GeneratorExit(), KeyboardInterrupt(), None])
def test_leaving_early_is_told_from_a_whole_answer(problem: BaseException | None) -> None:
    """Close, a dropped generator and Ctrl-C are the consumer's doing: kept as not read to its end."""
    kept = Kept()
    kept.tee.feed(b"ab")
    if problem is None:
        kept.tee.leave()
    else:
        kept.tee.fail(problem)
    assert [clean for _, clean in kept.answers] == [False]


def test_an_answer_left_open_is_settled_once() -> None:
    """At the end of the program, what nobody closed counts as left early; what has ended is not touched again."""
    left, ended = Kept(), Kept()
    for kept in (left, ended):
        kept.tee.feed(b"ab")
    ended.tee.finish()
    streaming.settle()
    left.tee.finish()
    assert [clean for _, clean in left.answers] == [False]
    assert [clean for _, clean in ended.answers] == [True]


def test_a_broken_connection_is_never_kept() -> None:
    """What broke is dropped with the reason, once."""
    kept = Kept()
    kept.tee.feed(b"ab")
    kept.tee.fail(OSError("reset"))
    kept.tee.leave()
    assert kept.answers == []
    assert kept.dropped == ["the connection broke in mid-answer (OSError)"]


def test_a_failing_decoder_or_store_does_not_raise(capfd: pytest.CaptureFixture[str]) -> None:
    """Garbage in the encoding is the provider's fault, not the program's end."""
    kept = Kept(decode=lambda *_: 1 / 0)
    kept.tee.feed(b"ab")
    kept.tee.finish()
    assert kept.dropped == ["it could not be recorded"]


def test_too_large_is_given_up_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endless download is handed on without filling the memory."""
    monkeypatch.setattr(streaming, "LARGEST", 10)
    kept = Kept()
    kept.tee.feed(b"x" * 11)
    kept.tee.feed(b"y")
    kept.tee.finish()
    assert kept.answers == []
    assert len(kept.dropped) == 1


def test_pieces_are_those_that_arrived() -> None:
    """Chunks in their order, the waits between them scaled."""
    answer = Response(200, body=b"abcdef", chunks=((100, 1), (300, 2), (300, 3)), ms=300)
    assert pieces(answer) == [b"a", b"bc", b"def"]
    assert list(islice(waits(answer, 2.0), 4)) == [0.2, 0.4, 0.0, 0.0]
    assert next(waits(Response(200, body=b"x", ms=500), 1.0)) == 0.5


def test_no_byte_is_lost_when_the_chunks_do_not_add_up() -> None:
    """A hand-edited body is still given out whole."""
    assert (
        b"".join(pieces(Response(200, body=b"longer than before", chunks=((1, 2), (2, 3)))))
        == b"longer than before"
    )
    assert pieces(Response(200, body=b"one")) == [b"one"]
    assert pieces(Response(200)) == []


@pytest.mark.parametrize("clean", [True, False])
def test_what_could_be_decoded_before_the_consumer_left_counts(clean: bool) -> None:
    """A decoder may not forgive a body that has no end; the consumer who left has had its pieces all the same."""

    def decode(_headers: Any, raw: list[bytes]) -> Any:
        yield from enumerate(raw)
        raise streaming.Incomplete("no end")

    kept = Kept(decode)
    kept.tee.feed(b"ab")
    kept.tee.finish() if clean else kept.tee.leave()
    assert [(answer.body, clean) for answer, clean in kept.answers] == ([] if clean else [(b"ab", False)])
    assert kept.dropped == (["it could not be recorded"] if clean else [])
