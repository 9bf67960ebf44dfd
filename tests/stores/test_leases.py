"""Processes on one machine that ask the same wait for each other, and never for one that is gone or stalls."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stores.contract import A, B, child

from cachy.flights import Flight
from cachy.stores import leases

TAKE = """
from cachy.flights import Flight
from cachy.stores import leases
flight = Flight()
print(leases.take("store", sys.argv[1], flight) is None and flight.lease is not None, flush=True)
for line in sys.stdin:
    if line == "moved\\n":
        flight.moved()
    elif line == "land\\n":
        flight.land()
    print("done", flush=True)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of this test, for its children too."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    monkeypatch.setattr(leases, "user_folder", lambda _: str(tmp_path / "cachy"))
    monkeypatch.setattr(leases, "_file", leases._File())
    monkeypatch.setattr(leases, "_PAUSE", 0.005)
    return tmp_path / "cachy"


@pytest.fixture
def other() -> Iterator[Callable[[str], Any]]:
    """Starts another process that takes the lease of a key, and does what it is told."""
    started: list[subprocess.Popen[str]] = []

    class Other:
        def __init__(self, key: str) -> None:
            self.process = child(TAKE, key)
            started.append(self.process)
            self.leads = self.process.stdout.readline() == "True\n"  # type: ignore[union-attr]

        def do(self, what: str) -> None:
            self.process.stdin.write(f"{what}\n")  # type: ignore[union-attr]
            self.process.stdin.flush()  # type: ignore[union-attr]
            assert self.process.stdout.readline() == "done\n"  # type: ignore[union-attr]

    yield Other
    for process in started:
        process.kill()
        process.communicate()


def take(key: str = A) -> tuple[Flight, Flight | None]:
    flight = Flight()
    return flight, leases.take("store", key, flight)


def test_who_comes_second_waits_until_the_first_has_landed(other: Any) -> None:
    """Then it may lead itself."""
    first = other(A)
    assert first.leads
    flight, awaited = take()
    assert flight.lease is None
    assert awaited is not None
    assert take()[1] is awaited
    awaited.wait(0.05)
    assert not awaited.landed
    first.do("land")
    awaited.wait(10)
    assert awaited.landed
    flight, awaited = take()
    assert awaited is None
    assert flight.lease is not None
    flight.land()


def test_other_keys_and_stores_are_not_waited_for(other: Any) -> None:
    """A lease is for one request to one store."""
    other(A)
    assert take(B)[1] is None
    assert leases.take("another store", A, Flight()) is None


def test_a_process_that_dies_is_not_waited_for(other: Any) -> None:
    """kill -9 ends its lease at once."""
    first = other(A)
    _, awaited = take()
    assert awaited is not None
    first.process.kill()
    awaited.wait(10)
    assert awaited.landed
    assert take()[1] is None


def test_an_answer_that_does_not_move_is_not_waited_for(other: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process may be waiting for us: after a while everybody calls for themselves."""
    first = other(A)
    _, awaited = take()
    assert awaited is not None
    first.do("moved")
    monkeypatch.setattr(leases, "PATIENCE", 0.0)
    awaited.wait(10)
    assert awaited.landed
    flight, awaited = take()
    assert awaited is None
    assert flight.lease is None


def test_an_answer_that_does_not_begin_is_waited_for_longer(
    other: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Models think for minutes, but not for ever."""
    other(A)
    monkeypatch.setattr(leases, "PATIENCE", 0.0)
    _, awaited = take()
    assert awaited is not None
    monkeypatch.setattr(leases, "LONGEST", 0.0)
    awaited.wait(10)
    assert awaited.landed


def test_within_one_process_nobody_waits_for_a_lease(folder: Path) -> None:
    """That is what flights are for; another session of this process just calls."""
    first, awaited = take()
    assert awaited is None
    second, awaited = take()
    assert awaited is None
    assert second.lease is None
    second.land()
    first.land()
    first.land()
    assert take()[0].lease is not None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_does_not_end_the_lease_of_its_parent(other: Any) -> None:
    """Whatever it does with what it inherited; nor does it wait for its parent, which may be waiting for it."""
    flight, _ = take()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            flight.moved()
            flight.land()
            status = 0 if take()[1] is None and take()[0].lease is None else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert not other(A).leads
    flight.land()
    assert other(A).leads


def test_where_there_is_no_place_for_it_everybody_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No home folder, or one that cannot be written: the promise is lost, nothing else."""
    monkeypatch.setattr(leases, "user_folder", lambda _: None)
    assert take()[1] is None
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr(leases, "user_folder", lambda _: str(tmp_path / "file" / "cachy"))
    flight, awaited = take()
    assert (flight.lease, awaited) == (None, None)


def test_a_daemon_that_closed_what_was_open(folder: Path, tmp_path: Path) -> None:
    """The number of our file may be another one's then, and that one is never written to."""
    flight, _ = take()
    os.close(leases._file.fd)
    precious = tmp_path / "precious"
    fd = os.open(precious, os.O_RDWR | os.O_CREAT)
    assert fd == leases._file.fd
    flight.moved()
    flight.land()
    assert take()[0].lease is not None
    assert os.fstat(fd).st_size == 0
    os.close(fd)


def test_a_daemon_that_closed_what_was_open_and_opens_nothing() -> None:
    """The file is opened again."""
    flight, _ = take()
    os.close(leases._file.fd)
    flight.land()
    assert take()[0].lease is not None


def test_a_leader_that_is_stopped_before_it_could_note_the_time(
    other: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for it for ever: the time counts from the first look on."""
    other(A)
    place = leases._place("store", A)
    assert take()[1] is not None
    leases._file.note(place, 0)  # what the file says between its lock and its first note
    _, awaited = take()
    assert awaited is not None
    awaited.wait(0.05)
    assert not awaited.landed
    monkeypatch.setattr(leases, "LONGEST", 0.0)
    awaited.wait(10)
    assert awaited.landed
    assert take()[1] is None


@pytest.mark.skipif(os.name == "nt", reason="Windows deletes no file that is open")
def test_a_cache_folder_that_was_cleared(folder: Path, other: Any) -> None:
    """A program that runs on and one that is started then wait for each other again."""
    flight, _ = take()
    (folder / "leases").unlink()
    flight.moved()
    assert take()[0].lease is None  # it still holds what it held
    flight.land()
    assert take(B)[0].lease is not None
    assert not other(B).leads


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX system")
@pytest.mark.parametrize("what", ["link", "second name", "pipe", "other owner"])
def test_a_file_that_another_user_put_there(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Where people share a folder, nobody makes us write into a file of ours, or wait."""
    folder.mkdir()
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    if what == "link":
        (folder / "leases").symlink_to(precious)
    elif what == "second name":
        (folder / "leases").hardlink_to(precious)
    elif what == "pipe":
        os.mkfifo(folder / "leases")
    else:
        (folder / "leases").touch()
        monkeypatch.setattr(os, "getuid", lambda: precious.stat().st_uid + 1)
    flight, awaited = take()
    assert (flight.lease, awaited) == (None, None)
    assert precious.read_bytes() == b"precious"


@pytest.mark.slow
def test_many_processes_at_once_lead_one_by_one(tmp_path: Path) -> None:
    """Six processes that all want the same: at no time two lead."""
    code = """
import os, time
from cachy.flights import Flight
from cachy.stores import leases
for turn in range(10):
    while True:
        flight = Flight()
        if awaited := leases.take("store", "key", flight):
            awaited.wait(1)
            continue
        assert flight.lease is not None
        os.close(os.open(sys.argv[1], os.O_CREAT | os.O_EXCL))
        time.sleep(0.005)
        os.unlink(sys.argv[1])
        flight.land()
        break
"""
    processes = [child(code, tmp_path / "alone") for _ in range(6)]
    for process in processes:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
