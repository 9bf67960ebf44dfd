"""`cachy-run`: which processes it reaches, what they find there, and the one line at the end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipapp
import zipfile
from pathlib import Path

import pytest

import cachy

from .conftest import ROOT, Run, make_venv

COUNT = "from cachy import tally; tally.count('hit', ms=1)"
STARTED = "import sys; print(getattr(sys.modules.get('cachy._bootstrap'), 'door', None))"
PACKAGE = str(Path(cachy.__file__).parent)
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX only")


def summary(calls: int, processes: int = 1) -> str:
    """The line that is expected when every process counted hits of one millisecond."""
    spread = f" · in {processes} processes" if processes > 1 else ""
    return f"cachy  {calls} replayed · saved {calls} ms{spread} · "


# What a process finds


def test_an_environment_without_cachy_is_reached(run: Run, bare_python: Path) -> None:
    """A Python of another environment starts with our cachy, and can import nothing else of ours."""
    code = (
        f"{STARTED}\nimport cachy, importlib.util as u\nprint(cachy.__path__[0], u.find_spec('platformdirs'))"
    )
    done = run(bare_python, "-c", code)
    assert done.stdout.splitlines() == ["environment", f"{PACKAGE} None"]
    assert (done.returncode, done.stderr) == (0, "")


def test_sys_path_is_as_without_us(run: Run, env: dict[str, str], bare_python: Path, tmp_path: Path) -> None:
    """The hook's folder is gone from sys.path when the program starts, and the user's entries are there."""
    code = "import sys; print(sys.path)"
    env["PYTHONPATH"] = os.pathsep.join([str(tmp_path / "one"), str(tmp_path / "two")])
    plain = subprocess.run([bare_python, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert run(bare_python, "-c", code).stdout == plain.stdout
    assert str(tmp_path / "two") in plain.stdout


@pytest.mark.parametrize("theirs", [None, "", "one", os.pathsep.join(["one", "two"])])
def test_pythonpath_is_kept_behind_ours(run: Run, env: dict[str, str], theirs: str | None) -> None:
    """The hook's folder comes first, the user's entries follow; an unset or empty variable adds no entry."""
    if theirs is not None:
        env["PYTHONPATH"] = theirs
    done = run(sys.executable, "-c", "import os; print(os.environ['PYTHONPATH'])")
    ours, *rest = done.stdout.strip().split(os.pathsep)
    assert sorted(name for name in os.listdir(ours) if name != "__pycache__") == ["sitecustomize.py"]
    assert os.path.isabs(ours)
    assert rest == ([] if not theirs else theirs.split(os.pathsep))


def test_the_users_sitecustomize_runs(
    run: Run, env: dict[str, str], bare_python: Path, tmp_path: Path
) -> None:
    """A sitecustomize of the user's own runs after ours, once, and is the one that the program sees."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nprint('mine', 'cachy._bootstrap' in sys.modules)\n"
    )
    env["PYTHONPATH"] = str(tmp_path)
    done = run(bare_python, "-c", "import sitecustomize; print(sitecustomize.__file__)", apart=True)
    assert done.stdout.splitlines() == ["mine True", str(tmp_path / "sitecustomize.py")]


def test_the_environments_sitecustomize_runs(run: Run, tmp_path: Path) -> None:
    """A sitecustomize in site-packages, as distributions have, is found behind ours."""
    python = make_venv(tmp_path / "venv")
    query = "import sysconfig; print(sysconfig.get_path('purelib'))"
    where = subprocess.run([python, "-c", query], capture_output=True, text=True, check=True).stdout.strip()
    Path(where, "sitecustomize.py").write_text("print('distribution')\n")
    assert run(python, "-c", STARTED).stdout.splitlines() == ["distribution", "environment"]


def test_without_a_sitecustomize_there_is_none(run: Run, bare_python: Path) -> None:
    """Our own module does not stay behind under the name that belongs to the user."""
    code = (
        "import sys, importlib.util as u; print('sitecustomize' in sys.modules, u.find_spec('sitecustomize'))"
    )
    done = run(bare_python, "-c", code)
    assert (done.stdout, done.stderr) == ("False None\n", "")


@pytest.mark.parametrize("body", ["1/0", "import missing_module", "raise ImportError('mine')", "x = ="])
def test_a_failing_sitecustomize_fails_as_ever(
    run: Run, env: dict[str, str], bare_python: Path, tmp_path: Path, body: str
) -> None:
    """What Python says about the user's own broken sitecustomize is the same with us and without us."""
    (tmp_path / "sitecustomize.py").write_text(body + "\n")
    env["PYTHONPATH"] = str(tmp_path)
    code = "import sys; print('sitecustomize' in sys.modules)"
    plain = subprocess.run([bare_python, "-c", code], env=env, capture_output=True, text=True, check=True)
    done = run(bare_python, "-c", code, apart=True)
    assert "Error in sitecustomize" in plain.stderr
    assert (done.stdout, done.stderr) == (plain.stdout, plain.stderr)


def test_our_version_wins_over_the_environments_own(run: Run, tmp_path: Path) -> None:
    """A child that has a cachy of its own, with its start-up file, runs the version whose cachy-run it is."""
    python = make_venv(tmp_path / "venv")
    query = "import sysconfig; print(sysconfig.get_path('purelib'))"
    where = subprocess.run([python, "-c", query], capture_output=True, text=True, check=True).stdout.strip()
    shutil.copytree(PACKAGE, Path(where, "cachy"), ignore=shutil.ignore_patterns("__pycache__"))
    Path(where, "cachy.pth").write_text("import cachy._bootstrap\n")
    plain = "import cachy; print(cachy.__path__[0])"
    assert run(python, "-E", "-c", plain, CACHY="1").stdout.strip() == str(Path(where, "cachy"))
    code = (
        f"{STARTED}\n{plain}\n"
        "from cachy import hooks\n"
        "print([type(f) is not None for f in sys.meta_path if type(f).__module__.startswith('cachy')])\n"
        "ours = [m for name, m in sys.modules.items() if name.startswith('cachy')]\n"
        "print({m.__file__.startswith(cachy.__path__[0]) for m in ours})"
    )
    assert run(python, "-c", code).stdout.splitlines() == ["environment", PACKAGE, "[True]", "{True}"]


def test_old_pythons_start_untouched(
    run: Run, env: dict[str, str], old_pythons: list[str], tmp_path: Path
) -> None:
    """A Python that cachy does not support runs as without us, the user's sitecustomize included."""
    if not old_pythons:
        pytest.skip("this machine has no Python older than 3.10")
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.stdout.write('mine ')\n")
    env["PYTHONPATH"] = str(tmp_path)
    code = "import sys; print([m for m in sys.modules if 'cachy' in m], sys.path)"
    for python in old_pythons:
        plain = subprocess.run([python, "-c", code], env=env, capture_output=True, text=True, check=True)
        done = run(python, "-c", code, apart=True)
        assert (done.stdout, done.stderr, done.returncode) == (plain.stdout, plain.stderr, 0)
        assert "mine" in done.stdout
        assert "sitecustomize" not in run(python, "-c", code, PYTHONPATH="").stderr


@pytest.mark.parametrize("flag", ["-I", "-E", "-S"])
def test_isolated_children_start_untouched(run: Run, bare_python: Path, flag: str) -> None:
    """Who tells Python to ignore its environment gets a Python without cachy."""
    assert run(bare_python, flag, "-c", "import sys; print('cachy' in sys.modules)").stdout == "False\n"


def test_the_hook_is_silent_when_it_cannot_be_read(run: Run, bare_python: Path, tmp_path: Path) -> None:
    """A child whose hook fails says so in one line and runs all the same."""
    broken = tmp_path / "copy" / "cachy" / "_bootstrap" / "_path"
    broken.mkdir(parents=True)
    shutil.copy(Path(PACKAGE, "_bootstrap", "_path", "sitecustomize.py"), broken)
    env = {"CACHY": "1", "PYTHONPATH": str(broken)}
    done = subprocess.run(
        [bare_python, "-c", "print('answer')"], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout == "answer\n"
    assert done.stderr.startswith("cachy: not started (")
    assert done.stderr.count("\n") == 1


# Settings


def test_flags_reach_the_children(run: Run, bare_python: Path, tmp_path: Path) -> None:
    """Mode and store of the command line hold in every child, above what the environment says."""
    code = (
        "from cachy import settings\n"
        "found = settings.load(consent=True)\n"
        "print(found.mode, found.store, found.summary)"
    )
    flags = ["--mode", "replay", "--store", "calls.jsonl", "--no-summary"]
    done = run(bare_python, "-c", f"import os; os.chdir('..')\n{code}", flags=flags, CACHY_MODE="record")
    assert done.stdout.split() == ["replay", str(tmp_path / "work" / "calls.jsonl"), "False"]


def test_files_are_read_by_the_parent_only(run: Run, bare_python: Path, tmp_path: Path) -> None:
    """What is wrong in a project's file is told once, not by each child; what is right reaches all of them."""
    text = '[tool.cachy]\nstore = "calls.jsonl"\non-miss = "respond"\ncolour = "red"\n'
    (tmp_path / "work" / "pyproject.toml").write_text(text)
    code = (
        "from cachy import settings\n"
        "found = settings.load()\n"
        "print(found.store, found.on_miss, found.warnings, flush=True)"
    )
    child = f"import subprocess, sys\n{code}\nsubprocess.run([sys.executable, '-c', {code!r}])"
    done = run(bare_python, "-c", child)
    assert done.stdout == f"{tmp_path / 'work' / 'calls.jsonl'} respond ()\n" * 2
    assert done.stderr.count("colour") == done.stderr.count("\n") == 1


@pytest.mark.parametrize(("flags", "more"), [([], {"CACHY": "0"}), (["--mode", "off"], {})])
def test_switched_off_means_off(run: Run, bare_python: Path, flags: list[str], more: dict[str, str]) -> None:
    """The kill switch and `--mode off` run the command as it is."""
    code = "import os, sys; print('cachy' in sys.modules, os.environ['CACHY'], os.environ.get('PYTHONPATH'))"
    assert run(bare_python, "-c", code, flags=flags, **more).stdout.split() == ["False", "0", "None"]


def test_words_of_the_command_are_the_commands(run: Run) -> None:
    """All that follows the command's name belongs to it, also what looks like our flags; `--` is allowed."""
    code = "import sys; print(sys.argv[1:])"
    words = ["--mode", "x", "--", "-h"]
    for first in ([], ["--"]):
        assert run(sys.executable, "-c", code, *words, flags=first).stdout.strip() == str(words)


@pytest.mark.parametrize("flags", [[], ["--mode", "sometimes", "true"], ["--sotre", "x", "true"]])
def test_wrong_usage_is_status_2(run: Run, flags: list[str]) -> None:
    """A missing command, an unknown mode and an unknown flag are answered with the usage on stderr."""
    done = run(flags=flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: cachy-run" in done.stderr


# Which processes are reached, and the one line over all of them


def test_the_summary_counts_all_processes(run: Run, tmp_path: Path) -> None:
    """Calls of subprocesses, and of those that end by os._exit or kill -9, are in one line at the end."""
    kill = "import os, signal; os.kill(os.getpid(), getattr(signal, 'SIGKILL', signal.SIGTERM))"
    code = (
        f"import subprocess, sys\n{COUNT}\n"
        f"subprocess.run([sys.executable, '-c', {COUNT!r}])\n"
        f"subprocess.run([sys.executable, '-c', {COUNT + '; import os; os._exit(0)'!r}])\n"
        f"subprocess.run([sys.executable, '-c', {COUNT + '; ' + kill!r}])\n"
        "print('answer')"
    )
    done = run(sys.executable, "-c", code)
    assert done.stdout == "answer\n"
    assert done.stderr.startswith(summary(4, 4))
    assert done.stderr.count("\n") == 1
    assert os.listdir(tmp_path / "tmp") == []


def test_no_call_no_summary(run: Run) -> None:
    """A command that made no call ends without a line."""
    assert run(sys.executable, "-c", "print('answer')").stderr == ""


@pytest.mark.parametrize(("flags", "more"), [(["--no-summary"], {}), ([], {"CACHY_SUMMARY": "0"})])
def test_the_summary_can_be_switched_off(run: Run, flags: list[str], more: dict[str, str]) -> None:
    """Neither the parent nor a child prints a line."""
    assert run(sys.executable, "-c", COUNT, flags=flags, **more).stderr == ""


def test_the_summary_says_why_nothing_was_called(run: Run) -> None:
    """In CI the line explains the mode."""
    assert "mode replay, because CI is set" in run(sys.executable, "-c", COUNT, CI="true").stderr


def test_nested_runs_tell_once(run: Run, launcher: list[str]) -> None:
    """Of a cachy-run in a cachy-run the outer one tells, over all processes."""
    inner = [*launcher, sys.executable, "-c", COUNT]
    done = run(sys.executable, "-c", f"import subprocess\n{COUNT}\nsubprocess.run({inner!r})")
    assert done.stderr.startswith(summary(2, 2))
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", ["spawn", pytest.param("fork", marks=posix), pytest.param("forkserver", marks=posix)]
)
def test_multiprocessing_workers_are_reached(
    run: Run, tmp_path: Path, bare_python: Path, method: str
) -> None:
    """Workers of every start method count, in an environment without cachy."""
    (tmp_path / "work" / "main.py").write_text(
        "import multiprocessing, sys\n"
        "def work(number):\n"
        "    from cachy import tally\n"
        "    tally.count('hit', ms=1)\n"
        "    return sys.modules['cachy._bootstrap'].door\n"
        "if __name__ == '__main__':\n"
        f"    context = multiprocessing.get_context({method!r})\n"
        "    for worker in [context.Process(target=work, args=(n,)) for n in range(2)]:\n"
        "        worker.start(); worker.join(); assert worker.exitcode == 0\n"
    )
    # A short name: forkserver makes a socket in there, whose path has room for 107 bytes.
    with tempfile.TemporaryDirectory(prefix="c") as short:
        done = run(bare_python, "main.py", TMPDIR=short)
    assert (done.returncode, done.stderr[: len(summary(2, 2))]) == (0, summary(2, 2))


@pytest.mark.slow
def test_pytest_xdist_workers_are_reached(run: Run, tmp_path: Path) -> None:
    """The workers of pytest-xdist count, each for itself."""
    pytest.importorskip("xdist")
    (tmp_path / "work" / "test_it.py").write_text(f"def test_it():\n    {COUNT}\n")
    done = run(sys.executable, "-m", "pytest", "-q", "-n2", "--dist=each", "-pno:cacheprovider", "test_it.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert summary(2, 2) in done.stderr


@pytest.mark.slow
def test_a_jupyter_kernel_is_reached(run: Run, tmp_path: Path) -> None:
    """A cell that runs in a kernel counts."""
    pytest.importorskip("ipykernel")
    pytest.importorskip("jupyter_client")
    (tmp_path / "work" / "notebook.py").write_text(
        "from jupyter_client.manager import start_new_kernel\n"
        "manager, client = start_new_kernel(startup_timeout=120)\n"
        f"reply = client.execute_interactive({COUNT!r} + '\\n' + {STARTED!r}, timeout=120)\n"
        "print(reply['content']['status'])\n"
        "client.stop_channels()\n"
        "manager.shutdown_kernel(now=True)\n"
    )
    folders = {
        name: str(tmp_path / name) for name in ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    }
    done = run(sys.executable, "notebook.py", **folders)
    assert done.stdout.split() == ["environment", "ok"], done.stderr
    assert summary(1) in done.stderr


def test_a_zipapp_is_reached(run: Run, bare_python: Path, tmp_path: Path) -> None:
    """A program in a zip file, with the Python of another environment, counts."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__main__.py").write_text(f"{STARTED}\n{COUNT}\n")
    zipapp.create_archive(tmp_path / "app", tmp_path / "app.pyz")
    done = run(bare_python, tmp_path / "app.pyz")
    assert done.stdout == "environment\n"
    assert summary(1) in done.stderr


@pytest.mark.slow
def test_a_target_install_is_reached(
    run: Run, env: dict[str, str], bare_python: Path, tmp_path: Path
) -> None:
    """Where cachy itself lies in a `--target` folder, and its .pth file is not read, cachy-run starts it."""
    wheel = tmp_path / "cachy_run-0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for file in sorted(Path(PACKAGE).rglob("*.py")):
            archive.write(file, Path("cachy", file.relative_to(PACKAGE)))
        archive.writestr("cachy.pth", "import cachy._bootstrap\n")
        archive.writestr(
            "cachy_run-0.dist-info/METADATA", "Metadata-Version: 2.1\nName: cachy-run\nVersion: 0\n"
        )
        archive.writestr(
            "cachy_run-0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("cachy_run-0.dist-info/RECORD", "")
    lib = tmp_path / "lib"
    uv = shutil.which("uv")
    install = (
        [uv, "pip", "install", "--python", bare_python] if uv else [sys.executable, "-m", "pip", "install"]
    )
    subprocess.run([*install, "--quiet", "--no-index", "--no-deps", "--target", lib, wheel], check=True)
    env["PYTHONPATH"] = str(lib)
    plain = subprocess.run([bare_python, "-c", STARTED], env=env, capture_output=True, text=True, check=True)
    assert plain.stdout == "None\n"
    words = [
        bare_python,
        "-c",
        "import sys; from cachy.cli.run import main; sys.exit(main())",
        bare_python,
        "-c",
    ]
    done = subprocess.run(
        [*words, f"{STARTED}\n{COUNT}"], env=env, cwd=tmp_path, capture_output=True, check=True
    )
    assert done.stdout.split() == [b"environment"]
    assert done.stderr.decode().startswith(summary(1))


def test_a_program_that_lacks_our_dependencies_needs_none_of_them(run: Run, bare_python: Path) -> None:
    """All that is loaded in a foreign environment comes from the standard library or from cachy itself."""
    code = (
        "import sys\nfrom cachy import tally, session, settings\n"
        "others = {n: m for n, m in sys.modules.items() if n.partition('.')[0] != 'cachy'}\n"
        "print([n for n, m in others.items() if 'site-packages' in (getattr(m, '__file__', None) or '')])"
    )
    done = run(bare_python, "-c", code)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.slow
def test_calls_in_a_foreign_environment_are_recorded_and_replayed(
    run: Run, env: dict[str, str], bare_python: Path, httpx_only: Path, tmp_path: Path
) -> None:
    """An environment with httpx and without cachy records, and replays when the provider is gone."""
    from cachy.demo import provider

    env["PYTHONPATH"] = str(httpx_only)
    script = tmp_path / "work" / "ask.py"
    shutil.copy(Path(PACKAGE, "demo", "ask.py"), script)
    (tmp_path / "work" / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "0"\n')
    with provider.serving() as url:
        env["OPENAI_BASE_URL"] = url
        first = run(bare_python, "ask.py")
    second = run(bare_python, "ask.py", flags=["--mode", "replay"])
    assert first.stderr == "cachy  2 recorded · cachy.jsonl\n"
    assert second.stderr.startswith("cachy  2 replayed · saved ")
    assert first.stdout == second.stdout != ""
    assert ROOT not in first.stdout
