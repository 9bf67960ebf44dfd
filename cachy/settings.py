"""Every setting, its value, and where the value came from.

Sources, the strongest first: the environment, the arguments of `cachy.enable()`, `[tool.cachy]` of the project,
the user's own config file, the default. In a `with cachy.using(...)` block its arguments come first of all.
`CACHY=0` switches everything off, whatever else is set. Under `cachy-run` the parent has read the files; what it
found in them stands in one variable in their place, still weaker than the arguments of a program.

Loaded when the first HTTP client is imported, never at start-up.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import trust
from ._bootstrap import OFF, ON, find_project, names_cachy
from .values import MODES, READERS, HostRule, Limits, TtlRule, as_text

__all__ = ["MODES", "HostRule", "Settings", "find_project", "load", "to_environ"]

_FROM_PARENT = "CACHY_SETTLED"  # JSON: what the parent process (cachy-run) found in files, and the defaults
_INSIDE = "a path inside the project (set CACHY_STORE for any other)"
_OURS = ("CACHY_RUN_DIR", "CACHY_LOG", _FROM_PARENT)  # variables that are no settings


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a session. `origins` says for each name where its value came from."""

    active: bool = False
    """Whether anything is patched at all."""
    mode: str = "auto"
    mode_is_from_ci: bool = False
    """It is `replay` only because CI is set and nobody chose a mode."""
    store: str = ""
    """An absolute path, or a URL."""
    max_size: int | None = None
    max_count: int | None = None
    max_age: float | None = None
    """What a store that evicts (SQLite) is kept below: bytes, recordings, and seconds since recording."""
    remote_read_only: bool = False
    remote_timeout: float = 2.0
    """Seconds that a shared store may take to answer."""
    hosts: tuple[HostRule, ...] = ()
    repeats: str = "same"
    """Whether the n-th identical request of a run has an answer of its own: `sequence`, or `cycle`, which starts over
    with the first one after the last one recorded."""
    ttl: tuple[TtlRule, ...] = ()
    replay_listings: bool = False
    """Whether `auto` replays listings too (files, batches, ...), which other calls change."""
    ignore: tuple[str, ...] = ()
    redact: tuple[str, ...] = ()
    keep_headers: tuple[str, ...] = ()
    record_status: frozenset[int] = frozenset()
    on_miss: str = "raise"
    pace: float = 0.0
    """Factor on the recorded waits; 0 is at once."""
    summary: bool = True
    guard: bool = True
    """Whether connections that pass cachy by are looked for, and refused in `replay`."""
    project: str | None = None
    """The folder of the project that the working directory lies in."""
    origins: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    """Lines for the user, each saying what to do."""

    @property
    def mode_note(self) -> str:
        """What a reader of a summary should know about the mode, or empty."""
        return "replay, because CI is set" if self.mode_is_from_ci else ""

    @property
    def limits(self) -> Limits:
        """What the store is kept below."""
        return Limits(self.max_size, self.max_count, self.max_age)


@dataclass(slots=True)
class _Source:
    """Values of one origin by the names of settings (kebab-case)."""

    values: dict[str, Any]
    origin: Callable[[str], str]  # from the name of a setting to where its value came from
    folder: str | None  # what a relative store is relative to
    confined: bool = False  # whether its store must lie inside `folder`
    mode_from: str = ""  # where its mode came from, when not from the setting of that name

    def origin_of(self, name: str) -> str:
        if name == "mode" and self.mode_from:
            return self.mode_from
        return self.origin(name)


def load(
    arguments: Mapping[str, object] | None = None,
    *,
    cwd: str | None = None,
    environ: Mapping[str, str] = os.environ,
    consent: bool = False,
    scoped: bool = False,
    around: Mapping[str, object] | None = None,
) -> Settings:
    """Read all settings. Never raises: what cannot be read is told in `warnings` and its default used.

    Args:
        arguments: settings given in the program, by their Python names.
        cwd: the working directory that counts; by default the present one.
        environ: the environment.
        consent: whether the user asked for cachy by other means than the project's file.
        scoped: whether the arguments come before the environment.
        around: of a block, the arguments of the `enable()` around it, which come after the environment.
    """
    warnings: list[str] = []
    wish = environ.get("CACHY", "").strip().lower()
    if wish in OFF:
        return Settings(origins={"enabled": "environment CACHY"})
    consent = consent or wish in ON
    here = cwd or _working_directory()
    project = find_project(here) if here else None

    environment = _from_environment(environ, wish, here, warnings)
    kind = "block" if scoped else "argument"
    values = dict(_named(arguments or {}, "the arguments", warnings))
    given = _Source(values, lambda name: f"{kind} {name}", here)
    sources = [given, environment] if scoped else [environment, given]
    if around:
        values = dict(_named(around, "the arguments", warnings))
        sources.append(_Source(values, lambda name: f"argument {name}", here))
    table, path = None, ""
    if (settled := environ.get(_FROM_PARENT)) is not None:
        sources.append(_from_parent(settled, here, warnings))
    else:
        table, path = _project_table(project, warnings)
        if table is not None:
            values = dict(_named(table, path, warnings))
            sources.append(_Source(values, lambda _: path, project, confined=True))
        sources.append(_user_config(warnings))

    found: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name, reader in READERS.items():
        for source in sources:
            if name not in source.values:
                continue
            try:
                value = reader(source.values[name])
                if name == "store":
                    value = _store_path(value, source)
            except ValueError as problem:
                warnings.append(f"{source.origin_of(name)}: {name} must be {problem}; it is ignored")
                continue
            if name == "redact":
                # Everybody may add names of secrets, nobody can take any away.
                found[name] = tuple(dict.fromkeys((*found.get(name, ()), *value)))
                origins.setdefault(name, source.origin_of(name))
                continue
            found[name], origins[name] = value, source.origin_of(name)
            break

    from_ci = "mode" not in found and _is_set(environ.get("CI"))
    if from_ci:
        found["mode"], origins["mode"] = "replay", "CI"
    if "store" not in found:
        found["store"] = trust.default_store(project, here, warnings)
    wanted = found.pop("enabled", True) and found.get("mode") != "off"
    if wish and wish not in ON:  # start-up has said that it is not understood, and asked no project
        origins["enabled"], wanted = "environment CACHY", False
    asked = table is not None and names_cachy(path)  # written in another way it is not seen at start-up
    active = consent or (asked and wanted and _may_activate(project, warnings))
    for name in READERS:
        origins.setdefault(name, "default")
    return Settings(
        active=active and found.get("mode") != "off",
        mode_is_from_ci=from_ci,
        project=project,
        origins=origins,
        warnings=tuple(dict.fromkeys(warnings)),
        **{name.replace("-", "_"): value for name, value in found.items()},
    )


def to_environ(settings: Settings) -> dict[str, str]:
    """The settings as environment variables for a child, which reads no files then.

    What the user typed is as strong there as in any environment; what came from files and the defaults gives way
    to the arguments of the child's own program.
    """
    import json

    variables, settled = {"CACHY": "1"}, {}
    for name in READERS:
        if name == "enabled" or (name == "mode" and settings.mode_is_from_ci):
            continue  # the child will see for itself that CI is set
        value = as_text(getattr(settings, name.replace("-", "_")))
        if settings.origins.get(name, "").startswith(("environment ", "argument ", "block ")):
            variables[_variable(name)] = value
        else:
            settled[name] = value
    return {**variables, _FROM_PARENT: json.dumps(settled)}


def _variable(name: str) -> str:
    return f"CACHY_{name.upper().replace('-', '_')}"


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was deleted
        return None


def _is_set(value: str | None) -> bool:
    return value is not None and value != "" and value.strip().lower() not in OFF


def _from_environment(
    environ: Mapping[str, str], wish: str, here: str | None, warnings: list[str]
) -> _Source:
    values: dict[str, Any] = {}
    variables = {_variable(name): name for name in READERS if name != "enabled"}
    for variable in environ:
        if variable in variables:
            if environ[variable].strip():
                values[variables[variable]] = environ[variable]
        elif variable == "CACHY_ENABLED":
            warnings.append("CACHY_ENABLED is no setting; use CACHY=1 or CACHY=0")
        elif variable.startswith("CACHY_") and variable not in _OURS:
            from difflib import get_close_matches

            # Other programs may have variables of this beginning; only a slip of the pen is worth a word.
            for meant in get_close_matches(variable, variables, 1, 0.85):
                warnings.append(f"{variable} is no setting; did you mean {meant}?")
    source = _Source(values, lambda name: f"environment {_variable(name)}", here)
    if wish in MODES:
        values["mode"], source.mode_from = wish, "environment CACHY"
    return source


def _from_parent(text: str, here: str | None, warnings: list[str]) -> _Source:
    import json

    try:
        values = {str(name): str(value) for name, value in json.loads(text).items()}
    except (ValueError, AttributeError, RecursionError):
        warnings.append(f"{_FROM_PARENT} is set by cachy-run for its children and is damaged; it is ignored")
        values = {}
    return _Source(values, lambda _: "cachy-run", here)


def _named(table: Mapping[str, Any], where: str, warnings: list[str]) -> list[tuple[str, Any]]:
    """The known settings of a table under their kebab-case names, with a warning for each other name."""
    known = []
    for given, value in table.items():
        name = str(given).replace("_", "-")
        if name in READERS:
            known.append((name, value))
        else:
            from difflib import get_close_matches

            near = get_close_matches(name, READERS, 1)
            warnings.append(
                f"{where}: there is no setting {name}" + (f"; did you mean {near[0]}?" if near else "")
            )
    return known


def _project_table(project: str | None, warnings: list[str]) -> tuple[dict[str, Any] | None, str]:
    """`[tool.cachy]` of the project and the path of its file; None when there is no such table."""
    path = os.path.join(project, "pyproject.toml") if project else ""
    if not os.path.lexists(path) or sys.flags.isolated or sys.flags.ignore_environment:
        return None, path
    reason = trust.suspicion(path)
    if reason is not None:
        warnings.append(f"{path} {reason}; its settings are ignored")
        return None, path
    table = _toml(path, warnings).get("tool", {})
    found = table.get("cachy") if isinstance(table, dict) else None
    if found is not None and not isinstance(found, dict):
        warnings.append(f"{path}: tool.cachy must be a table; it is ignored")
        return None, path
    return found, path


def _user_config(warnings: list[str]) -> _Source:
    folder = trust.user_folder("config")
    path = os.path.join(folder, "config.toml") if folder else ""
    if not folder or not os.path.exists(path):
        return _Source({}, lambda _: path, None)
    values = dict(_named(_toml(path, warnings), path, warnings))
    values.pop("enabled", None)  # the user's own file configures; what switches cachy on is near the program
    return _Source(values, lambda _: path, folder)


def parse(toml: bytes) -> dict[str, Any]:
    """A TOML document. Raises ValueError when it is none, ImportError on Python 3.10 without tomli."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        parsed: dict[str, Any] = tomllib.loads(toml.decode())
        return parsed
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _toml(path: str, warnings: list[str]) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return parse(file.read())
    except ImportError:
        warnings.append(f"{path} cannot be read here: Python 3.10 needs the package tomli")
    except ValueError as problem:
        warnings.append(f"{path} is not valid TOML ({problem}); its settings are ignored")
    except OSError as problem:
        warnings.append(f"{path} cannot be read ({problem.strerror}); its settings are ignored")
    return {}


def _store_path(store: str, source: _Source) -> str:
    """The absolute path or URL of a store. Raises ValueError."""
    if "://" in store:
        if source.confined:
            raise ValueError(_INSIDE)
        return store
    try:
        path = os.path.abspath(
            os.path.join(source.folder or "", os.path.expanduser(store.removeprefix("jsonl:")))
        )
    except OSError:
        raise ValueError("a full path, since the working directory is gone") from None
    if source.confined and source.folder is not None and not trust.inside(path, source.folder):
        raise ValueError(_INSIDE)
    return path + os.sep if store.endswith(("/", os.sep)) else path  # the slash says that it is a folder


def _may_activate(project: str | None, warnings: list[str]) -> bool:
    if project is None or trust.is_trusted(project):
        return project is not None
    warnings.append(
        f"{os.path.join(project, 'pyproject.toml')} asks for cachy, but this Python lies outside the project:"
        " run `cachy trust` there once, or set CACHY=1"
    )
    return False
