"""What a run of tests says at its end, and what it says of each test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cachy import pytest_plugin, values
from cachy.report import test_run

from .conftest import Project, told

pytestmark = pytest.mark.slow

TWO = """
from ask import ask

def test_one():
    assert ask("one").startswith("one!")

def test_two():
    assert ask("two").startswith("two!")
    assert ask("one").startswith("one!")
"""


def test_the_plugin_names_the_modes_that_there_are() -> None:
    """It has its own lists, as it loads nothing of cachy while it is idle."""
    assert pytest_plugin.MODES == values.MODES
    assert pytest_plugin.FAIL_ON == test_run.FAIL_ON


def test_one_line_tells_what_became_of_the_calls(project: Project) -> None:
    """Recorded the first time, replayed the second, when the provider is gone; no line at exit beside it."""
    project.write(test_a=TWO)
    first = project.test("--cachy", "auto")
    first.assert_outcomes(passed=2)
    assert told(first) == ["cachy: 1 replayed, 2 recorded · cachy.jsonl"]
    project.provider.stop()
    second = project.test("--cachy", "replay")
    second.assert_outcomes(passed=2)
    assert told(second) == ["cachy: 3 replayed · cachy.jsonl"]
    assert "cachy" not in first.stderr.str() + second.stderr.str()
    assert len(project.provider.asked) == 2


def test_it_is_told_that_ci_means_replay(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody chose a mode; who did knows it."""
    project.write(test_a=TWO)
    monkeypatch.setenv("CACHY", "1")
    project.test()
    monkeypatch.setenv("CI", "true")
    assert told(project.test()) == ["cachy: 3 replayed · cachy.jsonl · mode replay, because CI is set"]
    assert told(project.test("--cachy", "replay")) == ["cachy: 3 replayed · cachy.jsonl"]


def test_a_project_that_asks_in_vain_is_told_of(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest is started above it, so its table does not count; the ini does from anywhere."""
    inner = project.path / "services" / "a"
    inner.mkdir(parents=True)
    (inner / "pyproject.toml").write_text("[tool.cachy]\n")
    (inner / "pytest.ini").write_text("[pytest]\npythonpath = ../..\n")
    (inner / "test_a.py").write_text("from ask import ask\ndef test_a(): ask('x')\n")
    result = project.test("services/a")
    assert result.ret == 0
    note = (
        f"cachy: {inner / 'pyproject.toml'} does not count, as pytest was started outside of that project; "
    )
    assert [line[: len(note)] for line in result.errlines if line.startswith("cachy:")] == [note]
    assert told(result) == []
    assert "does not count" not in project.test("services/a", "-p", "no:cachy").stderr.str()
    (inner / "pytest.ini").write_text(
        "[pytest]\npythonpath = ../..\ncachy_mode = auto\ncachy_store = calls.jsonl\n"
    )
    result = project.test("services/a")
    assert told(result) == [f"cachy: 1 recorded · {Path('services', 'a', 'calls.jsonl')}"]
    assert "does not count" not in result.stderr.str()
    monkeypatch.chdir(inner)
    assert "does not count" not in project.test().stderr.str()


def test_money_is_estimated_where_prices_are_known(project: Project) -> None:
    """By genai-prices, where it is installed; else the tokens are told."""
    pytest.importorskip("genai_prices")
    (project.path / "genai_prices.py").unlink()
    project.write(test_a=TWO)
    project.test("--cachy", "auto")
    # 1,000 tokens read and 500 written, three times: $0.25 and $2 a million.
    assert "$0.0038 est. · cachy.jsonl" in project.test("--cachy", "replay").outlines[-2]
    project.write(genai_prices="raise ImportError")
    assert ", 4,500 tokens · cachy.jsonl" in project.test("--cachy", "replay").outlines[-2]


def test_nothing_is_said_where_nothing_happened(project: Project) -> None:
    """Whether cachy is off, idle, or active in a run without calls."""
    project.write(test_a="def test_a(): pass")
    for flags in ([], ["--cachy", "auto"], ["--cachy", "off"]):
        result = project.test(*flags)
        result.assert_outcomes(passed=1)
        assert told(result) == []
        assert result.stderr.str() == ""
    assert not project.store.exists()


def test_an_idle_plugin_loads_nothing(project: Project) -> None:
    """Of cachy, nothing but itself and the door; and it leaves the environment as it is."""
    project.write(
        test_a="""
        import os, sys

        def test_a():
            ours = {name for name in sys.modules if name.partition(".")[0] == "cachy"}
            assert ours == {"cachy", "cachy._bootstrap", "cachy.pytest_plugin"}
            assert not [name for name in os.environ if name.startswith("CACHY")]
        """
    )
    project.test().assert_outcomes(passed=1)


@pytest.mark.parametrize("door", ["environment", "table", "enable", "using"])
def test_it_works_whoever_switches_cachy_on(
    project: Project, door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment, the project's table, a conftest.py or a test by itself."""
    project.write(test_a=TWO)
    if door == "environment":
        monkeypatch.setenv("CACHY", "1")
    elif door == "table":
        # The store shows that it is obeyed; the Python lies outside of the project, so it must be trusted.
        (project.path / "pyproject.toml").write_text('[tool.cachy]\nstore = "mine.jsonl"\n')
        config = Path(os.environ["HOME"], ".config", "cachy")
        monkeypatch.setenv("XDG_CONFIG_HOME", str(config.parent))
        project._pytester.run("python", "-m", "cachy", "trust")
    elif door == "enable":
        project.write(conftest="import cachy; cachy.enable()")
    else:
        project.write(
            test_a="import cachy\nfrom ask import ask\ndef test_a():\n  with cachy.using('auto'): ask('x')"
        )
    result = project.test()
    assert result.ret == 0
    (line,) = told(result)
    assert "recorded" in line
    assert line.endswith("mine.jsonl" if door == "table" else "cachy.jsonl")


def test_verbose_tells_of_each_test(project: Project) -> None:
    """What fixtures ask is the test's."""
    project.write(
        test_a=TWO,
        test_b="""
        import pytest
        from ask import ask

        @pytest.fixture
        def answer():
            return ask("one")

        def test_fixture(answer):
            ask("three")

        def test_nothing():
            pass
        """,
    )
    result = project.test("--cachy", "auto", "-v")
    result.stdout.fnmatch_lines(
        [
            "test_a.py::test_one PASSED (1 recorded)*",
            "test_a.py::test_two PASSED (1 replayed, 1 recorded)*",
            "test_b.py::test_fixture PASSED (1 replayed, 1 recorded)*",
            "test_b.py::test_nothing PASSED  *",
        ]
    )


def test_quiet_says_it_in_the_same_line_and_very_quiet_only_what_is_wrong(project: Project) -> None:
    """-q is for people who want less, -qq and --no-summary for those who want nothing."""
    project.write(test_a=TWO)
    assert told(project.test("--cachy", "auto", "-q")) == ["cachy: 1 replayed, 2 recorded · cachy.jsonl"]
    assert told(project.test("--cachy", "auto", "-qq")) == []
    assert told(project.test("--cachy", "auto", "--no-summary")) == []
    project.write(test_a="from ask import ask\ndef test_a(): ask('new')")
    assert told(project.test("--cachy", "replay", "-qq")) == ["cachy: 1 missed, 2 unused · cachy.jsonl"]


def test_without_the_plugin_cachy_works_as_in_any_program(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`-p no:cachy` takes the plugin away and nothing else: the line at exit is back."""
    project.write(test_a=TWO)
    monkeypatch.setenv("CACHY", "1")
    result = project.test("-p", "no:cachy")
    result.assert_outcomes(passed=2)
    assert told(result) == []
    assert "cachy  1 replayed · 2 recorded" in result.stderr.str()


def test_a_miss_stands_in_the_report_of_its_test(project: Project) -> None:
    """With what differs and the command that records it, also when the test has swallowed the exception."""
    project.write(test_a="from ask import ask\ndef test_a(): ask('What is new on Monday?')")
    project.test("--cachy", "auto")
    project.write(
        test_a="""
        from ask import ask
        import cachy

        def test_raises():
            ask("What is new on Tuesday?")

        def test_swallows():
            try:
                ask("What is new on Wednesday?")
            except BaseException:
                pass
            assert 0
        """
    )
    result = project.test("--cachy", "replay")
    result.assert_outcomes(failed=2)
    text = result.stdout.str()
    for day in ("Tuesday", "Wednesday"):
        assert text.count(f"messages[0].content: What is new on {{-Monday-}}{{+{day}+}}?") == 1
    assert "to record it: pytest --cachy auto test_a.py::test_swallows (store: cachy.jsonl)" in text
    assert told(result) == ["cachy: 2 missed, 1 unused · cachy.jsonl"]
    assert "engine.py" not in text  # the user's line is what counts, not ours
    assert project.provider.asked == ["What is new on Monday?"]


def test_calls_of_programs_that_tests_start_count_too(project: Project) -> None:
    """They are told apart by test, and print no line of their own."""
    project.write(
        script="from ask import ask; ask('one')",
        test_a="""
        import subprocess, sys

        def test_child():
            done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True)
            assert (done.returncode, done.stderr) == (0, "")
        """,
    )
    result = project.test("--cachy", "auto", "-v")
    result.stdout.fnmatch_lines(["test_a.py::test_child PASSED (1 recorded)*"])
    assert told(result) == ["cachy: 1 recorded · cachy.jsonl"]
    assert project.recordings()[0]["test"] == "test_a.py::test_child"


def test_under_cachy_run_both_tell(project: Project) -> None:
    """The section is of the tests, the line at the end of all processes."""
    project.write(test_a=TWO)
    run = ["python", "-m", "cachy", "run", "--mode", "auto", "python", "-m", "pytest"]
    result = project._pytester.run(*run)
    assert told(result) == ["cachy: 1 replayed, 2 recorded · cachy.jsonl"]
    assert "cachy  1 replayed · 2 recorded" in result.stderr.str()


def test_the_temporary_folder_is_left_clean(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the run has kept there is gone with it."""
    scratch = project.path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setenv("TEMP", str(scratch))
    project.write(test_a=TWO)
    project.test("--cachy", "auto", "-n", "2")
    assert [entry.name for entry in scratch.iterdir() if entry.name.startswith("cachy")] == []


def test_ini_and_option(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The option beats the environment, which beats the ini; CACHY=0 beats all."""
    project.configure("cachy_mode = auto", "cachy_store = calls/tests.jsonl")
    project.write(test_a=TWO)
    store = os.path.join("calls", "tests.jsonl")
    assert told(project.test()) == [f"cachy: 1 replayed, 2 recorded · {store}"]
    monkeypatch.setenv("CACHY", "record")
    assert told(project.test()) == [f"cachy: 3 recorded · {store}"]
    assert told(project.test("--cachy", "replay")) == [f"cachy: 3 replayed · {store}"]
    monkeypatch.setenv("CACHY", "0")
    assert told(project.test("--cachy", "replay")) == []
    monkeypatch.delenv("CACHY")
    project.configure("cachy_mode = sometimes")
    assert "cachy_mode: 'sometimes' is none of auto, replay" in project.test().stderr.str()


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("live", "cachy: failed, as --cachy-fail-on says: 2 calls made live, in test_a.py::test_a"),
        ("miss", "cachy: failed, as --cachy-fail-on says: 1 call missed, in test_a.py::test_b"),
        ("escaped", None),
    ],
)
def test_a_run_can_be_made_to_fail(project: Project, kind: str, says: str | None) -> None:
    """Although all tests pass."""
    project.write(
        test_a="""
        import cachy, pytest
        from ask import ask

        def test_a():
            ask("one")
            with pytest.raises(Exception):
                ask("fail")  # answered with a 500, so not recorded

        def test_b():
            with cachy.using("replay", on_miss="respond"), pytest.raises(Exception):
                ask("two")
        """
    )
    result = project.test("--cachy", "auto", "--cachy-fail-on", kind)
    result.assert_outcomes(passed=2)
    assert result.ret == (1 if says else 0)
    assert (says in told(result)) == bool(says)
    assert project.test("--cachy", "auto", "--cachy-fail-on", "lies").ret == pytest.ExitCode.USAGE_ERROR


def test_what_escapes_can_be_made_to_fail_a_run(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to a known provider that no adapter made."""
    monkeypatch.setenv("CACHY_HOSTS", "nowhere.invalid")
    project.write(
        test_a="""
        import socket, httpx, pytest

        def test_a():
            with pytest.raises(OSError):
                socket.create_connection(("nowhere.invalid", 443))
        """
    )
    result = project.test("--cachy", "auto", "--cachy-fail-on", "miss,escaped")
    assert result.ret == 1
    assert "1 call escaped, in test_a.py::test_a" in told(result)[-1]
    # In replay mode it is refused, and a test that swallows that says so when it fails.
    project.write(
        test_a="""
        import socket, httpx

        def test_a():
            try:
                socket.create_connection(("nowhere.invalid", 443))
            except BaseException:
                pass
            assert 0
        """
    )
    text = project.test("--cachy", "replay").stdout.str()
    assert "a call to https://nowhere.invalid was refused (socket at test_a.py:5)" in text


def test_sequences_begin_anew_with_each_test(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The n-th identical request is the test's: neither order nor selection of tests changes an answer."""
    monkeypatch.setenv("CACHY_REPEATS", "sequence")
    project.write(
        test_a="""
        from ask import ask

        def test_a():
            assert [ask("roll"), ask("roll")] == ["roll! (1)", "roll! (2)"]

        def test_b():
            assert ask("roll") == "roll! (1)"
        """
    )
    project.test("--cachy", "auto").assert_outcomes(passed=2)
    project.test("--cachy", "replay", "-k", "test_b").assert_outcomes(passed=1, deselected=1)
    project.test("--cachy", "replay", "test_a.py::test_b", "test_a.py::test_a").assert_outcomes(passed=2)
