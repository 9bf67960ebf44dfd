"""Finders that put themselves in front of ours and answer for a client by themselves."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from installed import copy

from cachy import hooks

from .conftest import Child
from .test_clients import COVERED

Seen = list[tuple[str, ModuleType]]


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Seen]:
    """The hook is up for a made-up client that can be imported; holds what the hook was called with."""
    (tmp_path / "sample_client.py").write_text("import sample_part\n")
    (tmp_path / "sample_part.py").write_text("")
    (tmp_path / "sample_next.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(hooks, "CLIENTS", frozenset(["sample_client"]))
    for others in ("DOORS", "SDKS", "CREDENTIALS"):  # which other tests may have imported
        monkeypatch.setattr(hooks, others, frozenset())
    monkeypatch.setattr(hooks, "_finder", None)
    kept = [finder for finder in sys.meta_path if type(finder).__module__ != "cachy.hooks"]
    monkeypatch.setattr(sys, "meta_path", kept)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    calls: Seen = []
    hooks.install(lambda name, module: calls.append((name, module)))
    yield calls
    for name in ("sample_client", "sample_part", "sample_next"):
        sys.modules.pop(name, None)


class Answering:
    """A finder that asks nobody but Python's own, as those of pytest and typeguard do."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return importlib.machinery.PathFinder.find_spec(name, path) if name == "sample_client" else None


def names() -> list[str]:
    return [type(finder).__name__ for finder in sys.meta_path]


def test_it_comes_to_the_front_when_anything_is_imported(seen: Seen) -> None:
    """Once another module was looked for, a finder that answers by itself hides nothing any more."""
    sys.meta_path.insert(0, Answering())
    before = names()
    importlib.import_module("sample_next")
    assert names() == [before[1], before[0], *before[2:]]
    assert seen == [("sample_client", importlib.import_module("sample_client"))]


def test_a_client_that_came_in_unseen_is_caught_up_with(seen: Seen) -> None:
    """The client is the first thing to be imported: it is patched when the next module is looked for."""
    sys.meta_path.insert(0, Answering())
    module = importlib.import_module("sample_client")
    importlib.import_module("sample_next")
    assert seen == [("sample_client", module)]


def test_a_client_that_was_whole_before_it_was_noticed(seen: Seen) -> None:
    """Nothing was looked for while it was imported: it is patched at the next look, and only once."""
    sys.modules["sample_part"] = ModuleType("sample_part")
    sys.meta_path.insert(0, Answering())
    module = importlib.import_module("sample_client")
    for _ in range(2):
        assert importlib.util.find_spec("sample_next")
    assert seen == [("sample_client", module)]


def test_nobody_who_looks_meanwhile_is_passed_over(seen: Seen) -> None:
    """A look-up that is under way asks each finder, however the list is changed below it."""
    asked: list[str] = []

    class Noting:
        def __init__(self, name: str) -> None:
            self.name = name

        def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
            asked.append(self.name)

    sys.meta_path.insert(0, Noting("a"))
    sys.meta_path.insert(0, Noting("b"))
    sys.meta_path.insert(3, Noting("c"))
    assert importlib.util.find_spec("sample_nowhere") is None
    assert asked == ["b", "a", "c"]


def test_taken_off_it_does_not_come_back(seen: Seen) -> None:
    """A finder that is asked after it was taken off (by a wrapper around it, say) stays off."""
    (finder,) = [finder for finder in sys.meta_path if type(finder).__module__ == "cachy.hooks"]
    hooks.uninstall()
    left = list(sys.meta_path)
    assert finder.find_spec("sample_next") is None
    assert sys.meta_path == left


@pytest.mark.slow
@pytest.mark.parametrize("name", ["httpx", "httpx2"])
@pytest.mark.parametrize("between", ["import colorsys", ""])
def test_pytest_rewrites_the_client_itself(
    child: Child, complete: Path, name: str, between: str, tmp_path: Path
) -> None:
    """`pytest.register_assert_rewrite("httpx")` makes pytest's finder answer for it; it is covered all the same."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    (tmp_path / "conftest.py").write_text(f"import pytest\npytest.register_assert_rewrite({name!r})\n")
    (tmp_path / "test_it.py").write_text(
        f"{COVERED}\n{between}\nimport {name}\nimport this\ndef test_it():\n    assert covered({name})\n"
    )
    path = copy(tmp_path / "pytest", "pytest")
    done = child(complete, "-m", "pytest", "-q", tmp_path / "test_it.py", PYTHONPATH=str(path), CACHY="1")
    assert done.returncode == 0, done.stdout + done.stderr
