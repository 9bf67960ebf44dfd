"""A program that freezes time: what cachy measures goes on, and what it has recorded stays."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from stores.contract import run

import cachy

# In processes of their own: freezegun looks at all that is imported, and breaks on some SDKs that others load.
pytest.importorskip("freezegun")


def test_the_clocks_go_on() -> None:
    """Under whatever name, in every module that asks for the time."""
    run("""
import threading, time
import freezegun
from cachy import clocks, recorded, streaming
from cachy.stores import background, folder, leases, side_files, sqlite

real = time.time()
with freezegun.freeze_time("2099-01-01"):
    assert time.time() > real + 86400
    assert real <= clocks.utc() < real + 3600
    assert not clocks.stamp().startswith("2099")
    for now in (recorded._utc, sqlite._now, side_files.utc):
        assert now() < real + 3600
    assert folder._now() < (real + 3600) * 1e9
    for now in (streaming.now, background.now, leases._clock):
        began = now()
        assert threading.Event().wait(0.001) is False
        assert began < now() < began + 3600
""")


def test_no_module_has_a_clock_of_its_own() -> None:
    """A copy under another name is found by freezegun, and frozen like the others."""
    root = Path(cachy.__file__).parent
    copies = {
        f"{path.relative_to(root).as_posix()}: {found}"
        for path in root.rglob("*.py")
        for found in re.findall(
            r"^\w+ = time\.(?!sleep)\w+|^from time import (?!sleep)\w+", path.read_text("utf-8"), re.M
        )
    }
    assert copies == {
        "transports/grpc_aio.py: _clock = time.time",  # it reads deadlines that grpc made with that one
        "cli/talk.py: _clock = time.monotonic",  # a program of our own, which freezes nothing
    }


def test_a_frozen_future_ages_no_recording(tmp_path: Path) -> None:
    """Else the first recording of a test that plays in 2099 would evict all others."""
    run(
        """
import freezegun
from stores.contract import A, B, line_of
from cachy.stores.sqlite import SqliteStore
from cachy.values import Limits

store = SqliteStore(sys.argv[1], Limits(age=30 * 86400))
store.put(A, line_of(A))
store._aged = 0.0  # it looks at ages at most once a minute
with freezegun.freeze_time("2099-01-01"):
    store.put(B, line_of(B))
assert {key for key, _ in store} == {A, B}
store.close()
""",
        tmp_path / "calls.db",
    )
