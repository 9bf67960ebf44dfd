"""Whose files are obeyed, which projects may switch cachy on, and the list that remembers them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from cachy import trust

posix = pytest.mark.skipif(os.name == "nt", reason="owners and modes of POSIX")
root = hasattr(os, "getuid") and os.getuid() == 0


@pytest.fixture(autouse=True)
def remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The list of trusted projects, in a user's folder of the test's own."""
    monkeypatch.setattr(trust, "user_folder", lambda kind: str(tmp_path / "user" / kind))
    return tmp_path / "user" / "config" / "trusted"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").touch()
    return folder


# Whose files are obeyed


def test_an_ordinary_file_is_obeyed(project: Path) -> None:
    """A file of the user's own that only he or his group may write."""
    assert trust.suspicion(str(project / "pyproject.toml")) is None


@posix
def test_a_link_a_pipe_and_a_folder_are_no_files(project: Path, tmp_path: Path) -> None:
    """None of them is opened, so a pipe cannot block and a link leads nowhere."""
    (tmp_path / "link").symlink_to(project / "pyproject.toml")
    os.mkfifo(tmp_path / "pipe")
    assert trust.suspicion(str(tmp_path / "link")) == "is a symbolic link"
    assert trust.suspicion(str(tmp_path / "pipe")) == "is not a regular file"
    assert trust.suspicion(str(project)) == "is not a regular file"
    assert trust.suspicion(str(tmp_path / "none")) == "cannot be read (No such file or directory)"


def test_a_file_of_one_mebibyte_is_the_largest(project: Path) -> None:
    """No person writes a larger one."""
    path = project / "pyproject.toml"
    path.write_bytes(b"#" * trust.LARGEST)
    assert trust.suspicion(str(path)) is None
    path.write_bytes(b"#" * (trust.LARGEST + 1))
    assert trust.suspicion(str(path)) == "is larger than 1 MiB"


@posix
def test_a_file_that_everybody_can_write(project: Path) -> None:
    """Group-writable is how shared checkouts are; world-writable is nobody's own."""
    path = project / "pyproject.toml"
    path.chmod(0o664)
    assert trust.suspicion(str(path)) is None
    path.chmod(0o646)
    assert trust.suspicion(str(path)) == "can be written by everybody"


@posix
@pytest.mark.skipif(not root, reason="only root can give files away")
def test_the_owner_is_the_user_or_root_or_the_environments(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A service that runs as one user in an environment of another reads the files of both."""
    path = project / "pyproject.toml"
    os.chown(path, 54321, -1)
    assert trust.suspicion(str(path)) == "belongs to another user"
    with monkeypatch.context() as patched:
        patched.setattr(os, "getuid", lambda: 54321)
        assert trust.suspicion(str(path)) is None
        os.chown(path, 0, -1)
        assert trust.suspicion(str(path)) is None
    os.chown(path, 54321, -1)
    environment = tmp_path / "environment"
    environment.mkdir()
    os.chown(environment, 54321, -1)
    monkeypatch.setattr(sys, "prefix", str(environment))
    assert trust.suspicion(str(path)) is None
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "none"))
    assert trust.suspicion(str(path)) == "belongs to another user"


# Which projects may switch cachy on


def test_an_environment_inside_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who made the environment there has shown that the project is his; a neighbour's does not count."""
    for inside, trusted in ((project / ".venv", True), (project, True), (Path(f"{project}2"), False)):
        inside.mkdir(exist_ok=True)
        monkeypatch.setattr(sys, "prefix", str(inside))
        assert trust.is_trusted(str(project)) is trusted


@posix
def test_links_are_followed_before_they_are_compared(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment that only a link places inside the project lies outside; the project's own alias is itself."""
    (tmp_path / "elsewhere").mkdir()
    (project / ".venv").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "alias").symlink_to(project)
    monkeypatch.setattr(sys, "prefix", str(project / ".venv"))
    assert not trust.is_trusted(str(project))
    trust.trust(str(tmp_path / "alias"))
    assert trust.is_trusted(str(project))


def test_trusting_and_no_longer(project: Path, tmp_path: Path, remembered: Path) -> None:
    """`trust` adds one project, `distrust` takes one away and says whether it was there."""
    other = str(tmp_path)
    assert trust.distrust(str(project)) is False
    assert not remembered.exists()
    trust.trust(other)
    assert trust.trust(str(project)) == str(remembered)
    trust.trust(str(project))
    assert len(remembered.read_text("utf-8").splitlines()) == 2
    assert trust.is_trusted(str(project))
    assert trust.distrust(str(project)) is True
    assert not trust.is_trusted(str(project))
    assert trust.is_trusted(other)


# The list


@posix
@pytest.mark.parametrize("name", ["caf\udce9", " lead ing ", "a\rb", "{}"])
def test_projects_of_any_name(tmp_path: Path, name: str) -> None:
    """A name that is not UTF-8, or odd in another way, is remembered as it is."""
    project = tmp_path / name
    project.mkdir()
    trust.trust(str(project))
    assert trust.is_trusted(str(project))
    assert trust.distrust(str(project))


@posix
def test_a_line_break_in_a_name_does_not_trust_another_project(tmp_path: Path, project: Path) -> None:
    """A folder that is called like a line and another path is refused."""
    with pytest.raises(OSError, match="line break"):
        trust.trust(f"{tmp_path}/a\n{project}")
    assert not trust.is_trusted(str(project))


@posix
def test_a_list_that_cannot_be_read_trusts_nobody_and_is_not_lost(project: Path, remembered: Path) -> None:
    """Trusting one more project never forgets the others: what cannot be read is not written anew."""
    remembered.mkdir(parents=True)
    assert not trust.is_trusted(str(project))
    with pytest.raises(OSError):
        trust.trust(str(project))
    with pytest.raises(OSError):
        trust.distrust(str(project))
    assert remembered.is_dir()
    assert os.listdir(remembered.parent) == ["trusted"]


def test_a_write_that_fails_leaves_the_list_as_it_was(
    project: Path, remembered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new list is written aside and takes the old one's place in one step; nothing is left lying around."""
    trust.trust(str(project))
    before = remembered.read_bytes()

    def full(source: str, target: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError):
        trust.trust(str(project.parent))
    assert remembered.read_bytes() == before
    assert os.listdir(remembered.parent) == ["trusted"]


@posix
def test_a_list_behind_a_link_stays_behind_it(project: Path, remembered: Path, tmp_path: Path) -> None:
    """People keep their settings in a repository and link them."""
    (tmp_path / "dotfiles").write_text("/somewhere\n", "utf-8")
    remembered.parent.mkdir(parents=True)
    remembered.symlink_to(tmp_path / "dotfiles")
    trust.trust(str(project))
    assert remembered.is_symlink()
    assert (tmp_path / "dotfiles").read_text("utf-8").splitlines() == sorted(
        ["/somewhere", os.path.realpath(project)]
    )


def test_without_a_home_nothing_is_remembered(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is trusted, and trying to says why."""
    monkeypatch.setattr(trust, "user_folder", lambda kind: None)
    assert not trust.is_trusted(str(project))
    with pytest.raises(OSError, match="no home directory"):
        trust.trust(str(project))
