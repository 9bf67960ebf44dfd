"""Settings: which source wins, where values came from, what a project's file may not do, and bad values."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cachy import settings, trust
from cachy.values import Limits

DEFAULTS = {
    "mode": "auto",
    "hosts": (),
    "ignore": (),
    "redact": (),
    "keep_headers": (),
    "record_status": frozenset(),
    "on_miss": "raise",
    "pace": 0.0,
    "summary": True,
    "max_size": None,
    "max_count": None,
    "max_age": None,
    "remote_read_only": False,
    "remote_timeout": 2.0,
}

links = pytest.mark.skipif(os.name == "nt", reason="on Windows not everybody may make links")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own folder; nothing of the real one is read."""
    folder = tmp_path / "user"
    folder.mkdir()
    monkeypatch.setattr(trust, "user_folder", lambda kind: str(folder / kind))
    return folder


@pytest.fixture
def load(project: Path, user: Path) -> Any:
    """`load(arguments, toml=..., config=..., CACHY="1")` in a project of its own."""

    def read(
        arguments: dict[str, Any] | None = None,
        *,
        toml: str | None = None,
        config: str | None = None,
        scoped: bool = False,
        consent: bool = True,
        cwd: Path | None = None,
        **environ: str,
    ) -> settings.Settings:
        if toml is not None:
            (project / "pyproject.toml").write_text(toml, "utf-8")
        if config is not None:
            (user / "config").mkdir(exist_ok=True)
            (user / "config" / "config.toml").write_text(config, "utf-8")
        where = str(cwd or project)
        return settings.load(arguments, cwd=where, environ=environ, consent=consent, scoped=scoped)

    return read


# Which source wins

PARENT = json.dumps({"mode": "replay", "pace": "4.0"})


@pytest.mark.parametrize(
    ("sources", "mode", "origin"),
    [
        ({}, "auto", "default"),
        ({"config": "mode = 'record'"}, "record", "config.toml"),
        ({"config": "mode = 'record'", "toml": "[tool.cachy]\nmode = 'replay'"}, "replay", "pyproject.toml"),
        (
            {"toml": "[tool.cachy]\nmode = 'replay'", "arguments": {"mode": "record"}},
            "record",
            "argument mode",
        ),
        (
            {"arguments": {"mode": "record"}, "CACHY_MODE": "replay"},
            "replay",
            "environment CACHY_MODE",
        ),
        ({"CACHY_MODE": "record", "CACHY": "replay"}, "replay", "environment CACHY"),
        ({"CACHY": "1", "CACHY_MODE": "record"}, "record", "environment CACHY_MODE"),
        (
            {"arguments": {"mode": "record"}, "CACHY": "replay", "scoped": True},
            "record",
            "block mode",
        ),
        ({"CI": "true"}, "replay", "CI"),
        ({"CI": "0"}, "auto", "default"),
        ({"CI": "false"}, "auto", "default"),
        ({"CI": "1", "CACHY": "1"}, "replay", "CI"),
        ({"CI": "1", "CACHY": "auto"}, "auto", "environment CACHY"),
        ({"CI": "1", "CACHY_MODE": "auto"}, "auto", "environment CACHY_MODE"),
        ({"CI": "1", "arguments": {"mode": "auto"}}, "auto", "argument mode"),
        ({"CI": "1", "toml": "[tool.cachy]\nmode = 'auto'"}, "auto", "pyproject.toml"),
        ({"CI": "1", "config": "mode = 'auto'"}, "auto", "config.toml"),
        ({"CACHY_SETTLED": PARENT}, "replay", "cachy-run"),
        ({"CACHY_SETTLED": PARENT, "arguments": {"mode": "record"}}, "record", "argument mode"),
        ({"CACHY_SETTLED": PARENT, "CACHY_MODE": "record"}, "record", "environment CACHY_MODE"),
        ({"CACHY_SETTLED": "{}", "toml": "[tool.cachy]\nmode = 'replay'"}, "auto", "default"),
        ({"CACHY_SETTLED": "{}", "config": "mode = 'replay'", "CI": "1"}, "replay", "CI"),
    ],
)
def test_the_strongest_source_wins(load: Any, sources: dict[str, Any], mode: str, origin: str) -> None:
    """Block > environment > argument > project > user's file > default, and CI only where nobody chose."""
    found = load(**sources)
    assert found.mode == mode
    assert found.origins["mode"].endswith(origin)
    assert found.mode_is_from_ci is (origin == "CI")
    assert found.warnings == ()


@pytest.mark.parametrize("off", ["0", "off", "FALSE", " no "])
def test_the_kill_switch_beats_everything(load: Any, off: str) -> None:
    """`CACHY=0` is off, whatever else asks for cachy, and no file is even read."""
    found = load(
        {"mode": "record"}, toml="[tool.cachy\n", CACHY=off, CACHY_MODE="record", scoped=True, consent=True
    )
    assert (found.active, found.warnings) == (False, ())


@pytest.mark.parametrize(
    ("sources", "active"),
    [
        ({"consent": False}, False),
        ({"consent": True}, True),
        ({"consent": False, "CACHY": "1"}, True),
        ({"consent": False, "CACHY": "Replay"}, True),
        ({"consent": False, "CACHY": "nonsense"}, False),
        ({"consent": True, "CACHY_MODE": "off"}, False),
        ({"consent": True, "arguments": {"mode": "off"}}, False),
        ({"consent": True, "toml": "[tool.cachy]\nmode = 'off'"}, False),
        ({"consent": True, "toml": "[tool.cachy]\nenabled = false"}, True),
        ({"consent": False, "CACHY": "1", "toml": "[tool.cachy]\nenabled = false"}, True),
    ],
)
def test_what_switches_on(load: Any, sources: dict[str, Any], active: bool) -> None:
    """Consent or `CACHY` does, mode `off` never; `enabled = false` only says that the file itself does not."""
    assert load(**sources).active is active


@pytest.mark.parametrize(
    ("table", "trusted", "active", "told"),
    [
        ("[tool.cachy]", True, True, False),
        ("[tool.cachy]", False, False, True),
        ("[tool.cachy]\nenabled = false", True, False, False),
        ("[tool.cachy]\nenabled = false", False, False, False),
        ("[tool.cachy]\nmode = 'off'", False, False, False),
        ("[tool.other]", True, False, False),
    ],
)
def test_a_project_switches_on_only_when_trusted(
    load: Any, monkeypatch: pytest.MonkeyPatch, table: str, trusted: bool, active: bool, told: bool
) -> None:
    """The file alone is enough where the project is trusted; elsewhere one line says how to trust it."""
    monkeypatch.setattr(trust, "is_trusted", lambda project: trusted)
    found = load(toml=table, consent=False)
    assert found.active is active
    assert ["run `cachy trust`" in line for line in found.warnings] == [True] * told


# Names and values


@pytest.mark.parametrize("name", ["on-miss", "on_miss"])
def test_both_spellings_of_a_name(load: Any, name: str) -> None:
    """Kebab-case as in other tools' tables, snake_case as in Python."""
    assert load(toml=f"[tool.cachy]\n{name} = 'respond'").on_miss == "respond"
    assert load({name: "respond"}, toml="").on_miss == "respond"


@pytest.mark.parametrize(
    ("sources", "told"),
    [
        ({"toml": "[tool.cachy]\nstor = 'x'"}, "there is no setting stor; did you mean store?"),
        ({"toml": "[tool.cachy]\nkeep_header = []"}, "did you mean keep-headers?"),
        ({"toml": "[tool.cachy]\nzzz = 1"}, "there is no setting zzz"),
        ({"config": "mod = 'auto'"}, "config.toml: there is no setting mod; did you mean mode?"),
        ({"arguments": {"colour": 1}}, "the arguments: there is no setting colour"),
        ({"CACHY_STOER": "x"}, "CACHY_STOER is no setting; did you mean CACHY_STORE?"),
        ({"CACHY_ENABLED": "0"}, "use CACHY=1 or CACHY=0"),
        ({"CACHY_SETTLED": "[]"}, "is damaged; it is ignored"),
        ({"CACHY_SETTLED": "{"}, "is damaged; it is ignored"),
    ],
)
def test_a_wrong_name_is_told_in_one_line(load: Any, sources: dict[str, Any], told: str) -> None:
    """The line names the place and, where one is near, what was meant; all else stays at its default."""
    found = load(**sources)
    (line,) = found.warnings
    assert told in line
    assert "\n" not in line
    assert {name: getattr(found, name) for name in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize("name", ["CACHY_RUN_DIR", "CACHY_LOG", "CACHY_OF_SOMEBODY_ELSE", "CACHYSTORE"])
def test_other_variables_are_none_of_our_business(load: Any, name: str) -> None:
    """Only a slip of the pen is worth a word."""
    assert load(**{name: "x"}).warnings == ()


WRONG = [
    ("mode", "sometimes"),
    ("mode", 3),
    ("store", ""),
    ("store", 3),
    ("store", "a\0b"),
    ("store", ["x"]),
    ("hosts", 3),
    ("hosts", [3]),
    ("hosts", [""]),
    ("hosts", ["two words"]),
    ("hosts", [{"localhost": "openai"}]),
    ("hosts", {"localhost": 3}),
    ("hosts", {3: "openai"}),
    ("hosts", {"localhost": {"provider": 3}}),
    ("hosts", {"localhost": {"colour": "x"}}),
    ("hosts", {"localhost": "open,ai"}),
    ("ignore", 3),
    ("ignore", {"a": "date"}),
    ("ignore", ["a", ""]),
    ("redact", 3),
    ("redact", {"a": 1}),
    ("redact", ["ok", 3]),
    ("keep_headers", [[]]),
    ("record_status", 404),
    ("record_status", ["many"]),
    ("record_status", [404.5]),
    ("record_status", [float("inf")]),
    ("record_status", [True]),
    ("record_status", [99]),
    ("record_status", [[404]]),
    ("record_status", "404,x"),
    ("on_miss", "shrug"),
    ("on_miss", True),
    ("pace", "fast"),
    ("pace", -1),
    ("pace", True),
    ("pace", float("nan")),
    ("pace", 10**400),
    ("pace", []),
    ("summary", "maybe"),
    ("summary", 2),
    ("max_size", "many"),
    ("max_size", "5 XB"),
    ("max_size", 0),
    ("max_size", True),
    ("max_size", 1.5),
    ("max_size", float("inf")),
    ("max_count", "-3"),
    ("max_count", 0),
    ("max_age", "soon"),
    ("max_age", True),
    ("max_age", "0d"),
    ("remote_timeout", ""),
    ("remote_read_only", "perhaps"),
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=lambda value: repr(value)[:20])
def test_a_wrong_value_is_told_and_the_default_used(load: Any, name: str, value: Any) -> None:
    """One line says which setting is wrong and what it must be; the program goes on with the default."""
    found = load({name: value})
    (line,) = found.warnings
    shown = name.replace("_", "-")
    assert line.startswith(f"argument {shown}: {shown} must be ")
    assert line.endswith("; it is ignored")
    assert {name: getattr(found, name) for name in DEFAULTS} == DEFAULTS
    assert found.store == load().store


def test_a_wrong_value_leaves_the_place_to_a_weaker_source(load: Any) -> None:
    """A slip in the environment does not undo what the project says."""
    found = load(toml="[tool.cachy]\nmode = 'replay'", CACHY_MODE="repaly")
    assert found.mode == "replay"
    assert found.warnings[0].startswith("environment CACHY_MODE: mode must be one of")


def test_secrets_can_only_be_added(load: Any) -> None:
    """Every source adds names to `redact`; no source takes one away."""
    found = load(
        {"redact": ["a"]}, toml="[tool.cachy]\nredact = ['b', 'a']", config="redact = ['c']", CACHY_REDACT="d"
    )
    assert sorted(found.redact) == ["a", "b", "c", "d"]
    assert sorted(load({"redact": []}, CACHY_REDACT=" ").redact) == ["a", "b", "c"]


# Files


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        (b"[tool.cachy", "is not valid TOML"),
        (b"\xff[tool.cachy]", "is not valid TOML"),
        (b"[tool.cachy]\nx = " + b"9" * 5000, "is not valid TOML"),
        (b"[tool.cachy]\nx = " + b"[" * 5000, "is not valid TOML"),
        (b"tool = 3", None),
        (b"[tool]\ncachy = [1]", "tool.cachy must be a table"),
        (b"#" * (trust.LARGEST + 1), "is larger than 1 MiB"),
    ],
    ids=["broken", "not UTF-8", "endless number", "too deep", "tool is no table", "no table", "large"],
)
def test_a_file_that_cannot_be_used_is_told(load: Any, project: Path, toml: bytes, told: str | None) -> None:
    """One line names the file and what is wrong with it, and the defaults hold."""
    (project / "pyproject.toml").write_bytes(toml)
    found = load()
    assert [str(project / "pyproject.toml") in line and (told or "") in line for line in found.warnings] == (
        [True] if told else []
    )
    assert (found.active, found.mode) == (True, "auto")


def test_a_folder_of_any_name(user: Path, tmp_path: Path) -> None:
    """Braces, spaces and words of our own in a path are no more than a name."""
    folder = tmp_path / "}{0} environment"
    folder.mkdir()
    (folder / "pyproject.toml").write_text("[tool.cachy]\nmode = 'replay'\npace = 'x'", "utf-8")
    found = settings.load(cwd=str(folder), environ={}, consent=True)
    assert found.origins["mode"] == str(folder / "pyproject.toml")
    assert found.warnings[0].startswith(f"{folder / 'pyproject.toml'}: pace must be")


# Where the store lies


@links
@pytest.mark.parametrize(
    "store",
    [
        "../x.jsonl", "a/../../x.jsonl", "~/x.jsonl", "~root/x.jsonl", "redis://h/0", "link/x.jsonl",
        "jsonl:../x.jsonl", os.path.abspath(os.sep + "x.jsonl"),
    ],
)  # fmt: skip
def test_a_projects_store_lies_inside_the_project(
    load: Any, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    """However a project's file writes it, nothing outside of the project is read or written."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (project / "link").symlink_to(tmp_path, target_is_directory=True)
    found = load(toml=f"[tool.cachy]\nstore = '{store}'")
    assert found.store == str(project / "cachy.jsonl")
    (line,) = found.warnings
    assert "store must be a path inside the project (set CACHY_STORE for any other)" in line


@pytest.mark.parametrize("store", ["calls.jsonl", "a/b/../calls.jsonl", "jsonl:calls.jsonl"])
def test_a_projects_store_is_relative_to_the_project(load: Any, project: Path, store: str) -> None:
    """It lies beside pyproject.toml, from whichever folder below the program is started."""
    below = project / "a"
    below.mkdir()
    found = load(toml=f"[tool.cachy]\nstore = '{store}'", cwd=below)
    assert Path(found.store).parent in (project, project / "a")
    assert Path(found.store).name == "calls.jsonl"
    assert found.warnings == ()


def test_the_slash_that_makes_a_folder_of_a_store_stays(load: Any, project: Path, user: Path) -> None:
    """From the project's file, where the path becomes absolute, and from the environment."""
    found = load(toml="[tool.cachy]\nstore = 'calls/'")
    assert found.store == f"{project}{os.sep}calls{os.sep}"
    assert load(CACHY_STORE=f"{user}/calls/").store == f"{user}{os.sep}calls{os.sep}"
    assert load(CACHY_STORE=f"{user}/calls").store == f"{user}{os.sep}calls"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1000", 1000),
        ("2 KB", 2000),
        ("1.5 MB", 1_500_000),
        ("2GiB", 2 * 2**30),
        ("3 tib", 3 * 2**40),
        (7, 7),
    ],
)
def test_the_limits_of_a_store(load: Any, text: Any, size: int) -> None:
    """Sizes with their units, ages as in ttl."""
    found = load({"max_size": text, "max_count": "20", "max_age": "12h"})
    assert found.limits == Limits(size, 20, 43200.0)
    assert found.warnings == ()


@links
def test_a_default_store_that_leads_out_of_the_project(load: Any, project: Path, user: Path) -> None:
    """A link in the place of `cachy.jsonl` is not followed out of the project unless the user names the place."""
    (project / "pyproject.toml").write_text("", "utf-8")
    (project / "cachy.jsonl").symlink_to(user / "calls.jsonl")
    found = load()
    assert found.store == str(user / "cache" / "cachy.jsonl")
    assert "set CACHY_STORE to where it leads" in found.warnings[0]
    assert load(CACHY_STORE=str(user / "calls.jsonl")).warnings == ()


def test_the_users_own_choice_of_a_store_is_free(
    load: Any, project: Path, user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Environment and arguments count from the working directory, the user's file from its own folder."""
    monkeypatch.setenv("HOME", str(user))
    monkeypatch.setenv("USERPROFILE", str(user))
    assert load(CACHY_STORE="x.jsonl").store == str(project / "x.jsonl")
    assert load({"store": "../x.jsonl"}).store == str(project.parent / "x.jsonl")
    assert load({"store": "~/x.jsonl"}).store == str(user / "x.jsonl")
    assert load(CACHY_STORE="redis://h/0").store == "redis://h/0"
    assert load(config="store = 'x.jsonl'").store == str(user / "config" / "x.jsonl")


def test_the_default_store(load: Any, project: Path, user: Path, tmp_path: Path) -> None:
    """Beside the project's file; without a project a `cachy.jsonl` that is there, else the user's cache."""
    plain = tmp_path / "plain"
    plain.mkdir()
    assert load(toml="").store == str(project / "cachy.jsonl")
    assert load(cwd=plain).store == str(user / "cache" / "cachy.jsonl")
    (plain / "cachy.jsonl").touch()
    assert load(cwd=plain).store == str(plain / "cachy.jsonl")


def test_without_a_working_directory(user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder that is gone a relative store is told, and the user's cache is used."""

    def gone() -> str:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "getcwd", gone)
    found = settings.load(environ={"CACHY_STORE": "x.jsonl"}, consent=True)
    assert found.store == str(user / "cache" / "cachy.jsonl")
    assert "store must be a full path" in found.warnings[0]


# Handing on to a child of cachy-run


def test_a_child_reads_the_same_settings(load: Any, tmp_path: Path) -> None:
    """What the parent found is what a child finds, in another folder and without reading a file."""
    parent = load(
        {"store": "x.jsonl", "summary": False},
        toml="[tool.cachy]\non-miss = 'respond'\nredact = ['a']\nignore = ['a:/x{1,2}/', 'b']\n[tool.cachy.hosts]\n"
        "'localhost:*' = 'openai'\n'gw.corp' = {as = 'api.openai.com'}",
        config="max-size = '2 GiB'\nmax-count = 5\nmax-age = '1w'\npace = 'recorded'\nrecord-status = [404, 400]\nkeep-headers = ['x-a', 'x-b']",
        CACHY_MODE="record",
        scoped=True,
    )
    child = settings.load(cwd=str(tmp_path), environ=settings.to_environ(parent))
    for name in (*DEFAULTS, "store", "active"):
        assert getattr(child, name) == getattr(parent, name), name
    assert child.warnings == ()


def test_what_was_typed_is_stronger_in_a_child_than_what_stood_in_files(load: Any) -> None:
    """An argument of the child's program beats the project's file, not the words of the one who started it."""
    variables = settings.to_environ(load(toml="[tool.cachy]\npace = 2", CACHY_MODE="record"))
    child = load({"pace": 3, "mode": "replay"}, **variables)
    assert (child.pace, child.mode) == (3.0, "record")


def test_a_child_sees_for_itself_that_ci_is_set(load: Any) -> None:
    """A mode that only CI chose is not handed on as somebody's choice."""
    variables = settings.to_environ(load(CI="1"))
    assert load(CI="1", **variables).mode_is_from_ci
    assert load({"mode": "auto"}, CI="1", **variables).mode == "auto"
