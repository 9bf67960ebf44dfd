"""What is counted, how the line at exit reads, and that telling it never hurts a program."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import cachy
from cachy import tally, verdicts
from cachy.report import terminal
from cachy.tally import Stats

ROOT = str(Path(cachy.__file__).parent.parent)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test starts and ends with a tally that has counted nothing and reports to nobody."""
    monkeypatch.delenv(tally.RUN_DIR, raising=False)
    before = (
        tally._counter,
        tally._store,
        tally._summary,
        tally._mode_note,
        tally._will_tell,
    )
    told = verdicts._run_dir, verdicts._log
    tally.reset()
    yield
    tally._counter, tally._store, tally._summary, tally._mode_note, tally._will_tell = before
    verdicts._run_dir, verdicts._log = told


def run(code: str, tmp_path: Path, *flags: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    """Run `code` in a process of its own that can import cachy."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("CACHY", "PYTHON"))}
    env |= {"PYTHONPATH": ROOT, "PYTHONIOENCODING": "utf-8", **environ}
    return subprocess.run(
        [sys.executable, *flags, "-c", code], env=env, cwd=tmp_path, capture_output=True, check=False
    )


HIT = "from cachy import tally; tally.configure('cachy.jsonl', True); tally.count('hit', ms=61_000)\n"


def test_counts_add_up_by_outcome() -> None:
    """Every outcome has its own number, hits save their time, bypassed calls keep their reasons, escapes their places."""
    tally.count("hit", ms=800)
    tally.count("hit", ms=200)
    tally.count("recorded", ms=700)
    tally.count("missed")
    tally.count("bypassed", reason="status 500")
    tally.count("bypassed", reason="status 500")
    tally.count("escaped", reason="aiohttp at app.py:12")
    assert tally.stats() == Stats(
        hits=2,
        recorded=1,
        missed=1,
        bypassed=2,
        escaped=1,
        saved_ms=1000,
        reasons={"status 500": 2},
        escapes={"aiohttp at app.py:12": 1},
    )


def test_stats_are_a_snapshot() -> None:
    """Stats taken earlier do not change when more is counted."""
    tally.count("bypassed", reason="status 500")
    before = tally.stats()
    tally.count("bypassed", reason="status 500")
    assert before.reasons == {"status 500": 1}


def test_unknown_outcomes_are_refused() -> None:
    """A misspelt outcome is an error, not a lost count."""
    with pytest.raises(KeyError):
        tally.count("hits")  # type: ignore[arg-type]


def test_threads_lose_no_count() -> None:
    """Many threads that count at once lose nothing."""

    def work() -> None:
        for _ in range(2000):
            tally.count("hit", ms=1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tally.stats().hits, tally.stats().saved_ms) == (16_000, 16_000)


@pytest.mark.parametrize(
    ("stats", "note", "processes", "line"),
    [
        (
            Stats(hits=42, recorded=3, saved_ms=61_000),
            "",
            1,
            "cachy  42 replayed · 3 recorded · saved 61 s · cachy.jsonl",
        ),
        (Stats(recorded=1), "", 1, "cachy  1 recorded · cachy.jsonl"),
        (Stats(hits=1), "", 1, "cachy  1 replayed · cachy.jsonl"),
        (Stats(missed=1), "", 1, "cachy  1 missed · cachy.jsonl"),
        (
            Stats(bypassed=3, reasons={"status 500": 1, "the stream ended early": 2}),
            "",
            1,
            "cachy  3 not recorded (the stream ended early) · cachy.jsonl",
        ),
        (Stats(bypassed=1), "", 1, "cachy  1 not recorded · cachy.jsonl"),
        (Stats(hits=2, escaped=1), "", 1, "cachy  2 replayed · 1 escaped · cachy.jsonl"),
        (
            Stats(hits=2, saved_ms=9),
            "replay, because CI is set",
            3,
            "cachy  2 replayed · saved 9 ms · in 3 processes · mode replay, because CI is set · cachy.jsonl",
        ),
    ],
)
def test_the_exit_line_mentions_what_happened_and_nothing_else(
    stats: Stats, note: str, processes: int, line: str
) -> None:
    """Zero counts are left out; notes and the number of processes appear only when they apply."""
    assert terminal.exit_line(stats, "cachy.jsonl", note, processes) == line


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (1, "1 ms"),
        (999, "999 ms"),
        (1000, "1.0 s"),
        (4_240, "4.2 s"),
        (9_949, "9.9 s"),
        (9_950, "10 s"),
        (61_000, "61 s"),
        (119_499, "119 s"),
        (119_500, "2 m 0 s"),
        (125_000, "2 m 5 s"),
        (3_599_400, "59 m 59 s"),
        (3_720_000, "1 h 2 m"),
        (90_000_000, "25 h 0 m"),
    ],
)
def test_durations_read_well(ms: int, text: str) -> None:
    """A duration has the unit that a person would use, and never sixty of the smaller one."""
    assert terminal.duration(ms) == text


def test_a_store_is_named_as_its_user_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the working directory: relative; below home: with a tilde; elsewhere: whole."""
    here, home = tmp_path / "project", tmp_path / "home"
    here.mkdir()
    home.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    assert terminal.place(str(here / "tests" / "calls.jsonl")) == os.path.join("tests", "calls.jsonl")
    assert terminal.place(str(home / "calls.jsonl")) == os.path.join("~", "calls.jsonl")
    assert terminal.place(str(tmp_path / "homework" / "calls.jsonl")) == str(
        tmp_path / "homework" / "calls.jsonl"
    )


def test_a_remote_store_is_named_without_its_secrets() -> None:
    """User, password and query of a store's URL are not shown."""
    url = "redis://me:pa@ss@cache.example.com:6379/3?token=abc"
    assert terminal.place(url) == "redis://cache.example.com:6379/3"
    assert terminal.place("s3://bucket/calls/") == "s3://bucket/calls/"
    assert terminal.place("s3://bucket/calls@2") == "s3://bucket/calls@2"
    assert terminal.place("s3://bucket?endpoint=http://a@b:1") == "s3://bucket"
    assert terminal.place("s3://AKIA:a/b+c@bucket/calls?region=x") == "s3://bucket/calls"
    account = "az://calls@team.blob.core.windows.net/x"
    assert terminal.place(account) == account


@pytest.mark.parametrize(
    "password", ["pa55/word", "pa55/w@rd", "pa55/w?rd", "p@55/word", "pa55?/word", "//", "a/b/c"]
)
def test_a_password_that_is_not_escaped_is_not_shown_either(password: str) -> None:
    """redis-py does not understand such a URL, and the message that says so is read by many."""
    for user in ("", "team", ":"):
        shown = terminal.place(f"redis://{user}:{password}@cache.example.com:6379/3?prefix=x")
        assert shown.removeprefix("redis://") in ("cache.example.com:6379/3", ""), shown


def test_the_line_comes_at_exit_on_stderr(tmp_path: Path) -> None:
    """stdout is left to the program."""
    done = run(HIT + "print('answer')", tmp_path)
    assert done.stdout.split() == [b"answer"]
    assert done.stderr.decode() == "cachy  1 replayed · saved 61 s · cachy.jsonl\n"


@pytest.mark.parametrize(
    "code",
    [
        "from cachy import tally; tally.configure('cachy.jsonl', True)",
        HIT + "tally.configure('cachy.jsonl', False)",
    ],
    ids=["nothing handled", "summary off"],
)
def test_no_line_when_there_is_nothing_to_tell(code: str, tmp_path: Path) -> None:
    """A program that made no call, or asked for no summary, ends silently."""
    assert run(code, tmp_path).stderr == b""


@pytest.mark.parametrize(
    "code",
    [
        "import sys; sys.stderr = None",
        "import sys; sys.stderr.close()",
        "import os; os.close(2)",
        "import os\nreader, writer = os.pipe()\nos.dup2(writer, 2)\nos.close(reader)",
        "import os\nos.mkdir('gone')\nos.chdir('gone')\nos.name == 'nt' or os.rmdir('../gone')",
    ],
    ids=["none", "closed", "descriptor closed", "broken pipe", "no working directory"],
)
def test_the_program_ends_as_it_would_have(code: str, tmp_path: Path) -> None:
    """Whatever state stderr is in, output and exit status stay the program's own."""
    done = run(f"{HIT}print('answer')\n{code}", tmp_path)
    assert (done.returncode, done.stdout.split()) == (0, [b"answer"])


def test_a_terminal_without_the_middle_dot_gets_a_hyphen(tmp_path: Path) -> None:
    """An encoding that lacks a sign never breaks the line."""
    code = "from cachy import tally; tally.configure('d\\u00e9j\\u00e0.jsonl', True); tally.count('missed')"
    done = run(code, tmp_path, PYTHONIOENCODING="ascii:strict")
    assert done.stderr.split(b"\n")[0].rstrip() == rb"cachy  1 missed - d\xe9j\xe0.jsonl"


def test_a_replaced_stderr_gets_the_line(tmp_path: Path) -> None:
    """When the program has put an object of its own in stderr's place, the line goes there."""
    code = HIT + (
        "import atexit, io, sys\n"
        "out = sys.stderr = io.StringIO()\n"
        "atexit.unregister(tally._tell); atexit.register(lambda: print(ascii(out.getvalue())))\n"
        "atexit.register(tally._tell)"
    )
    assert b"1 replayed" in run(code, tmp_path).stdout


def test_unbuffered_streams_get_the_line_too(tmp_path: Path) -> None:
    """`python -u` has no buffer below its stderr."""
    assert b"1 replayed" in run(HIT, tmp_path, "-u").stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_tells_its_own_calls_only(tmp_path: Path) -> None:
    """After a fork the child starts from zero, and each process tells exactly its own calls, once."""
    code = (
        HIT + "import os, sys\n"
        "child = os.fork()\n"
        "if child: os.waitpid(child, 0)\n"
        "else:\n"
        "    tally.count('missed')\n"
        "    tally.count('missed')\n"
    )
    lines = run(code, tmp_path).stderr.decode().splitlines()
    assert lines == ["cachy  2 missed · cachy.jsonl", "cachy  1 replayed · saved 61 s · cachy.jsonl"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_in_the_middle_of_a_count_does_not_hang_the_child(tmp_path: Path) -> None:
    """The child of a fork does not wait for a lock that only its parent's threads could release."""
    code = (
        HIT + "import os\n"
        "with tally._lock:\n"
        "    child = os.fork()\n"
        "if not child:\n"
        "    tally.count('hit')\n"
        "    os._exit(7 if tally.stats().hits == 1 else 8)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    assert run(code, tmp_path).stdout.split() == [b"7"]


def test_under_cachy_run_counts_are_written_at_once(tmp_path: Path) -> None:
    """With a run folder nothing is printed, and no count is lost when a process ends without cleaning up."""
    folder = tmp_path / "run"
    folder.mkdir()
    code = HIT + "tally.count('bypassed', reason='status\\t500\\n')\nimport os; os._exit(0)"
    for _ in range(2):
        assert run(code, tmp_path, CACHY_RUN_DIR=str(folder)).stderr == b""
    total, processes = tally.read_run(str(folder))
    assert total == Stats(hits=2, bypassed=2, saved_ms=122_000, reasons={"status 500": 2})
    assert processes == 2


def test_a_run_folder_that_is_gone_is_no_problem(tmp_path: Path) -> None:
    """A process that outlives its cachy-run counts into the void, silently."""
    done = run(HIT + "print('answer')", tmp_path, CACHY_RUN_DIR=str(tmp_path / "gone"))
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, [b"answer"], b"")


def test_closed_descriptors_never_send_counts_into_a_file_of_the_program(tmp_path: Path) -> None:
    """A program that closes all descriptors and opens its own file finds nothing of ours in it."""
    folder = tmp_path / "run"
    folder.mkdir()
    code = (
        HIT
        + "import os\nos.closerange(3, 100)\nown = open('own', 'w')\nfor _ in range(3): tally.count('missed')"
    )
    run(code, tmp_path, CACHY_RUN_DIR=str(folder))
    assert (tmp_path / "own").read_bytes() == b""
    assert tally.read_run(str(folder))[0].missed == 3


def test_a_line_that_a_killed_process_left_half_written_is_skipped(tmp_path: Path) -> None:
    """What can be read of a run folder counts; what cannot is left out."""
    hit = b'{"outcome":"hit","ms":500}\n'
    (tmp_path / "17").write_bytes(
        hit + hit + b'{"outcome":"nonsense","ms":1}\n{"outcome":"hit","ms":"1"}\n[]\n\xff\xfe\n' + hit[:20]
    )
    assert tally.read_run(str(tmp_path)) == (Stats(hits=2, saved_ms=1000), 1)
