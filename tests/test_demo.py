"""`cachy demo` as a stranger runs it: no key, no network, any folder, CI or not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cachy
from cachy.cli import demo
from cachy.demo import provider

ROOT = str(Path(cachy.__file__).parent.parent)


def run(tmp_path: Path, before: str = "", **more: str) -> tuple[str, int]:
    """Run the demo in an empty folder with a home and a TMPDIR of its own; its output and exit status."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("CACHY", "XDG_", "PYTHON"))
    }
    clean.pop("CI", None)
    for name in ("home", "tmp", "empty"):
        (tmp_path / name).mkdir(exist_ok=True)
    places = {
        "HOME": str(tmp_path / "home"),
        "USERPROFILE": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"),
    }
    path = f"import sys; sys.path.append({ROOT!r}); {before}"
    code = f"{path}\nfrom cachy.cli.demo import main; sys.exit(main([]))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean | places | {"PYTHONIOENCODING": "utf-8"} | more,
        cwd=tmp_path / "empty",
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.stderr == ""
    assert os.listdir(tmp_path / "empty") == []
    assert os.listdir(tmp_path / "tmp") == []
    return done.stdout, done.returncode


@pytest.mark.slow
def test_the_demo_records_then_replays(tmp_path: Path) -> None:
    """The same words are printed twice, recorded, then replayed without the provider; nothing is left."""
    output, status = run(tmp_path)
    assert status == 0
    assert re.search(r"^cachy  2 recorded · cachy.jsonl$", output, re.M)
    assert re.search(r"^cachy  2 replayed · saved \d\.\d s · cachy.jsonl$", output, re.M)
    answers = re.findall(r"^A re\w+ .* live at \d\d:\d\d:\d\d\.\d\d\d\.$", output, re.M)
    assert len(answers) == 4
    assert answers[:2] == answers[2:]
    assert len(re.findall(r"^\$ CACHY=1 (cachy-run )?python ask.py$", output, re.M)) == 2 or os.name == "nt"
    assert re.search(r"\d\.\d times as fast", output)
    assert re.search(r'^ +\{"key":"[0-9a-f]{32}","v":1,.* \.\.\. .*\}$', output, re.M)


@pytest.mark.slow
def test_the_demo_works_under_adverse_settings(tmp_path: Path) -> None:
    """In CI, behind a proxy, without rich, configured never to call: it works, and shows what it ran."""
    for folder in (".config", "Library/Application Support", "AppData/Local/cachy"):
        config = tmp_path / "home" / folder / "cachy" / "config.toml"
        config.parent.mkdir(parents=True)
        config.write_text(f"mode = 'replay'\nstore = '{(tmp_path / 'elsewhere.jsonl').as_posix()}'\n")
    proxies = {"HTTP_PROXY": "http://127.0.0.1:9", "ALL_PROXY": "http://127.0.0.1:9"}
    output, status = run(
        tmp_path, "sys.modules['rich'] = None", CI="true", CACHY="0", CACHY_MODE="off", **proxies
    )
    assert status == 0
    assert "cachy  2 replayed" in output
    assert "CACHY=auto" in output or os.name == "nt"
    assert not (tmp_path / "elsewhere.jsonl").exists()


@pytest.mark.slow
def test_the_demo_fails_when_nothing_was_replayed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """When the second run cannot print what the first did, the exit status and the last line say so."""
    command = demo._command

    def unhooked(project: Path, url: str) -> tuple[dict[str, str], str]:
        environ, shown = command(project, url)
        return {**environ, "CACHY": "0"}, shown

    monkeypatch.setattr(demo, "_command", unhooked)
    monkeypatch.setattr(provider, "THINKING", 0.0)
    monkeypatch.setattr(provider, "STREAMING", 0.0)
    assert demo.main([]) == 1
    assert "went wrong" in capsys.readouterr().out.splitlines()[-1]
