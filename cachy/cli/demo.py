"""`cachy demo`: the main job, shown with a real script and real HTTP, without a key and without a network."""

from __future__ import annotations

import argparse
import os
import site
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_SCRIPT = Path(__file__).parent.parent / "demo" / "ask.py"


def main(argv: list[str] | None = None) -> int:
    """Run the demo; 0 when the second run printed what the first did, else 1. SystemExit for wrong usage."""
    argparse.ArgumentParser(
        prog="cachy demo",
        description="Run a small script twice, first recorded, then replayed, against a provider on this "
        "machine. Needs no key and no network, and leaves nothing behind.",
    ).parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="cachy-demo-", ignore_cleanup_errors=True) as folder:
        try:
            return _show(Path(folder).resolve())
        except KeyboardInterrupt:
            return 130


def _show(project: Path) -> int:
    from ..demo import provider

    # With this file it is a project, and its recordings lie in it.
    (project / "pyproject.toml").write_text('[project]\nname = "demo"\nversion = "0"\n', "utf-8")
    script = _SCRIPT.read_text("utf-8")
    (project / "ask.py").write_text(script, "utf-8")
    _say("A script that asks a language model:\n")
    _say("".join(f"    {line}" for line in script.splitlines(keepends=True)))

    with provider.serving() as url:
        environ, command = _command(project, url)
        _say(
            "A small provider on this machine answers, as slowly as a real one. The first run is recorded:\n"
        )
        _say(_shown({"OPENAI_BASE_URL": url}))
        first, first_seconds = _run(project, environ, command)
    _say("\nThe provider has been shut down. The second run, in a new process, is replayed:\n")
    second, second_seconds = _run(project, environ, command)

    store = project / "cachy.jsonl"
    if not first or second != first or not store.exists():
        _say("\nThat went wrong: both runs should print the same. `cachy config` shows the settings here.")
        return 1
    times = f"{second_seconds:.1f} s instead of {first_seconds:.1f} s, Python's start included"
    _say(f"\nThe same answers in {times}: {first_seconds / second_seconds:.1f} times as fast, free, offline.")
    line = store.read_text("utf-8").partition("\n")[0]
    _say("The recordings are lines of cachy.jsonl. The first one, shortened:\n")
    _say(f"    {line[:160]} ... {line[-100:]}\n")
    _say("Now with a program of your own:  CACHY=1 python your_script.py")
    return 0


def _command(project: Path, url: str) -> tuple[dict[str, str], str]:
    """The environment of the script, and the command line that it stands for."""
    from .. import settings
    from . import run

    proxies = ("http_proxy", "https_proxy", "all_proxy")  # not wanted between two programs on one machine
    plain = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("CACHY") and name.lower() not in proxies
    }
    plain |= {"OPENAI_BASE_URL": url, "PYTHONIOENCODING": "utf-8"}
    switches = {"CACHY": "1"}
    # In CI, or by the user's own configuration, that may mean another mode or store: then we name ours.
    usual = settings.load(cwd=str(project), environ={**plain, **switches})
    if usual.mode != "auto":
        switches["CACHY"] = "auto"
    if usual.store != str(project / "cachy.jsonl"):
        switches["CACHY_STORE"] = "cachy.jsonl"
    environ = {**plain, **switches}
    if _has_hook():
        return environ, _shown(switches, "python ask.py")
    # Installed where no .pth file is read (pip install --target, a source tree): cachy-run needs none.
    found = settings.load(cwd=str(project), environ=environ)
    return run.environment(found, base=environ), _shown(switches, "cachy-run python ask.py")


def _has_hook() -> bool:
    """Whether this interpreter reads cachy's start-up file."""
    folders = [*site.getsitepackages(), site.getusersitepackages()]
    return any(os.path.exists(os.path.join(folder, "cachy.pth")) for folder in folders)


def _shown(variables: dict[str, str], command: str = "") -> str:
    """Variables and a command as one would type them here."""
    if os.name == "nt":
        return "> " + "; ".join([*(f'$env:{name} = "{value}"' for name, value in variables.items()), command])
    assignments = " ".join(f"{name}={value}" for name, value in variables.items())
    return f"$ {assignments} {command}" if command else f"$ export {assignments}"


def _run(project: Path, environ: dict[str, str], command: str) -> tuple[bytes, float]:
    """Run the script, passing its output on as it comes; that output (empty if it failed) and the seconds."""
    _say(command)
    started = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            [sys.executable, "ask.py"], cwd=project, env=environ, stdout=subprocess.PIPE, stderr=errors
        )
        output = bytearray()
        with child as running:
            assert running.stdout is not None
            while piece := os.read(running.stdout.fileno(), 4096):
                output += piece
                print(piece.decode("utf-8", "replace").replace("\r", ""), end="", flush=True)
        seconds = time.perf_counter() - started
        errors.seek(0)
        _say(errors.read().decode("utf-8", "replace").rstrip("\n"))
    _say(f"({seconds:.1f} s)")
    return bytes(output) if child.returncode == 0 else b"", seconds


def _say(text: str) -> None:
    encoding = sys.stdout.encoding or "ascii"
    print(text.encode(encoding, "replace").decode(encoding), flush=True)
