"""`cachy init`, `cachy trust`, `cachy config` and the help of `cachy`: what they write, say and return."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cachy import __version__, settings, trust
from cachy.cli import main

Capture = pytest.CaptureFixture[str]
posix = pytest.mark.skipif(os.name == "nt", reason="modes of POSIX")
LINE = b"cachy.jsonl merge=union eol=lf\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, no settings in the environment, and a user's folder of the test's own."""
    for name in list(os.environ):
        if name.startswith("CACHY") or name == "CI":
            monkeypatch.delenv(name)
    monkeypatch.setattr(trust, "user_folder", lambda kind: str(tmp_path / "user" / kind))
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


# init


def test_init_in_an_empty_folder(folder: Path, capsys: Capture) -> None:
    """Two files are written, the project is trusted, and from then on cachy is active there."""
    assert main(["init"]) == 0
    assert sorted(os.listdir(folder)) == [".gitattributes", "pyproject.toml"]
    assert (folder / ".gitattributes").read_bytes() == LINE
    found = settings.load(environ={})
    assert (found.active, found.mode, found.warnings) == (True, "auto", ())
    assert capsys.readouterr().out == ""


def test_after_init_nothing_is_called_in_ci(folder: Path) -> None:
    """What `init` writes is nobody's choice of a mode, so CI still means replay."""
    assert main(["init"]) == 0
    found = settings.load(environ={"CI": "true"})
    assert (found.mode, found.mode_is_from_ci) == ("replay", True)


@pytest.mark.parametrize(
    "old",
    [
        b"",
        b"[project]\nname = 'x'\n",
        b"[project]\r\nname = 'x'\r\n",
        b"[project]\nname = 'x'",
        b"[project]\r\nname = 'caf\xc3\xa9'",
        b"# not yet: [tool.cachy]\n",
        b"[tool]\nother = 1\n",
        b"tool.other = 1\n",
    ],
    ids=["empty", "LF", "CRLF", "no final newline", "CRLF without", "comment", "[tool]", "dotted"],
)
def test_init_adds_at_the_end_and_changes_nothing_else(folder: Path, old: bytes) -> None:
    """Every byte that was there stays, new lines end as the old ones do, and doing it again does nothing."""
    (folder / "pyproject.toml").write_bytes(old)
    (folder / ".gitattributes").write_bytes(old)
    assert main(["init"]) == 0
    table, attributes = [(folder / name).read_bytes() for name in ("pyproject.toml", ".gitattributes")]
    newline = b"\r\n" if b"\r\n" in old else b"\n"
    gap = b"" if not old or old.endswith(b"\n") else newline
    assert table.startswith(old + gap + newline + b"[tool.cachy]" + newline)
    assert table.count(b"\n") == table.count(newline)
    assert attributes == old + gap + LINE.replace(b"\n", newline)
    assert settings.load(environ={}).active
    assert main(["init"]) == 0
    assert (folder / "pyproject.toml").read_bytes() == table
    assert (folder / ".gitattributes").read_bytes() == attributes


@pytest.mark.parametrize(
    ("store", "said"),
    [
        ("calls/", "calls/: two branches that record merge as they are"),
        ("c.db", "c.db is a database, which git cannot merge"),
    ],
)
def test_init_with_a_store_that_is_no_file_of_lines(
    folder: Path, store: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`merge=union` would mix the bodies of a folder store, and can do nothing for a database."""
    (folder / "pyproject.toml").write_text(f"[tool.cachy]\nstore = '{store}'\n")
    assert main(["init"]) == 0
    assert said in capsys.readouterr().err
    assert not (folder / ".gitattributes").exists()


def test_init_below_a_project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The project of the folder is set up, not the folder; a repository without pyproject.toml is one."""
    (folder / ".git").mkdir()
    below = folder / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert main(["init"]) == 0
    assert os.listdir(below) == []
    assert (folder / "pyproject.toml").exists()


@pytest.mark.parametrize(
    ("store", "line"),
    [("tests/calls.jsonl", b"tests/calls.jsonl "), ("my calls.jsonl", b'"my calls.jsonl" ')],
)
def test_init_lets_git_merge_the_store_that_is_set(folder: Path, store: str, line: bytes) -> None:
    """A project that has named its store gets the line for that one."""
    (folder / "pyproject.toml").write_text(f"[tool.cachy]\nstore = '{store}'\n", "utf-8")
    assert main(["init"]) == 0
    assert (folder / ".gitattributes").read_bytes() == line + b"merge=union eol=lf\n"


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
@pytest.mark.parametrize("store", ["cachy.jsonl", "my calls.jsonl", "calls/"])
def test_init_says_that_git_ignores_the_store(folder: Path, capsys: Capture, store: str) -> None:
    """Else people find out in CI: nothing of what they recorded was committed."""
    subprocess.run(["git", "init", "-q"], check=True)
    (folder / "pyproject.toml").write_text(f"[tool.cachy]\nstore = '{store}'\n", "utf-8")
    assert main(["init"]) == 0
    assert "ignores" not in capsys.readouterr().err
    (folder / ".gitignore").write_text("# data\n*.jsonl\ncalls/\n", "utf-8")
    assert main(["init"]) == 0
    rule = "calls/ (.gitignore:3)" if store == "calls/" else "*.jsonl (.gitignore:2)"
    told = f"{store}: git ignores it, so CI and others cannot replay what you record; take {rule} away"
    assert told in capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("old", "told"),
    [
        (b"[project\n", "it is not valid TOML"),
        (b"[project]\nname = '\xff'\n", "it is not valid TOML"),
        (b"\xef\xbb\xbf[project]\n", "it is not valid TOML"),  # nor for any tool that reads it with tomllib
        (b"tool = {other = 1}\n", "would not be valid TOML"),
        (b"[tool]\ncachy = {mode = 'auto'}\n", "without a line [tool.cachy]"),
        (b"tool.cachy.mode = 'auto'\n", "without a line [tool.cachy]"),
    ],
)
def test_init_never_breaks_the_file_of_all_other_tools(
    folder: Path, capsys: Capture, old: bytes, told: str
) -> None:
    """Where the table cannot be added the file is left as it is, and one line says what is wrong with it."""
    (folder / "pyproject.toml").write_bytes(old)
    assert main(["init"]) == 2
    assert (folder / "pyproject.toml").read_bytes() == old
    assert os.listdir(folder) == ["pyproject.toml"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"cachy: {folder / 'pyproject.toml'}")
    assert told in line
    assert not trust.is_trusted(str(folder))


@posix
def test_init_says_when_the_file_would_not_be_obeyed(folder: Path, capsys: Capture) -> None:
    """A file that start-up ignores is not written to either."""
    (folder / "real.toml").touch()
    (folder / "pyproject.toml").symlink_to("real.toml")
    assert main(["init"]) == 2
    assert "is a symbolic link; cachy reads no such file" in capsys.readouterr().err
    assert (folder / "real.toml").read_bytes() == b""


@posix
def test_init_where_nothing_may_be_written(folder: Path, capsys: Capture) -> None:
    """One line says which file and why."""
    (folder / ".gitattributes").mkdir()
    assert main(["init"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"cachy: {folder / '.gitattributes'}: Is a directory"


def test_in_a_folder_that_is_gone(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """No traceback, whichever verb it is."""

    def gone() -> str:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "getcwd", gone)
    assert main(["init"]) == 2
    assert main(["trust"]) == 2
    assert main(["config"]) == 0
    assert "Traceback" not in capsys.readouterr().err


# trust


def test_trust_and_remove(folder: Path, capsys: Capture) -> None:
    """Trusting says where it is kept; removing what is not there is status 1."""
    (folder / "pyproject.toml").write_text("[tool.cachy]\n", "utf-8")
    (folder / "below").mkdir()
    assert not settings.load(environ={}).active
    assert main(["trust", "below"]) == 0
    assert f"{folder} is trusted (kept in " in capsys.readouterr().err
    assert settings.load(environ={}).active
    assert main(["trust", "--remove"]) == 0
    assert not settings.load(environ={}).active
    assert main(["trust", "--remove"]) == 1
    assert capsys.readouterr().out == ""


def test_trust_of_no_folder(folder: Path, capsys: Capture) -> None:
    """A slip in the path is told, not remembered."""
    assert main(["trust", "nowhere"]) == 2
    assert capsys.readouterr().err == "cachy: nowhere is not a folder\n"


def test_trust_with_a_list_that_cannot_be_read(tmp_path: Path, capsys: Capture) -> None:
    """One line names the list, and it is left alone."""
    (tmp_path / "user" / "config" / "trusted").mkdir(parents=True)
    assert main(["trust"]) == 2
    assert main(["trust", "--remove"]) == 2
    for line in capsys.readouterr().err.splitlines():
        assert line.startswith(f"cachy: {tmp_path / 'user' / 'config' / 'trusted'}: ")


# config


def test_config_shows_every_setting_with_its_origin(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a table for people, and as JSON for programs."""
    (folder / "pyproject.toml").write_text(
        "[tool.cachy]\npace = 2\n[tool.cachy.hosts]\n'localhost:*' = 'openai'\n", "utf-8"
    )
    monkeypatch.setenv("CACHY", "replay")
    monkeypatch.setenv("CACHY_MAX_AGE", "90d")
    monkeypatch.setenv("CACHY_MAX_SIZE", "2 GB")
    monkeypatch.setenv("CACHY_TTL", "*=36h,/v1/models=1d")
    assert main(["config"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    rows = [line.split() for line in shown.out.splitlines()]
    assert rows[0] == ["cachy", "is", "active", "here"]
    assert ["mode", "replay", "environment", "CACHY"] in rows
    assert ["pace", "2.0", str(folder / "pyproject.toml")] in rows
    assert ["summary", "true", "default"] in rows
    assert ["max-count", "none", "default"] in rows
    assert ["max-age", "90d", "environment", "CACHY_MAX_AGE"] in rows
    assert ["max-size", "2.0", "GB", "environment", "CACHY_MAX_SIZE"] in rows
    assert ["remote-timeout", "2s", "default"] in rows
    assert ["ttl", '["*=36h",', '"/v1/models=1d"]', "environment", "CACHY_TTL"] in rows
    assert ["ignore", "none", "default"] in rows
    assert main(["config", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["version"], report["active"], report["warnings"]) == (1, True, [])
    assert report["settings"]["hosts"] == {
        "value": ["localhost:*=openai"],
        "origin": str(folder / "pyproject.toml"),
    }
    assert report["settings"]["record-status"]["value"] == []
    assert [row[0] for row in rows[1:]] == list(report["settings"])


def test_config_reports_wrong_settings(folder: Path, capsys: Capture) -> None:
    """Status 1, one line for each on stderr, and the list of them in the JSON."""
    (folder / "pyproject.toml").write_text("[tool.cachy]\nmoode = 'auto'\npace = 'x'\n", "utf-8")
    trust.trust(str(folder))
    assert main(["config", "--json"]) == 1
    shown = capsys.readouterr()
    assert [f"cachy: {line}" for line in json.loads(shown.out)["warnings"]] == shown.err.splitlines()
    assert len(shown.err.splitlines()) == 2


@pytest.mark.parametrize(
    ("environ", "state"),
    [
        ({}, "not active here (CACHY=1, cachy-run or cachy init switch it on)"),
        ({"CACHY": "off"}, "switched off by CACHY in the environment, whatever else is set"),
        ({"CACHY": "1", "CACHY_MODE": "off"}, "switched off (mode from environment CACHY_MODE)"),
        ({"CACHY": "1"}, "active here"),
    ],
)
def test_config_says_whether_cachy_is_active_and_why_not(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], state: str
) -> None:
    """The first line answers the question people come with."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main(["config"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"cachy is {state}"


def test_config_says_that_cachy_is_misspelt(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Start-up does nothing then, not even what the project asks for; so nobody may say that it is active."""
    assert main(["init"]) == 0
    monkeypatch.setenv("CACHY", "banana")
    capsys.readouterr()
    assert main(["config"]) == 1
    assert (
        capsys.readouterr().out.splitlines()[0]
        == "cachy is not active here, as CACHY=banana is not understood"
    )


def test_config_shows_no_password(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """What people paste into a bug report holds no secret of a URL."""
    monkeypatch.setenv("CACHY", "1")
    monkeypatch.setenv("CACHY_STORE", "redis://me:hunter2@cache.corp/0?token=hunter2")
    monkeypatch.setenv("CACHY_HOSTS", "https://me:hunter2@gw.corp/v1,localhost:*=openai")
    assert main(["config"]) == 0
    assert main(["config", "--json"]) == 0
    shown = capsys.readouterr()
    assert "redis://cache.corp/0" in shown.out
    assert "hunter2" not in shown.out + shown.err


@posix
@pytest.mark.parametrize("name", ["caf\udce9", "\x1b[31mred", "two\nlines"])
def test_config_in_a_folder_of_any_name(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A name that is not UTF-8 does not stop it, and none steers the terminal."""
    folder = tmp_path / name
    folder.mkdir()
    (folder / "pyproject.toml").write_text("[tool.cachy]\n'\\u001b[2J' = 1\n", "utf-8")
    monkeypatch.chdir(folder)
    assert main(["config"]) == 1
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out + shown.err
    assert len(shown.err.splitlines()) == 2
    assert main(["config", "--json"]) == 1
    assert name in json.loads(capsys.readouterr().out)["settings"]["store"]["value"]


# cachy


@pytest.mark.parametrize("argv", [[], ["help"], ["-h"], ["--help"]])
def test_help_names_every_verb(capsys: Capture, argv: list[str]) -> None:
    """On stdout, with status 0."""
    assert main(argv) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    for verb in ("run", "demo", "init", "trust", "config"):
        assert f"\n  {verb} " in shown.out


@pytest.mark.parametrize("argv", [["-V"], ["--version"]])
def test_version(capsys: Capture, argv: list[str]) -> None:
    """One line: the name and the version."""
    assert main(argv) == 0
    assert capsys.readouterr().out == f"cachy {__version__}\n"


@pytest.mark.parametrize(
    ("verb", "hint"), [("inti", "; did you mean `cachy init`?"), ("frobnicate", ""), ("--colour", "")]
)
def test_an_unknown_verb(capsys: Capture, verb: str, hint: str) -> None:
    """Status 2, a suggestion where one is near, and where to read more."""
    assert main([verb]) == 2
    assert capsys.readouterr().err == f"cachy: there is no verb {verb!r}{hint}\nSee `cachy --help`.\n"


@pytest.mark.parametrize("verb", ["init", "trust", "config", "run", "demo"])
def test_every_verb_explains_itself(capsys: Capture, verb: str) -> None:
    """`--help` is status 0 and speaks on stdout; an unknown option is status 2."""
    with pytest.raises(SystemExit) as left:
        main([verb, "--help"])
    assert left.value.code == 0
    assert "usage: cachy" in capsys.readouterr().out
    with pytest.raises(SystemExit) as left:
        main([verb, "--no-such-option"])
    assert left.value.code == 2


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    """`cachy config | head -1` ends quietly, as other commands do."""
    read, write = os.pipe()
    os.close(read)  # whoever was to read is gone before the first line
    try:
        words = [sys.executable, "-m", "cachy", "config"]
        done = subprocess.run(words, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
