"""Messages to the person at the terminal: one line, once, whatever state stderr is in."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cachy
from cachy import notices
from cachy.notices import in_brief, printable, say_once

PARENT = str(Path(cachy.__file__).parent.parent)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "_said", set())


def test_each_message_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Ten thousand calls that meet the same problem make one line."""
    for _ in range(3):
        say_once("one")
        say_once("two")
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "cachy: one\ncachy: two\n")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("café · 東京", "café · 東京"),
        ("two\nlines\r", "two\\nlines\\r"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("caf\udce9", "caf\\udce9"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
    ],
)
def test_a_message_is_one_line_that_cannot_steer_a_terminal(
    capsys: pytest.CaptureFixture[str], text: str, shown: str
) -> None:
    """File names and keys of files that a stranger wrote stand in messages: control characters are written out."""
    assert printable(text) == shown
    say_once(text)
    assert capsys.readouterr().err == f"cachy: {shown}\n"


class Broken(io.StringIO):
    """A stream that a program has put in stderr's place and that fails."""

    def write(self, text: str) -> int:
        raise RuntimeError("no")


@pytest.mark.parametrize("stream", [None, Broken(), object()], ids=["None", "broken", "no stream"])
def test_without_a_stderr_nothing_is_said(monkeypatch: pytest.MonkeyPatch, stream: Any) -> None:
    """A program without a terminal (pythonw, a daemon) goes on."""
    monkeypatch.setattr(sys, "stderr", stream)
    say_once("something")


def test_a_closed_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    """So does one that has closed it."""
    closed = io.TextIOWrapper(io.BytesIO())
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    say_once("something")


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_nobody_reads_stderr() -> None:
    """A broken pipe does not change the exit status of the program."""
    read, write = os.pipe()
    os.close(read)
    code = f"import sys; sys.path.insert(0, {PARENT!r}); from cachy.notices import say_once; say_once('x')"
    try:
        done = subprocess.run([sys.executable, "-c", code], stderr=write, check=False)
    finally:
        os.close(write)
    assert done.returncode == 0


def test_an_exception_in_brief() -> None:
    """Its class and the first line of its text, which may be long or missing."""
    assert in_brief(ValueError("one\ntwo")) == "ValueError: one"
    assert in_brief(ValueError()) == "ValueError"
    assert in_brief(ValueError("x" * 1000)) == "ValueError: " + "x" * 200
