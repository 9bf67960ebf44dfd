"""The Python API: `enable`, `disable`, `using`, `bypass` and `stats`, and which session a call belongs to."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

import cachy
from cachy import hooks, repeats, session, tally
from cachy.stores import Store

URL = "https://api.openai.com/v1/x"


class Upstream(httpx.BaseTransport):
    """Stands for the network: each call gets another number."""

    calls = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        Upstream.calls += 1
        return httpx.Response(200, json={"call": Upstream.calls})


def ask(question: str = "?") -> int:
    """One call; the number of the live call that answers it."""
    with httpx.Client(transport=Upstream()) as client:
        return int(client.post(URL, json={"input": question}).json()["call"])


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("CACHY", "CACHY_MODE", "CACHY_STORE", "CI"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "pyproject.toml").touch()  # so that the default store lies here
    monkeypatch.setenv("CACHY_SUMMARY", "0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Upstream, "calls", 0)
    yield
    cachy.disable()
    tally.reset()


def mode() -> str | None:
    """The mode in which a call made now would be handled; None: it goes out live."""
    now = session.current()
    return now.engine.settings.mode if now else None


def store() -> Store:
    """Where a call made now would be looked for."""
    now = session.current()
    assert now is not None
    return now.engine.store


# enable and disable


def test_enable_records_and_replays(tmp_path: Path) -> None:
    """`enable` says that it is active, and the second call is not made."""
    assert cachy.enable(store="calls.jsonl") is True
    assert [ask(), ask()] == [1, 1]
    assert (tmp_path / "calls.jsonl").exists()


def test_enable_twice_starts_over_with_the_new_settings(tmp_path: Path) -> None:
    """The last call counts; clients are patched once, and one `disable` undoes it all."""
    original = httpx.Client.__dict__["_transport_for_url"]
    cachy.enable(store="a.jsonl")
    assert [ask(), ask()] == [1, 1]
    cachy.enable(store=tmp_path / "b.jsonl")
    assert [ask(), ask()] == [2, 2]
    cachy.enable(store="a.jsonl")
    assert ask() == 1
    cachy.disable()
    assert httpx.Client.__dict__["_transport_for_url"] is original
    assert ask() == 3


def test_disable_twice_and_before_enable() -> None:
    """Undoing what is not done is no error."""
    cachy.disable()
    cachy.enable()
    cachy.disable()
    cachy.disable()
    assert mode() is None
    assert hooks._finder not in sys.meta_path


@pytest.mark.parametrize("off", [{"CACHY": "0"}, {"CACHY_MODE": "off"}])
def test_what_the_environment_switched_off_stays_off(
    monkeypatch: pytest.MonkeyPatch, off: dict[str, str]
) -> None:
    """`enable` says so, and calls go out."""
    for name, value in off.items():
        monkeypatch.setenv(name, value)
    assert cachy.enable("auto", store="x.jsonl") is False
    assert [ask(), ask()] == [1, 2]


def test_enable_off_ends_the_session() -> None:
    """`enable("off")` is `disable` for calls."""
    cachy.enable()
    assert cachy.enable("off") is False
    assert mode() is None


def test_the_kill_switch_beats_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a `using` block too nothing is recorded or replayed with CACHY=0."""
    monkeypatch.setenv("CACHY", "0")
    with cachy.using("replay", store="x.jsonl"):
        assert [ask(), ask()] == [1, 2]


# Blocks


def test_blocks_nest() -> None:
    """The innermost one counts, and each gives back what was there before, after an exception too."""
    cachy.enable("auto")
    with cachy.using("record"):
        with suppress(ZeroDivisionError), cachy.using("replay"):
            assert mode() == "replay"
            raise ZeroDivisionError
        assert mode() == "record"
        with cachy.bypass():
            assert mode() is None
            with cachy.using("replay"):
                assert mode() == "replay"
            assert mode() is None
        assert mode() == "record"
    assert mode() == "auto"


def test_a_block_needs_no_enable_and_leaves_nothing() -> None:
    """Calls before, after and in a bypass within go out live."""
    with cachy.using(store="x.jsonl"):
        assert [ask(), ask()] == [1, 1]
        with cachy.bypass():
            assert ask() == 2
        assert ask() == 1
    assert ask() == 3


def test_a_block_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that replays does so whatever the developer's shell says."""
    monkeypatch.setenv("CACHY_MODE", "record")
    with cachy.using("replay"):
        assert mode() == "replay"


def test_a_block_leaves_as_it_is_what_it_does_not_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that `enable` named is refused in a block that replays, too, and a secret that it named stays one."""
    cachy.enable("replay", hosts=["api.example.com"], redact=["pin"], ignore=["a"], store="calls.jsonl")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    for arguments in ({"ignore": ["b"], "redact": ["puk"]}, {"mode": "auto", "store": "other.jsonl"}):
        with cachy.using(**arguments):  # type: ignore[arg-type]
            current = session.current()
            assert current is not None
            found = current.engine.settings
            assert current.registry.claim("https", "api.example.com", None, "/x") is not None
            assert found.mode == arguments.get("mode", "replay")
            assert found.ignore == tuple(arguments.get("ignore", ["a"]))
            assert set(found.redact) == {"pin", *arguments.get("redact", [])}
            folder = tmp_path / "below" if "store" in arguments else tmp_path
            assert found.store == str(folder / str(arguments.get("store", "calls.jsonl")))
    monkeypatch.setenv("CACHY_MODE", "record")
    with cachy.using(store="other.jsonl"):
        assert mode() == "record"  # which beats what `enable` says
    cachy.disable()
    monkeypatch.delenv("CACHY_MODE")
    with cachy.using():
        assert mode() == "auto"


def test_what_a_block_says_of_the_store_holds_for_its_file_too() -> None:
    """The same file is opened once, unless the block keeps it below something else."""
    cachy.enable("auto", store="calls.db", max_count=100)
    outer = store()
    with cachy.using("record"):
        assert store() is outer
    with cachy.using(max_count=1):
        assert [ask("a"), ask("b")] == [1, 2]
        assert len(store()) == 1
    assert len(outer) == 1


def test_a_block_within_another_leaves_as_it_is_what_it_does_not_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A helper that opens a store in a test that replays does not go live; nor in one with the pytest marker."""
    monkeypatch.setenv("CACHY_MODE", "record")
    (tmp_path / "below").mkdir()
    for everywhere in (False, True):
        with session.using({"mode": "replay", "store": "outer.jsonl"}, everywhere=everywhere):
            with cachy.bypass(), cachy.using(ignore=["a"]):
                assert mode() == "replay"
            with cachy.using(redact=["pin"]), cachy.using(ignore=["a"]):
                monkeypatch.chdir(tmp_path / "below")
                with cachy.using(summary=False):
                    current = session.current()
                    assert current is not None
                    found = current.engine.settings
                    assert (found.mode, found.ignore, "pin" in found.redact) == ("replay", ("a",), True)
                    assert found.store == str(tmp_path / "outer.jsonl")
                monkeypatch.chdir(tmp_path)
        with cachy.using():
            assert mode() == "record"


def test_enable_within_a_block_is_for_the_rest_of_the_process() -> None:
    """The block's own calls are still the block's."""
    with cachy.using("replay"):
        cachy.enable("record")
        assert mode() == "replay"
    assert mode() == "record"


def test_a_block_does_not_speak_for_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line at exit names the store of `enable`, and a silent block does not silence it."""
    monkeypatch.delenv("CACHY_SUMMARY")
    cachy.enable(store="calls.jsonl")
    with cachy.using("replay", store="other.jsonl", summary=False):
        pass
    assert (Path(tally._store).name, tally._summary) == ("calls.jsonl", True)


# Above a function


def said() -> tuple[str | None, str]:
    """The mode and the variant of a call made now."""
    return mode(), repeats._variant.get()


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (lambda: cachy.using("replay"), ("replay", "")),
        (cachy.bypass, (None, "")),
        (lambda: cachy.variant("b"), ("record", "b")),
        (cachy.no_cachy, (None, "")),
        (cachy.cachy, ("auto", "")),
    ],
    ids=["using", "bypass", "variant", "no_cachy", "cachy"],
)
def test_a_block_may_stand_above_a_function(block: Any, expected: tuple[str | None, str]) -> None:
    """Each call is a block of its own, and an `async def` is in it to its end, not only when it is called."""
    cachy.enable("record")

    @block()
    def ordinary(number: int) -> Any:
        return number, said()

    @block()
    async def asynchronous(number: int) -> Any:
        await asyncio.sleep(0)
        return number, said()

    async def several() -> Any:
        return await asyncio.gather(asynchronous(3), asynchronous(4))

    assert [ordinary(1), ordinary(2)] == [(1, expected), (2, expected)]
    assert asyncio.run(several()) == [(3, expected), (4, expected)]
    assert asyncio.iscoroutinefunction(asynchronous)
    assert asynchronous.__name__ == "asynchronous"
    assert said() == ("record", "")


# Contexts


def test_threads_start_outside_of_a_block() -> None:
    """A thread made in a block is not touched by it, unless it is given the context."""
    seen: list[str | None] = []
    with cachy.using("replay"):
        context = contextvars.copy_context()
        for target in (lambda: seen.append(mode()), lambda: context.run(lambda: seen.append(mode()))):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    assert seen == [None, "replay"]


def test_tasks_in_one_gather_do_not_touch_each_other() -> None:
    """Each task has the blocks that it entered, however their turns interleave."""

    async def work(wanted: str) -> list[str | None]:
        seen = []
        with cachy.using(wanted):  # type: ignore[arg-type]
            for _ in range(3):
                await asyncio.sleep(0)
                seen.append(mode())
            with cachy.bypass():
                await asyncio.sleep(0)
                seen.append(mode())
        seen.append(mode())
        return seen

    async def main() -> list[list[str | None]]:
        return await asyncio.gather(*map(work, ("auto", "replay", "record")))

    assert asyncio.run(main()) == [[m, m, m, None, None] for m in ("auto", "replay", "record")]


def test_a_task_keeps_the_block_that_it_was_started_in() -> None:
    """Also when it outlives the block."""

    async def main() -> tuple[str | None, str | None]:
        go = asyncio.Event()

        async def work() -> str | None:
            await go.wait()
            return mode()

        with cachy.using("replay"):
            task = asyncio.create_task(work())
            await asyncio.sleep(0)
        go.set()
        return await task, mode()

    assert asyncio.run(main()) == ("replay", None)


def test_a_block_in_a_generator_that_ends_out_of_turn() -> None:
    """A block that ends after one which began later takes nothing from it, and does not come back."""

    def generator() -> Iterator[None]:
        with cachy.using("record"):
            yield

    cachy.enable("auto")
    early = generator()
    next(early)
    with cachy.using("replay"):
        early.close()
        assert mode() == "replay"
    assert mode() == "auto"


def test_a_block_that_ends_in_another_context() -> None:
    """A fixture whose two halves run in different contexts ends its block without an error."""

    def generator() -> Iterator[None]:
        with cachy.using("record"), cachy.bypass():
            yield

    halves = generator()
    contextvars.copy_context().run(next, halves)
    assert mode() is None
    with cachy.using("replay"):
        contextvars.copy_context().run(lambda: next(halves, None))
        assert mode() == "replay"
    assert mode() is None


def test_an_async_generator_whose_halves_are_two_tasks() -> None:
    """The fixtures of asynchronous test runners are made like this."""

    async def fixture() -> AsyncIterator[None]:
        with cachy.using("record"):
            yield

    async def main() -> str | None:
        halves = fixture()
        await asyncio.create_task(halves.__anext__())  # type: ignore[arg-type]
        await asyncio.create_task(halves.aclose())  # type: ignore[attr-defined]
        return mode()

    assert asyncio.run(main()) is None


# A store that cannot be opened


def test_a_store_that_does_not_exist_costs_the_recording_not_the_call(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In auto and record calls go out, one line says what to do, and the calls are counted."""
    for wanted in ("auto", "record"):
        with cachy.using(wanted, store="nosuch://me:hunter2@host/0"):  # type: ignore[arg-type]
            ask()
    lines = capsys.readouterr().err.splitlines()
    assert Upstream.calls == 2
    assert all(
        "no store for nosuch:// in this version; use a path such as cachy.jsonl" in line for line in lines
    )
    assert len(lines) == 2
    assert "hunter2" not in "".join(lines)
    assert cachy.stats().bypassed == 2


def test_replay_with_a_store_that_does_not_exist_never_calls() -> None:
    """Replay promises that nothing is sent, whatever is wrong."""
    with cachy.using("replay", store="nosuch://me:hunter2@host/0"), pytest.raises(cachy.Miss) as miss:
        ask()
    assert Upstream.calls == 0
    assert "no store for nosuch://" in str(miss.value)
    assert "hunter2" not in str(miss.value) + miss.value.store


# stats


def test_stats_count_what_became_of_the_calls() -> None:
    """By outcome, over all sessions of the process, with the reasons of what was not recorded."""
    cachy.enable(store="x.jsonl")
    ask("a")
    ask("a")
    with cachy.using("replay", store="none.jsonl"), pytest.raises(cachy.Miss):
        ask("b")
    with cachy.bypass():
        ask("c")
    found = cachy.stats()
    assert isinstance(found, cachy.Stats)
    assert (found.hits, found.recorded, found.missed, found.bypassed, found.handled) == (1, 1, 1, 0, 3)


# Blocks for the whole process: pytest tests and cells of notebooks


def in_thread() -> str | None:
    """The mode in a thread that is started now."""
    found: list[str | None] = []
    thread = threading.Thread(target=lambda: found.append(mode()))
    thread.start()
    thread.join()
    return found[0]


def test_a_block_everywhere_reaches_threads_and_ends_everywhere() -> None:
    """What it took the place of is back after it; a block in the code itself counts more."""
    cachy.enable("record")
    with session.using({"mode": "replay"}, everywhere=True):
        assert (mode(), in_thread()) == ("replay", "replay")
        with session.bypass(everywhere=True):
            assert (mode(), in_thread()) == (None, None)
        with cachy.using("verify"):
            assert (mode(), in_thread()) == ("verify", "replay")
        cachy.enable("auto")  # by the test; it ends with it
    assert (mode(), in_thread()) == ("record", "record")


def test_a_block_everywhere_does_not_make_the_decision_of_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is the first to ask, what CACHY=1 wants still holds after it."""
    monkeypatch.setattr(session, "_decided", False)
    monkeypatch.setattr("cachy._bootstrap.door", "environment")
    monkeypatch.setenv("CACHY", "auto")
    with session.bypass(everywhere=True):
        assert mode() is None
        assert session.start()  # a client that is imported in here is patched for what comes after
    assert mode() == "auto"


def test_a_variant_everywhere_and_one_of_the_code() -> None:
    """The nearer one counts."""
    cachy.enable()
    assert ask() == 1
    with repeats.variant_everywhere("a"):
        assert [ask(), ask()] == [2, 2]
        with cachy.variant("b"):
            assert ask() == 3
    assert ask() == 1


def test_who_waits_for_a_session_is_called_when_one_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time, and not when none is wanted."""
    called: list[str] = []
    monkeypatch.setattr("cachy._bootstrap.when_active", [lambda: called.append("now")])
    cachy.enable("off")
    assert called == []
    cachy.enable()
    with cachy.using("replay"):
        pass
    assert called == ["now", "now"]


def test_what_was_told_is_not_told_again() -> None:
    """Who has summed up a run starts the counts anew for the line at exit."""
    cachy.enable()
    ask()
    tally.told()
    assert cachy.stats().handled == 0
    ask()
    assert cachy.stats().hits == 1


def test_turns_start_over_with_a_new_run() -> None:
    """As each pytest test does."""
    turns = repeats.Turns()
    assert [turns.take("a"), turns.take("a"), turns.take("b")] == [1, 2, 1]
    turns.give_back("a", 2)
    turns.start_over()
    assert [turns.take("a"), turns.take("a")] == [1, 2]
