"""What becomes of calls is told to the logger `cachy` and to the file CACHY_LOG, and telling costs nothing unheard."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cachy import notices, tally, verdicts
from cachy.engine import Engine, Forward, Replay
from cachy.errors import Miss
from cachy.exchange import Body, Request
from cachy.providers import Registry
from cachy.settings import load
from cachy.stores import open_store

SECRET = "sk-proj-" + "a1B2" * 12
URL = f"https://api.openai.com/v1/chat/completions?api_key={SECRET}"
ANSWER = (
    b'{"object":"chat.completion","choices":[{"index":0,"finish_reason":"stop","message":{"content":"Hi"}}]}'
)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test begins with nobody listening, and leaves the counts as they were."""
    before = tally._counter, tally._will_tell
    monkeypatch.delenv("CACHY_LOG", raising=False)
    monkeypatch.delenv(verdicts.RUN_DIR, raising=False)
    monkeypatch.setattr(notices, "_said", set())
    told = verdicts._run_dir, verdicts._log
    verdicts.listen(None)
    yield
    tally._counter, tally._will_tell = before
    verdicts._run_dir, verdicts._log = told


def engine(folder: Path, mode: str) -> Engine:
    arguments = {"mode": mode, "store": str(folder / "calls.jsonl")}
    return Engine(load(arguments, environ={}, consent=True), open_store(str(folder / "calls.jsonl")))


def request(prompt: str = "Hello") -> Request:
    body = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": prompt}]}
    headers = (("content-type", "application/json"), ("authorization", f"Bearer {SECRET}"))
    return Request("POST", URL, headers, Body(json.dumps(body).encode()))


def claim() -> Any:
    return Registry(()).claim("https", "api.openai.com", 443, "/v1/chat/completions")


def record(folder: Path, status: int = 200) -> None:
    answer = engine(folder, "auto").ask(request(), claim())
    assert isinstance(answer, Forward)
    tee = answer.answered(
        status, (("content-type", "application/json"),), lambda _, pieces: enumerate(pieces)
    )
    if tee is not None:
        tee.feed(ANSWER)
        tee.finish()


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_each_verdict_is_one_json_line_in_cachy_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded, replayed, refused and not recorded, each with what is known of it; a key, a body or a header never."""
    log = tmp_path / "log.jsonl"
    monkeypatch.setenv("CACHY_LOG", str(log))
    monkeypatch.setenv("PYTEST_CURRENT_TEST", f"tests/test_a.py::test_b[{SECRET}] (call)")
    verdicts.listen(None)
    record(tmp_path)
    assert isinstance(engine(tmp_path, "replay").ask(request(), claim()), Replay)
    with pytest.raises(Miss):
        engine(tmp_path, "replay").ask(request("Good evening, what a secret"), claim())
    record(tmp_path / "elsewhere", status=500)
    told = read(log)
    assert [(facts["outcome"], facts["live"]) for facts in told] == [
        ("recorded", True),
        ("hit", False),
        ("missed", False),
        ("bypassed", True),
    ]
    assert told[0]["key"] == told[1]["key"] != told[2]["key"]
    assert told[3]["reason"] == "status 500"
    for facts in told:
        assert (facts["provider"], facts["model"], facts["method"]) == ("openai", "gpt-5-mini", "POST")
        assert facts["url"].startswith("https://api.openai.com/v1/chat/completions")
        assert facts["test"].startswith("tests/test_a.py::test_b[")
        assert facts["at"].endswith("Z")
    text = log.read_text("utf-8")
    assert SECRET not in text
    assert "secret" not in text
    assert "Hi" not in text


def test_each_verdict_is_one_line_on_the_logger(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At DEBUG on `cachy`, for a person; the same facts ride along for a structured handler."""
    caplog.set_level(logging.DEBUG, "cachy")
    record(tmp_path)
    engine(tmp_path, "auto").ask(request(), claim())
    first, second = [entry for entry in caplog.records if entry.name == "cachy"]
    assert (first.levelno, second.levelno) == (logging.DEBUG, logging.DEBUG)
    assert first.getMessage().startswith("recorded ")
    key = second.__dict__["cachy"]["key"]
    words = second.getMessage().split()
    assert words[:3] == ["hit", key[:8], "POST"]
    assert words[4] == "gpt-5-mini"
    assert SECRET not in first.getMessage() + second.getMessage()


@pytest.mark.parametrize("other", ["CACHY_LOG", "a run"])
def test_the_logger_hears_it_beside_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, other: str
) -> None:
    """In a fresh process whose verdicts go to a file, too; so it is in every test of pytest (`caplog`)."""
    monkeypatch.setattr(verdicts, "_logger", None)
    if other == "CACHY_LOG":
        monkeypatch.setenv("CACHY_LOG", str(tmp_path / "log"))
    verdicts.listen(str(tmp_path) if other == "a run" else None)
    caplog.set_level(logging.DEBUG, "cachy")
    record(tmp_path)
    assert [message.partition(" ")[0] for message in caplog.messages] == ["recorded"]


def test_a_logger_that_is_not_at_debug_hears_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """INFO is the user's own line."""
    caplog.set_level(logging.INFO, "cachy")
    record(tmp_path)
    assert [entry for entry in caplog.records if entry.name == "cachy"] == []
    assert not verdicts.heard()


def test_logging_is_never_imported_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a program has not imported logging, nobody can be listening."""
    monkeypatch.setattr(verdicts, "_logger", None)
    monkeypatch.delitem(sys.modules, "logging")
    assert not verdicts.heard()
    tally.count("hit")
    assert "logging" not in sys.modules


def test_a_handler_that_makes_a_call_of_its_own_is_not_told_of_it(caplog: pytest.LogCaptureFixture) -> None:
    """Handlers send logs over HTTP; one call must not lead to another for ever."""
    told = []

    class Sends(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage())
            tally.count("bypassed", reason="a log was sent")

    logger, handler = logging.getLogger("cachy"), Sends()
    caplog.set_level(logging.DEBUG, "cachy")
    logger.addHandler(handler)
    try:
        tally.count("hit", ms=7)
    finally:
        logger.removeHandler(handler)
    assert told == ["hit 7 ms"]


def test_a_handler_that_raises_does_not_reach_the_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """One warning, and the call goes on."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError("no disk")

    logger, handler = logging.getLogger("cachy"), Broken()
    caplog.set_level(logging.DEBUG, "cachy")
    logger.addHandler(handler)
    try:
        tally.count("hit")
        tally.count("hit")
    finally:
        logger.removeHandler(handler)
    assert capsys.readouterr().err == "cachy: a call could not be logged (RuntimeError: no disk)\n"


def test_a_log_that_cannot_be_written_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The program goes on without it."""
    monkeypatch.setenv("CACHY_LOG", str(tmp_path))  # a folder
    verdicts.listen(None)
    tally.count("hit")
    tally.count("hit")
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(f"cachy: CACHY_LOG={tmp_path} cannot be written (")


def test_a_relative_log_stays_where_the_program_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever folder the program works in later."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CACHY_LOG", "log.jsonl")
    verdicts.listen(None)
    monkeypatch.chdir(tmp_path / "elsewhere")
    tally.count("missed")
    assert read(tmp_path / "log.jsonl")[0]["outcome"] == "missed"
