"""Which test used which recording, what nobody uses, and what is deleted because of that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cachy.report import uses

from .conftest import Project, told

pytestmark = pytest.mark.slow

THREE = """
import pytest
from ask import ask

@pytest.mark.parametrize("name", ["one", "two"])
def test_each(name):
    ask(name)

def test_three():
    ask("three")
    ask("one")
"""


def using(project: Project) -> dict[str, list[str]]:
    """The tests that used each question's recording, as this machine remembers it."""
    code = "import json, sys; from cachy.report import uses; print(json.dumps(uses.tests_using(sys.argv[1])))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(project.store)], capture_output=True, text=True, check=True
    )
    tests = json.loads(done.stdout)
    return {
        line["request"]["body"]["json"]["messages"][0]["content"]: tests.get(line["key"], [])
        for line in project.recordings()
        if "request" in line
    }


def asked(project: Project) -> set[str]:
    """The questions that are still recorded."""
    live = {}
    for line in project.recordings():
        live[line["key"]] = line.get("request")
    return {request["body"]["json"]["messages"][0]["content"] for request in live.values() if request}


def test_each_recording_knows_its_tests(project: Project) -> None:
    """The test that recorded it stands in the recording, all that use it are remembered on this machine; a replay
    changes nothing of what is committed."""
    project.write(test_a=THREE)
    project.test("--cachy", "auto")
    assert [line["test"] for line in project.recordings()] == [
        "test_a.py::test_each[one]",
        "test_a.py::test_each[two]",
        "test_a.py::test_three",
    ]
    everything = {
        "one": ["test_a.py::test_each[one]", "test_a.py::test_three"],
        "two": ["test_a.py::test_each[two]"],
        "three": ["test_a.py::test_three"],
    }
    assert using(project) == everything
    committed = project.store.read_bytes()
    # Runs of a part leave what they do not see as it was.
    for flags in (["-k", "test_three"], ["test_a.py::test_each"], ["--lf"], []):
        project.test("--cachy", "replay", *flags)
        assert using(project) == everything
    assert project.store.read_bytes() == committed
    # A test that uses less now, and one that is gone.
    project.write(test_a=THREE.replace('    ask("one")\n', ""))
    project.test("--cachy", "replay", "-k", "test_three")
    assert using(project)["one"] == ["test_a.py::test_each[one]"]
    project.write(test_a=THREE.replace('["one", "two"]', '["one"]'))
    project.test("--cachy", "replay")
    assert using(project)["two"] == []


def test_unused_is_told_after_a_full_run_only(project: Project) -> None:
    """Not when tests were left out, in whatever way."""
    project.write(test_a=THREE)
    project.test("--cachy", "auto")
    project.write(test_a=THREE.replace('["one", "two"]', '["one"]'), test_b="def test_b(): pass")
    assert told(project.test("--cachy", "replay")) == ["cachy: 3 replayed, 1 unused · cachy.jsonl"]
    assert told(project.test("--cachy", "replay", "."))[0] == "cachy: 3 replayed, 1 unused · cachy.jsonl"
    for flags in (
        ["-k", "test"],
        ["test_a.py"],
        ["--lf"],
        ["--deselect", "test_b.py::test_b"],
        ["-x", "--ignore=test_b.py"],
    ):
        assert told(project.test("--cachy", "replay", *flags)) == ["cachy: 3 replayed · cachy.jsonl"]
    result = project.test("--cachy", "replay", "--cachy-fail-on", "unused")
    assert result.ret == 1
    assert "1 recording not used by any test" in told(result)[-1]


def test_prune_deletes_what_a_full_run_that_passed_did_not_use(project: Project) -> None:
    """And nothing after any other run, which it says."""
    project.write(test_a=THREE)
    project.test("--cachy", "auto")
    project.write(test_a=THREE.replace('["one", "two"]', '["one"]'))
    lines = told(project.test("--cachy", "replay", "--cachy-prune", "-k", "three"))
    assert lines[1] == "cachy: nothing is pruned, as this was not a full run that passed (-k)"
    project.write(test_b="def test_b(): assert 0")
    lines = told(project.test("--cachy", "replay", "--cachy-prune"))
    assert (
        lines[1] == "cachy: nothing is pruned, as this was not a full run that passed (not all tests passed)"
    )
    assert asked(project) == {"one", "two", "three"}
    project.write(test_b="")
    lines = told(project.test("--cachy", "replay", "--cachy-prune"))
    assert lines == [
        "cachy: 3 replayed, 1 unused · cachy.jsonl",
        "cachy: 1 deleted that no test used (--cachy-prune)",
    ]
    assert asked(project) == {"one", "three"}
    assert told(project.test("--cachy", "replay")) == ["cachy: 3 replayed · cachy.jsonl"]


def test_what_a_skipped_test_may_use_is_not_unused(project: Project) -> None:
    """Neither what it recorded, which every machine knows, nor what it used last on this one."""
    project.write(test_a=THREE)
    project.test("--cachy", "auto")
    skipping = THREE.replace("def test_three", '@pytest.mark.skip("elsewhere")\ndef test_three').replace(
        '["one", "two"]', '["two"]'
    )
    project.write(test_a=skipping)
    # "three" was recorded by the skipped test; "one" by another, which is gone, but the skipped one used it.
    assert told(project.test("--cachy", "replay", "--cachy-prune")) == ["cachy: 1 replayed · cachy.jsonl"]
    for file in Path(os.environ["HOME"]).rglob("uses/*.json"):  # another machine
        file.unlink()
    assert told(project.test("--cachy", "replay")) == ["cachy: 1 replayed, 1 unused · cachy.jsonl"]


def test_what_was_not_collected_is_not_unused(project: Project) -> None:
    """A module that skips itself, tests elsewhere than those that usually run, and tests that a plugin takes away
    without a word."""
    project.configure("testpaths = test_a.py test_b.py")
    project.write(
        test_a=THREE,
        test_b="from ask import ask\ndef test_b(): ask('b')",
        test_elsewhere="from ask import ask\ndef test_c(): ask('c')",
    )
    project.test("--cachy", "auto", "test_a.py", "test_b.py", "test_elsewhere.py")
    project.write(test_b="import pytest\npytest.importorskip('nowhere')\ndef test_b(): pass")
    assert told(project.test("--cachy", "replay", "--cachy-prune")) == ["cachy: 4 replayed · cachy.jsonl"]
    project.write(conftest="def pytest_collection_modifyitems(items): del items[0]")
    lines = told(project.test("--cachy", "replay", "--cachy-prune"))
    assert lines[0] == "cachy: 3 replayed · cachy.jsonl"
    assert "(not all tests ran)" in lines[1]
    assert asked(project) == {"one", "two", "three", "b", "c"}


def test_unused_is_told_where_tests_switch_cachy_on_themselves(project: Project) -> None:
    """Also when the first of them do not."""
    text = """
        import cachy, pytest
        from ask import ask

        def test_nothing():
            pass

        @pytest.mark.parametrize("name", ["one", "two"])
        def test_each(name):
            with cachy.using("auto"):
                ask(name)
        """
    project.write(test_a=text)
    assert told(project.test()) == ["cachy: 2 recorded · cachy.jsonl"]
    project.write(test_a=text.replace('["one", "two"]', '["one"]'))
    assert told(project.test()) == ["cachy: 1 replayed, 1 unused · cachy.jsonl"]


def test_the_users_own_store_is_never_pruned(project: Project) -> None:
    """Outside of any project all programs record there."""
    (project.path / "pyproject.toml").unlink()
    project.write(test_a=THREE)
    project.test("--cachy", "auto")
    project.write(test_a=THREE.replace('["one", "two"]', '["one"]'))
    lines = told(project.test("--cachy", "replay", "--cachy-prune"))
    assert len(lines) == 1
    assert lines[0].startswith("cachy: 3 replayed · ")


def test_tests_of_another_project_keep_their_recordings(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One store may serve several."""
    monkeypatch.setenv("CACHY_STORE", str(project.store))
    project.write(test_a=THREE)
    other = project.path / "other"
    other.mkdir()
    (other / "test_other.py").write_text("from ask import ask\ndef test_other(): ask('other')\n")
    (other / "pytest.ini").write_text("[pytest]\npythonpath = ..\n")
    project.configure("testpaths = test_a.py")
    project.test("--cachy", "auto", "-c", "other/pytest.ini", "--rootdir", "other", "other")
    assert told(project.test("--cachy", "auto", "--cachy-prune")) == [
        "cachy: 1 replayed, 3 recorded · cachy.jsonl"
    ]
    assert asked(project) == {"one", "two", "three", "other"}


def test_a_secret_in_the_id_of_a_test_is_masked(project: Project) -> None:
    """In the recording as in what is remembered."""
    secret = "sk-proj-" + "Zz9" * 16
    project.write(
        test_a=f"""
        import pytest
        from ask import ask

        @pytest.mark.parametrize("key", ["{secret}"])
        def test_a(key):
            ask("one")
        """
    )
    project.test("--cachy", "auto")
    assert project.recordings()[0]["test"].startswith("test_a.py::test_a[")
    files = [project.store, *Path(os.environ["HOME"]).rglob("uses/*.json")]
    assert len(files) == 2
    for file in files:
        assert secret not in file.read_text("utf-8")
    assert len(using(project)["one"]) == 1


def test_a_damaged_file_of_uses_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a convenience: what cannot be read is not there, and is written anew."""
    monkeypatch.setattr("cachy.trust.user_folder", lambda kind: str(tmp_path))
    store = str(tmp_path / "cachy.jsonl")
    uses.note(store, "/root", {"test_a": ["k1"]}, ["test_a"])
    assert uses.tests_using(store) == {"k1": ["test_a"]}
    (file,) = (tmp_path / "uses").glob("*.json")
    for text in (
        "",
        "[]",
        '{"v":1,"roots":[]}',
        '{"v":1,"roots":{"/root":[]}}',
        '{"v":2,"roots":{}}',
        "{" * 5000,
    ):
        file.write_text(text)
        assert uses.tests_using(store) == {}
        assert uses.needed(store, "/elsewhere", bool) == set()
    uses.note(store, "/root", {"test_a": ["k2"]}, ["test_a"])
    assert uses.tests_using(store) == {"k2": ["test_a"]}


def test_the_command_line_knows_it_too(project: Project) -> None:
    """`ls --test`, `show` and `prune --unused`, which waits for a full run and leaves alone what came after it."""
    project.write(test_a=THREE)
    project.test("--cachy", "auto", "-k", "test_three")

    def cachy(*words: str) -> pytest.RunResult:
        return project._pytester.run(sys.executable, "-m", "cachy", *words, "--store", str(project.store))

    assert "run all tests once" in cachy("prune", "--unused", "--yes").stderr.str()
    project.test("--cachy", "auto")
    listed = json.loads(cachy("ls", "--test", "test_each", "--json").stdout.str())
    assert len(listed["recordings"]) == 2  # "one" and "two"
    key = project.recordings()[0]["key"]
    assert "test_a.py::test_three" in cachy("show", key).stdout.str()
    project.write(test_a=THREE.replace('["one", "two"]', '["one"]'))
    project.test("--cachy", "auto")
    time.sleep(1.1)  # times of recordings are told to the second
    project.write(script="import cachy; cachy.enable(); from ask import ask; ask('later')")
    project._pytester.run(sys.executable, "script.py")
    assert asked(project) == {"one", "two", "three", "later"}
    assert cachy("prune", "--unused", "--yes").ret == 0
    assert asked(project) == {"one", "three", "later"}
