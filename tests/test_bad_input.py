"""Bad input of every kind, from end to end: a real program, httpx, a server on loopback, and `CACHY=1`.

Each time the program prints what it would print without us and ends with status 0, one line says what to do, and
nothing that was recorded is lost.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transports import conftest

import cachy

pytestmark = pytest.mark.slow  # each test starts a few programs
server = conftest.server
Scripted = conftest.Scripted
Handler = conftest.Handler

PARENT = str(Path(cachy.__file__).parent.parent)
PROGRAM = """
import httpx
for question in sys.argv[2:]:
    try:
        with httpx.stream("POST", sys.argv[1], json={"input": question}) as answer:
            for piece in answer.iter_text(): print(piece, end="")
        print()
    except httpx.HTTPError as problem:
        print(type(problem).__name__)
"""
root = hasattr(os, "getuid") and os.getuid() == 0
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX only")


class Program:
    """A program in a folder of its own, with `cachy.jsonl` there as the store."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder / "work"
        self.home = folder / "home"
        self.folder.mkdir()
        self.home.mkdir()
        (self.folder / "pyproject.toml").touch()
        self.store = self.folder / "cachy.jsonl"
        self.url = url
        self.status = 0
        self.notes: list[str] = []
        """What was said on stderr, the exit line left out."""
        self.line = ""
        """The exit line."""

    def __call__(self, *questions: str, before: str = "", shell: str = "", **environ: str) -> list[str]:
        """Ask the questions; the lines of stdout. `before` is run first of all."""
        foreign = ("CACHY", "PYTHON", "COV_", "PYTEST", "XDG_")
        env = {n: v for n, v in os.environ.items() if not n.startswith(foreign) and n != "CI"}
        env |= {"HOME": str(self.home), "USERPROFILE": str(self.home), "PYTHONIOENCODING": "utf-8"}
        env |= {"CACHY": "1", "CACHY_HOSTS": "127.0.0.1:*"} | environ
        code = f"import sys; sys.path.insert(0, {PARENT!r})\n{before}\nimport cachy._bootstrap\n{PROGRAM}"
        words = [sys.executable, "-c", code, self.url, *questions]
        if shell:
            words = ["sh", "-c", shell, "sh", *words]
        done = subprocess.run(
            words, cwd=self.folder, env=env, capture_output=True, text=True, encoding="utf-8", check=False
        )
        self.status = done.returncode
        lines = done.stderr.splitlines()
        self.line = lines.pop() if lines and lines[-1].startswith("cachy  ") else ""
        self.notes = lines
        assert all(line.startswith("cachy: ") for line in lines), done.stderr
        assert done.returncode == 0
        return done.stdout.splitlines()


@pytest.fixture
def program(tmp_path: Path, server: Any) -> Program:
    return Program(tmp_path, server.on("/v1/x", server.answers.get("", Handler._echo)))


def answers(*numbers: int) -> list[str]:
    return [f'{{"call":{number}}}' for number in numbers]


# The store


def test_a_broken_line(program: Program) -> None:
    """Only the call of that line is made again; the line is named."""
    assert program("a", "b", "c") == answers(1, 2, 3)
    lines = program.store.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1][:100] + b"\n"
    program.store.write_bytes(b"".join(lines))
    assert program("a", "b", "c") == answers(1, 4, 3)
    assert program.notes == [
        f"cachy: {program.store}: 1 line is skipped, the first is line 2: not a whole recording; delete it"
    ]
    assert program.line.startswith("cachy  2 replayed · 1 recorded")
    assert program.store.read_bytes().startswith(b"".join(lines))
    assert program("a", "b", "c") == answers(1, 4, 3)


def test_a_conflict_of_git(program: Program) -> None:
    """After a merge that git could not make, the recordings of both branches replay around the markers."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")

    def git(*words: str) -> int:
        who = ["-c", "user.name=x", "-c", "user.email=x@x.test", "-c", "commit.gpgsign=false"]
        return subprocess.run(
            ["git", *who, *words], cwd=program.folder, capture_output=True, check=False
        ).returncode

    assert git("init", "-q", "-b", "main") == 0
    assert program("a") == answers(1)
    git("add", ".")
    git("commit", "-qm", "base")
    git("checkout", "-qb", "other")
    assert program("b") == answers(2)
    git("commit", "-qam", "other")
    git("checkout", "-q", "main")
    assert program("c") == answers(3)
    git("commit", "-qam", "main")
    assert git("merge", "other") == 1
    assert program("a", "b", "c", CACHY="replay") == answers(1, 2, 3)
    (note,) = program.notes
    assert note.startswith(
        f"cachy: {program.store}: 3 lines are skipped, the first is line 2: left by a git merge"
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"name,price\napple,3\n", "is not a file of recordings; set CACHY_STORE to another path"),
        (b"\x00\xff\xfe" * 1000, "is not a file of recordings; set CACHY_STORE to another path"),
        (b"SQLite format 3\x00" + bytes(100), "is not a file of recordings; set CACHY_STORE to another path"),
        (None, "is a directory; set CACHY_STORE to the path of a file"),
    ],
    ids=["CSV", "binary", "database", "directory"],
)
def test_something_else_in_the_place_of_the_store(program: Program, content: bytes | None, told: str) -> None:
    """It is not touched; calls go out live, and are counted."""
    if content is None:
        program.store.mkdir()
    else:
        program.store.write_bytes(content)
    assert program("a", "a") == answers(1, 2)
    assert program.notes == [f"cachy: a call went on unrecorded ({program.store} {told})"]
    assert program.line == "cachy  2 not recorded (the store cannot be used) · cachy.jsonl"
    assert program.store.is_dir() if content is None else program.store.read_bytes() == content


@pytest.mark.skipif(root and not sys.platform.startswith("linux"), reason="needs a folder root may not write")
def test_a_folder_that_cannot_be_written(program: Program) -> None:
    """What there is replays; what cannot be recorded is told, with the way out."""
    folder = Path("/proc/self") if root else program.folder
    if not root:
        folder.chmod(0o555)
    try:
        assert program("a", "b", CACHY_STORE=str(folder / "calls.jsonl")) == answers(1, 2)
    finally:
        program.folder.chmod(0o755)
    (note,) = program.notes
    assert note.startswith(f"cachy: {folder / 'calls.jsonl'} cannot be written (")
    assert note.endswith("; make it writable, or set CACHY_STORE to another path")
    assert program.line.startswith("cachy  2 not recorded (the store could not be written)")


@posix
def test_a_full_disk(program: Program, server: Any) -> None:
    """The answer that does not fit is handed on whole; those that fitted stay and replay."""
    sizes = {b"small": 10, b"large": 100_000}

    def answer(handler: Any) -> None:
        size = next(size for word, size in sizes.items() if word in handler.scripted.calls[-1].body)
        handler.whole(b'"%s"' % (b"x" * size))

    server.on("/v1/x", answer)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    shown = program("small", "large", "small", before=limit)
    assert [len(line) for line in shown] == [12, 100_002, 12]
    (note,) = program.notes
    assert note.startswith(
        f"cachy: {program.store} cannot be written (File too large); make room, or set CACHY_STORE"
    )
    assert program.line.startswith(
        "cachy  1 replayed · 1 recorded · 1 not recorded (the store could not be written)"
    )
    assert program("small", CACHY="replay") == shown[:1]
    assert program.notes == []


# The settings


@pytest.mark.parametrize(
    ("environ", "toml", "told"),
    [
        ({"CACHY_STOER": "x"}, "", "CACHY_STOER is no setting; did you mean CACHY_STORE?"),
        (
            {"CACHY_PACE": "fast"},
            "",
            'environment CACHY_PACE: pace must be "instant", "recorded" or a factor',
        ),
        ({}, "[tool.cachy]\nmoed = 'auto'", "there is no setting moed; did you mean mode?"),
        ({}, "[tool.cachy]\nsummary = 'x'", "summary must be true or false; it is ignored"),
        ({}, "[tool.cachy", "is not valid TOML"),
        ({"CACHY_HOSTS": "127.0.0.1:*=opnai"}, "", "there is no provider 'opnai'; did you mean openai?"),
        ({"CACHY_HOSTS": "127.0.0.1:*,x:y"}, "", "'x:y' is not a host; write it as"),
    ],
)
def test_a_wrong_setting(program: Program, environ: dict[str, str], toml: str, told: str) -> None:
    """One line says which it is; the others hold, and calls are recorded and replayed."""
    (program.folder / "pyproject.toml").write_text(toml, "utf-8")
    assert program("a", "a", **environ) == answers(1, 1)
    (note,) = program.notes
    assert told in note


# The provider


def cut_stream(handler: Any) -> None:
    handler.head(content_type="text/event-stream", transfer_encoding="chunked")
    handler.chunk(b'data: {"n":1}\n\n')
    handler.close_connection = True


def garbage(handler: Any) -> None:
    handler.wfile.write(b"\x00\x01 this is not HTTP\r\n\r\n")
    handler.close_connection = True


def no_json(handler: Any) -> None:
    handler.whole(b'{"call":')


def bad_gzip(handler: Any) -> None:
    handler.whole(b"this is not gzip", content_encoding="gzip")


@pytest.mark.parametrize(
    ("answer", "shown", "reason"),
    [
        (garbage, "RemoteProtocolError", "the call failed"),
        (no_json, '{"call":', "JSON"),
        (bad_gzip, "DecodingError", ""),
        (cut_stream, 'data: {"n":1}', "the connection broke in mid-answer (RemoteProtocolError)"),
    ],
)
def test_a_bad_answer_is_the_programs_and_is_not_recorded(
    program: Program, server: Any, answer: Callable[[Any], None], shown: str, reason: str
) -> None:
    """The program sees what it would see without us; the next good answer is recorded in its place."""
    server.on("/v1/x", answer)
    without_us = program("a", CACHY="0")
    assert without_us[0] == shown
    assert program("a") == without_us
    assert program.line.startswith("cachy  1 not recorded (")
    assert reason in program.line
    assert not program.store.exists()
    server.on("/v1/x", Handler._echo)
    assert program("a", "a") == answers(3, 3)


# The machine


def test_a_clock_that_goes_backwards(program: Program) -> None:
    """Neither the program's clock nor that of the file system decides what is replayed, or which is newer."""
    back = "import time, itertools; ticks = itertools.count(2_000_000_000, -1000); time.time = lambda: next(ticks)"
    assert program("a", "b", before=back) == answers(1, 2)
    os.utime(program.store, (1, 1))
    assert program("a", CACHY="record", before=back) == answers(3)
    os.utime(program.store, (0, 0))
    assert program("a", "b") == answers(3, 2)
    assert program.notes == []


@posix
@pytest.mark.parametrize("shell", ['exec "$@" 2>&-', 'exec "$@" 2>&- 0<&-', '"$@" 2>&1 >&3 3>&- | true'])
def test_without_a_stderr(program: Program, shell: str) -> None:
    """Closed, or with nobody at its other end: what should be said is lost, and nothing else."""
    if "3>&-" in shell:
        shell = f"exec 3>&1; {shell}"
    program.store.write_bytes(b"name,price\n")
    assert program("a", "b", shell=shell) == answers(1, 2)
    assert program.store.read_bytes() == b"name,price\n"
    program.store.unlink()
    assert program("a", "a", shell=shell) == answers(3, 3)
    assert program("a", CACHY="replay") == answers(3)


@posix
def test_a_working_directory_that_is_gone(program: Program) -> None:
    """The calls are recorded in the user's own folder, and replayed from there."""
    leave = 'mkdir ../gone && cd ../gone && rmdir ../gone && exec "$@"'
    assert program("a", shell=leave) == answers(1)
    assert program("a", shell=leave) == answers(1)
    assert program.notes == []
    assert program.line.endswith(os.path.join("cachy", "cachy.jsonl"))
    assert not program.store.exists()
