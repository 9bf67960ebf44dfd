"""Where the user's own files lie, with and without platformdirs, with and without a home directory."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from cachy import trust

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the folders of Linux")


@pytest.fixture(params=["with platformdirs", "without"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    if request.param == "without":  # as in an environment of somebody else, reached by cachy-run
        monkeypatch.setitem(sys.modules, "platformdirs", None)


@pytest.mark.usefixtures("_way")
def test_below_the_home_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Both ways lead to the same folders, so parent and children of cachy-run agree."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert trust.user_folder("config") == str(tmp_path / ".config" / "cachy")
    assert trust.user_folder("cache") == str(tmp_path / ".cache" / "cachy")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "x"))
    assert trust.user_folder("config") == str(tmp_path / "x" / "cachy")


@pytest.mark.usefixtures("_way")
def test_without_a_home_directory_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder with the name `~` is ever made in the working directory."""
    import pwd

    def nobody(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert os.path.expanduser("~") == "~"
    assert trust.user_folder("config") is None
    assert trust.user_folder("cache") is None
