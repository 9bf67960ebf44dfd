"""Does cachy start with Python, and does it want to act here?"""

from __future__ import annotations

import os
import site
import subprocess
import sys
from collections.abc import Iterator, Sequence

from ... import _bootstrap, settings, trust
from ...report.terminal import place
from ...values import as_text
from ..setup import misspelt
from ..shelf import loaded
from . import Check

_LINE = "import cachy._bootstrap"
_OURS = "cachy-run"
_SAY = (
    "import sys; print(sys.modules['cachy._bootstrap'].__file__ if 'cachy._bootstrap' in sys.modules else '')"
)
_PATIENCE = 60  # seconds for a bare start of Python


def checks(homes: Sequence[str]) -> Iterator[Check]:
    """Start-up files, which of them run, and what else is called cachy; `homes`: the distributions of that name."""
    import cachy

    here = os.path.dirname(str(cachy.__file__))
    yield Check("cachy", "ok", place(here))
    folders = dict.fromkeys([*site.getsitepackages(), site.getusersitepackages()])
    for path in filter(os.path.isfile, (os.path.join(folder, "cachy.pth") for folder in folders)):
        if _LINE in _text(path).splitlines():
            yield Check("file", "ok", f"{path}: {_LINE}")
        else:
            yield Check(
                "file", "wrong", f"{path} does not say `{_LINE}`", "pip install --force-reinstall cachy-run"
            )
    ran = _start({"CACHY": "1"})
    if ran is None:
        yield Check("start", "wrong", f"{sys.executable} does not start")
    elif not ran:
        text = "Python starts without cachy: CACHY=1 and [tool.cachy] do nothing"
        # A package manager that forgot the file, or a cachy that lies on the PYTHONPATH.
        force = "--force-reinstall " if _OURS in homes else ""
        yield Check(
            "start", "wrong", text, f"pip install {force}{_OURS} into this environment, or use cachy-run"
        )
    elif not os.path.samefile(ran, str(_bootstrap.__file__)):
        yield Check("start", "wrong", f"another cachy starts with Python: {ran}", "uninstall that one")
    else:
        yield Check("start", "ok", "cachy starts with Python")
    if os.environ.get("CACHY_RUN_DIR"):
        yield Check("cachy-run", "note", "this runs under cachy-run, whose settings come first")
    for name in sorted({*homes} - {_OURS}):
        # Both own cachy/__init__.py: whoever goes takes it along.
        todo = f"pip uninstall {name}, then pip install --force-reinstall --no-deps {_OURS}"
        yield Check("other cachy", "wrong", f"{name} installs a package cachy, too", todo)


def _start(more: dict[str, str]) -> str | None:
    """The file of cachy's start-up module in a fresh Python; "" when it did not run, None when Python does not."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CACHY")}
    try:
        command = [sys.executable, "-c", _SAY]
        done = subprocess.run(
            command, env=environ | more, capture_output=True, text=True, timeout=_PATIENCE, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def decision(store: str | None) -> Iterator[Check]:
    """Whether cachy is active here, why, and every setting that is not the default."""
    found = settings.load({"store": store} if store else {}, scoped=bool(store))
    yield _active(found)
    for warning in found.warnings:
        yield Check("warning", "wrong", warning)
    known = loaded(store)
    for name, origin in known.origins.items():
        if origin == "default" or name == "enabled":
            continue
        value = getattr(known, name.replace("-", "_"))
        text = place(value) if name == "store" else as_text(value)
        why = ": nothing is called, and nothing recorded" if name == "mode" and value == "replay" else ""
        yield Check(name, "note" if why else "ok", f"{text} (from {origin}){why}")


def _active(found: settings.Settings) -> Check:
    if found.active:
        return Check("active", "ok", f"yes, mode {found.mode}, store {place(found.store)}")
    if wish := misspelt():
        todo = "use 1, 0, auto, replay, record or verify"
        return Check("active", "wrong", f"no: CACHY={wish} in the environment is not understood", todo)
    if found.origins.get("enabled") == "environment CACHY":
        return Check(
            "active", "note", f"no: CACHY={os.environ.get('CACHY')} in the environment", "unset CACHY"
        )
    project = found.project
    path = os.path.join(project, "pyproject.toml") if project else ""
    if path in loaded().origins.values() and not _bootstrap.names_cachy(path):
        text = f"no: {path} sets tool.cachy without a line [tool.cachy], which start-up looks for"
        return Check("active", "wrong", text, "write it as [tool.cachy]")
    if not path or not _bootstrap.names_cachy(path):
        return Check("active", "note", "no: nothing asks for it", "CACHY=1, cachy-run or cachy init")
    if found.mode == "off" or found.origins.get("enabled", "default") != "default":
        return Check(
            "active", "note", "no: the settings switch it off", "see enabled and mode in `cachy config`"
        )
    if project and not trust.is_trusted(project):
        return Check("active", "wrong", f"no: {path} asks for it and is not trusted", "cachy trust")
    return Check("active", "wrong", f"no: {path} is not obeyed", "see the warnings of `cachy config`")
