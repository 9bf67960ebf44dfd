"""Whether a start of Python switches cachy on: the environment, then the nearest project's file."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from cachy import _bootstrap, hooks

from .conftest import PARENT, Child

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX only")
root = hasattr(os, "getuid") and os.getuid() == 0


class Decision(NamedTuple):
    door: str | None
    pyproject: str | None
    hooked: bool


Start = Callable[..., Decision]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Start:
    """`start(folder, "auto")` makes the decision of a process that starts there with that CACHY."""
    installed: list[None] = []
    monkeypatch.setattr(hooks, "install", lambda: installed.append(None))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))

    def run(folder: Path, cachy: str | None = None) -> Decision:
        for name in ("door", "cwd", "pyproject"):
            monkeypatch.setattr(_bootstrap, name, None)
        monkeypatch.setattr(_bootstrap, "_started", False)
        monkeypatch.delenv("CACHY", raising=False)
        if cachy is not None:
            monkeypatch.setenv("CACHY", cachy)
        monkeypatch.chdir(folder)
        installed.clear()
        _bootstrap.start()
        return Decision(_bootstrap.door, _bootstrap.pyproject, bool(installed))

    return run


NOTHING = Decision(None, None, False)
ENVIRONMENT = Decision("environment", None, True)


def opened(folder: Path) -> Decision:
    return Decision("project", os.path.join(os.path.realpath(folder), "pyproject.toml"), True)


# CACHY


@pytest.mark.parametrize(
    "value", ["1", "on", "true", "yes", "auto", "replay", "record", "verify", "ON", "Replay", " 1 "]
)
def test_cachy_switches_on(start: Start, tmp_path: Path, value: str) -> None:
    """Yes in any spelling, or the name of a mode, activates without any project, and no file is looked for."""
    assert start(tmp_path, value) == ENVIRONMENT


def test_cachy_set_wins_over_the_project(start: Start, project: Path) -> None:
    """With CACHY=1 the user's word counts, not the file's: it needs no trust."""
    assert start(project, "1") == ENVIRONMENT


@pytest.mark.parametrize("value", ["0", "off", "false", "no", "OFF", "False", " 0 "])
def test_cachy_switches_off(
    start: Start, project: Path, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    """No in any spelling means nothing at all, also in a project that asks for cachy."""
    assert start(project, value) == NOTHING
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("value", [None, "", "  "])
def test_an_empty_value_counts_as_not_set(start: Start, project: Path, value: str | None) -> None:
    """Shells and CI files set variables to nothing; the project decides then."""
    assert start(project, value) == opened(project)


def test_a_value_that_means_nothing_is_told(
    start: Start, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A slip of the pen leaves cachy off, the project's file included, and one line says what can be said."""
    assert start(project, "Recrod") == NOTHING
    assert capsys.readouterr() == (
        "",
        "cachy: CACHY=Recrod is not understood; use 1, 0, auto, replay, record, verify\n",
    )


def test_a_strange_value_is_told_in_one_short_line(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither line ends nor escape sequences nor a novel in CACHY reach the terminal."""
    start(tmp_path, "x\n\x1b[31m" + "y" * 10_000)
    told = capsys.readouterr().err
    assert told.isascii()
    assert told.count("\n") == 1
    assert "\x1b" not in told
    assert len(told) < 200


# The walk


def test_a_project_opens_the_door_for_the_folders_below(start: Start, project: Path) -> None:
    """The nearest pyproject.toml upward counts."""
    below = project / "a" / "b"
    below.mkdir(parents=True)
    assert start(below) == opened(project)


@pytest.mark.parametrize(
    ("text", "armed"),
    [
        ("[tool.cachy]", True),
        ('x = 1\n[tool.cachy.hosts]\n"a" = "b"\n', True),
        ("[project]\nname = 'cachy'\n", False),
        ("", False),
    ],
)
def test_only_a_table_of_ours_opens_it(start: Start, tmp_path: Path, text: str, armed: bool) -> None:
    """A pyproject.toml without `[tool.cachy` changes nothing."""
    (tmp_path / "pyproject.toml").write_text(text)
    assert start(tmp_path) == (opened(tmp_path) if armed else NOTHING)


def test_a_nearer_file_without_a_table_ends_the_walk(start: Start, project: Path) -> None:
    """A project inside another one is a project of its own."""
    inner = project / "inner"
    inner.mkdir()
    (inner / "pyproject.toml").write_text("[project]\n")
    assert start(inner) == NOTHING


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_the_walk_ends_at_a_repository(start: Start, project: Path, kind: str) -> None:
    """A repository's root is the last folder looked at, a worktree's or a submodule's too (`.git` is a file)."""
    inner = project / "inner"
    (inner / "src").mkdir(parents=True)
    if kind == "folder":
        (inner / ".git").mkdir()
    else:
        (inner / ".git").write_text("gitdir: elsewhere\n")
    assert start(inner / "src") == NOTHING
    (inner / "pyproject.toml").write_text("[tool.cachy]\n")
    assert start(inner / "src") == opened(inner)


def test_the_home_directory_is_no_project_of_the_folders_below(start: Start, tmp_path: Path) -> None:
    """A pyproject.toml at home counts for who works there, not for everything below."""
    (tmp_path / "pyproject.toml").write_text("[tool.cachy]\n")
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert start(tmp_path / "a" / "b") == NOTHING
    assert start(tmp_path) == opened(tmp_path)


def test_nothing_above_the_home_directory_is_looked_at(
    start: Start, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even from the home directory itself."""
    home = project / "home"
    (home / "a").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    assert start(home) == NOTHING
    assert start(home / "a") == NOTHING


def test_a_home_behind_a_link_is_known(start: Start, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory is a real path, HOME need not be one."""
    home = project / "home"
    (home / "a").mkdir(parents=True)
    try:
        (project / "link").symlink_to(home, target_is_directory=True)
    except OSError:
        pytest.skip("no links here")
    monkeypatch.setenv("HOME", f"{project / 'link'}{os.sep}")
    monkeypatch.setenv("USERPROFILE", str(project / "link"))
    assert start(home / "a") == NOTHING


def test_start_decides_once(start: Start, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a virtual environment the line of the .pth runs twice."""
    assert start(project) == opened(project)
    monkeypatch.setenv("CACHY", "nonsense")
    _bootstrap.start()
    assert _bootstrap.door == "project"


def test_a_failure_of_ours_is_one_line(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever breaks at start-up, the program starts."""

    def broken() -> None:
        raise RuntimeError("no finder today")

    monkeypatch.setattr(hooks, "install", broken)
    start(tmp_path, "1")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "cachy: not active, its start-up failed (RuntimeError: no finder today)\n"


@pytest.mark.parametrize("stderr", [None, "closed"])
def test_a_lost_stderr_is_no_failure(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stderr: str | None
) -> None:
    """A daemon may have no stderr at all; the line is lost then and nothing else."""
    if stderr is not None:
        with open(os.devnull, "w") as stream:
            monkeypatch.setattr(sys, "stderr", stream)
    else:
        monkeypatch.setattr(sys, "stderr", None)
    assert start(tmp_path, "nonsense") == NOTHING


# Files that are not what they seem


def test_a_huge_file_is_not_read(start: Start, tmp_path: Path) -> None:
    """More than a mebibyte is nobody's configuration."""
    file = tmp_path / "pyproject.toml"
    table = b"[tool.cachy]\n#"
    file.write_bytes(table.ljust(1024 * 1024, b"x"))
    assert start(tmp_path) == opened(tmp_path)
    file.write_bytes(table.ljust(1024 * 1024 + 1, b"x"))
    assert start(tmp_path) == NOTHING


@posix
def test_a_link_is_not_followed(start: Start, tmp_path: Path, project: Path) -> None:
    """A link could lead to a file that somebody else controls."""
    (tmp_path / "pyproject.toml").symlink_to(project / "pyproject.toml")
    assert start(tmp_path) == NOTHING


@posix
def test_a_fifo_does_not_block_the_start(start: Start, tmp_path: Path) -> None:
    """A FIFO without a writer would hold whoever opens it."""
    os.mkfifo(tmp_path / "pyproject.toml")
    assert start(tmp_path) == NOTHING


def test_a_folder_of_that_name_is_not_read(start: Start, tmp_path: Path) -> None:
    """It is not a file, and it ends the walk as a file would."""
    (tmp_path / "pyproject.toml").mkdir()
    assert start(tmp_path) == NOTHING


@pytest.mark.skipif(root or os.name == "nt", reason="root may read every file")
def test_an_unreadable_file_is_left_alone(
    start: Start, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the user may not read cannot ask for anything."""
    (project / "pyproject.toml").chmod(0)
    assert start(project) == NOTHING
    assert capsys.readouterr().err == ""


# Real processes

SAY = (
    f"import sys; sys.path.insert(0, {PARENT!r}); from cachy import _bootstrap;"
    " print(_bootstrap.door, _bootstrap.cwd is not None)"
)


@pytest.mark.parametrize("flag", ["-I", "-E"])
def test_no_project_file_is_read_under(child: Child, project: Path, flag: str) -> None:
    """Those flags ask for no configuration from around the program; CACHY in the environment is still a word."""
    assert child(sys.executable, flag, "-c", SAY, cwd=project).stdout == "None True\n"
    assert child(sys.executable, flag, "-c", SAY, cwd=project, CACHY="1").stdout == "environment True\n"


def test_without_a_home_directory_the_project_is_found(child: Child, project: Path) -> None:
    """No HOME in the environment, as under cron or systemd, changes nothing."""
    (project / ".git").mkdir()
    done = child(sys.executable, "-c", SAY, cwd=project, without=("HOME", "USERPROFILE"))
    assert (done.stdout, done.stderr) == ("project True\n", "")


@posix
@pytest.mark.parametrize(("cachy", "door"), [("", None), ("1", "environment")])
def test_a_deleted_working_directory_is_no_failure(
    child: Child, tmp_path: Path, cachy: str, door: str | None
) -> None:
    """A program may start in a folder that is gone."""
    gone = tmp_path / "gone"
    gone.mkdir()
    leave = (
        "import os, sys; os.rmdir(os.getcwd()); os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])"
    )
    done = child(sys.executable, "-c", leave, SAY, cwd=gone, CACHY=cachy)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{door} False\n", "")


USE = (
    f"import sys; sys.path.insert(0, {PARENT!r}); import cachy._bootstrap; import httpx;"
    " httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200))).get('http://x/');"
    " print('ran')"
)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"[tool.cachy\n", "is not valid TOML"),
        (b"[tool.cachy]\nmode = 'caf\xe9'\n", "is not valid TOML"),
        (b"[tool]\ncachy = 3 # [tool.cachy]\n", "tool.cachy must be a table"),
        (b"tool = 3 # [tool.cachy]\n", None),
        (b"[tool.cachy]\nmode = 3\n", "mode must be"),
        (b"[tool.cachy]\nmoode = 'auto'\n", "did you mean mode?"),
        (b"[tool.cachy]\nenabled = false\n", None),
    ],
)
def test_a_bad_file_never_stops_the_program(
    child: Child, project: Path, text: bytes, complaint: str | None
) -> None:
    """Whatever stands in a file that asks for cachy, the program runs, and what is wrong is said in a line each."""
    (project / "pyproject.toml").write_bytes(text)
    done = child(sys.executable, "-c", USE, cwd=project)
    assert (done.returncode, done.stdout) == (0, "ran\n")
    lines = done.stderr.splitlines()
    assert all(line.startswith("cachy: ") for line in lines)
    assert len(lines) <= 2  # what is wrong, and how to trust the project
    assert bool(lines) == bool(complaint)
    assert (complaint or "") in done.stderr


@posix
@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda file: file.chmod(0o666), "can be written by everybody"),
        pytest.param(
            lambda file: os.chown(file, 54321, 54321),
            "belongs to another user",
            marks=pytest.mark.skipif(not root, reason="only root can give files away"),
        ),
    ],
)
def test_a_file_that_others_control_asks_for_nothing(
    child: Child, project: Path, spoil: Callable[[Path], None], complaint: str
) -> None:
    """A file that somebody else may have written is ignored, and the user is told once a client is imported."""
    spoil(project / "pyproject.toml")
    done = child(sys.executable, "-c", USE, cwd=project)
    assert (done.returncode, done.stdout) == (0, "ran\n")
    (line,) = done.stderr.splitlines()
    assert complaint in line
    assert line.endswith("its settings are ignored")
