"""The names of the package: what there is, and that each is loaded when it is first used."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from pathlib import Path

import pytest

import cachy
from cachy.values import READERS


def test_every_public_name_is_there() -> None:
    """`__all__` is sorted and complete, and `dir` shows it."""
    assert cachy.__all__ == sorted(cachy.__all__)
    assert dir(cachy) == cachy.__all__
    for name in cachy.__all__:
        assert getattr(cachy, name) is not None
    for_ipython = {"load_ipython_extension", "unload_ipython_extension"}  # it asks for them, no program does
    assert set(cachy._HOMES) | {"__version__"} == set(cachy.__all__) | for_ipython


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As of any module; `hasattr` works."""
    with pytest.raises(AttributeError, match="module 'cachy' has no attribute 'recrod'"):
        cachy.recrod  # type: ignore[attr-defined]


def test_the_types_of_every_public_name_are_checked() -> None:
    """`tests/typing_api.py` uses each of them, so mypy sees what a program would see."""
    tree = ast.parse((Path(__file__).parents[1] / "typing_api.py").read_text("utf-8"))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    used |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert set(cachy.__all__) <= used


@pytest.mark.parametrize("takes", [cachy.enable, cachy.using])
def test_each_setting_is_an_argument(takes: Callable[..., object]) -> None:
    """All but `enabled`, which calling it says."""
    names = {name.replace("-", "_") for name in READERS} - {"enabled"}
    assert set(inspect.signature(takes).parameters) == names
