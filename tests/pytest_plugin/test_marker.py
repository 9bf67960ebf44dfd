"""The marker and the fixtures: what a single test asks for, in all its fixtures, tasks and threads."""

from __future__ import annotations

import pytest

from .conftest import Project, told

pytestmark = pytest.mark.slow


def test_mode_variant_and_off(project: Project) -> None:
    """For the marked test alone; the nearest marker says most; any setting of `cachy.using` may be given."""
    project.write(
        test_a="""
        import cachy, pytest
        from ask import ask

        pytestmark = pytest.mark.cachy(on_miss="respond")

        def test_recorded():
            assert ask("one") == "one! (1)"

        @pytest.mark.cachy(mode="replay")
        def test_replay():
            assert ask("one") == "one! (1)"
            with pytest.raises(Exception, match="424"):
                ask("two")

        @pytest.mark.cachy(mode="replay", on_miss="raise")
        def test_nearest():
            with pytest.raises(cachy.Miss):
                ask("two")

        @pytest.mark.cachy(variant="other")
        def test_variant():
            assert ask("one") == "one! (2)"

        @pytest.mark.cachy(off=True)
        def test_off():
            assert ask("one") == "one! (3)"

        @pytest.mark.cachy(store="mine.jsonl")
        def test_store(cachy_store):
            assert ask("one") == "one! (4)"
            assert cachy_store.url.endswith("mine.jsonl")

        def test_as_before(cachy_store):
            assert ask("one") == "one! (1)"
            assert len(cachy_store) == 2  # and the variant

        def test_bypass(cachy_bypass):
            assert ask("one") == "one! (5)"
        """
    )
    result = project.test("--cachy", "auto")
    result.assert_outcomes(passed=8)
    assert told(result) == ["cachy: 2 replayed, 3 recorded, 2 missed · 2 stores"]


def test_a_marked_test_needs_no_other_switch(project: Project) -> None:
    """The marker alone makes a session, for its test; the others are left alone."""
    project.write(
        test_a="""
        import pytest
        from ask import ask

        @pytest.mark.cachy(mode="auto")
        def test_a():
            ask("one")

        def test_b():
            ask("one")

        def test_c(cachy_store):
            pass
        """
    )
    result = project.test()
    result.assert_outcomes(passed=2, errors=1)
    assert "cachy_store: cachy is not active in this test" in result.stdout.str()
    assert told(result) == ["cachy: 1 recorded · cachy.jsonl"]
    assert project.provider.asked == ["one", "one"]


FIXTURES = """
import {library}
import threading
import pytest
from ask import ask, ask_async

{head}

@{fixture}(scope="module"{more})
async def wide():
    yield "wide"

@{fixture}
async def answer(wide):
    yield await ask_async("fixture")
    await ask_async("end")

def in_thread(prompt):
    found = []
    thread = threading.Thread(target=lambda: found.append(ask(prompt)))
    thread.start()
    thread.join()
    return found[0]

@pytest.fixture
def sync():
    return ask("sync")

async def test_plain(wide, answer, sync):
    assert answer == "fixture! (1)"
    assert await ask_async("test") == "test! (3)"

@pytest.mark.cachy(variant="v")
async def test_variant(wide, answer, sync):
    assert (answer, sync) == ("fixture! (5)", "sync! (6)")
    assert await ask_async("test") == "test! (7)"
    assert in_thread("thread") == "thread! (8)"

@pytest.mark.cachy(mode="replay")
async def test_replay(wide, answer, sync):
    assert answer == "fixture! (1)"
    assert await ask_async("test") == "test! (3)"

@pytest.mark.cachy(off=True)
async def test_off(wide, answer):
    assert answer == "fixture! (10)"
    assert in_thread("test") == "test! (11)"

async def test_plain_again(wide, answer, cachy_bypass):
    # Asked for last, so the fixtures before it are as ever.
    assert answer == "fixture! (1)"
    assert await ask_async("test") == "test! (13)"
"""


@pytest.mark.parametrize("library", ["anyio", "pytest_asyncio"])
def test_async_tests_and_fixtures(project: Project, library: str) -> None:
    """Also where the event loop and a fixture of wider scope were begun in an earlier test."""
    if library == "anyio":
        text = FIXTURES.format(
            library=library,
            fixture="pytest.fixture",
            more="",
            head="pytestmark = pytest.mark.anyio\n\n@pytest.fixture(scope='module')\ndef anyio_backend():\n    return 'asyncio'",
        )
        flags = ["-p", "anyio"]
    else:
        text = FIXTURES.format(
            library=library,
            fixture="pytest_asyncio.fixture",
            more=', loop_scope="module"',
            head='pytestmark = pytest.mark.asyncio(loop_scope="module")',
        )
        flags = ["-p", "asyncio", "-W", "ignore::pytest.PytestDeprecationWarning"]
    project.write(test_a=text)
    result = project.test("--cachy", "auto", *flags)
    result.assert_outcomes(passed=5)
