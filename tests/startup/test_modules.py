"""What a start of Python loads because of us: next to nothing, whether cachy is to act or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import PYTHONS, Child, Python, folder_around

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("version", PYTHONS)]

INACTIVE = {"cachy", "cachy._bootstrap"}
ACTIVE = INACTIVE | {"cachy.hooks"}
LOADED = "import sys; print(*sys.modules)"


def more(child: Child, python: Path, bare: Path, code: str = "", **around: str | Path) -> set[str]:
    """The modules that are loaded in `python` after `code`, and not in an interpreter without cachy."""
    done = child(python, "-c", f"{code}\n{LOADED}", **around)  # type: ignore[arg-type]
    assert (done.returncode, done.stderr) == (0, "")
    without = child(bare, "-c", LOADED)
    assert (without.returncode, without.stderr) == (0, "")
    # Python 3.13 loads the codec as soon as there is any .pth file; the bare environment may have none.
    return set(done.stdout.split()) - set(without.stdout.split()) - {"encodings.utf_8_sig"}


def test_an_inactive_start_loads_the_door_alone(
    child: Child, bare: Python, equipped: Python, version: str, project: Path
) -> None:
    """Two modules of ours and none of anybody else's: no re, pathlib, json, typing, ... and no client."""
    python = equipped(version)
    assert more(child, python, bare(version)) == INACTIVE
    assert more(child, python, bare(version), cwd=project, CACHY="0") == INACTIVE
    (project / "pyproject.toml").write_text("[project]\n")
    assert more(child, python, bare(version), cwd=project) == INACTIVE


def test_an_active_start_adds_the_finder_alone(
    child: Child, bare: Python, equipped: Python, version: str
) -> None:
    """Until a client is imported, neither settings nor TOML nor any client is loaded, whoever asked for cachy."""
    python = equipped(version)
    assert more(child, python, bare(version), CACHY="1") == ACTIVE
    assert more(child, python, bare(version), cwd=folder_around(python)) == ACTIVE


def test_import_cachy_loads_nothing_more(child: Child, bare: Python, equipped: Python, version: str) -> None:
    """`import cachy`, its version and its list of names are free; a name is loaded when it is used."""
    code = "import cachy; cachy.__version__; dir(cachy)"
    assert more(child, equipped(version), bare(version), code) == INACTIVE
    assert "cachy.api" in more(child, equipped(version), bare(version), "import cachy; cachy.enable")
