"""Real starts of Python with the real wheel, in every odd surrounding: the program runs as if we were not there."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from environments import executable, site_packages

from .conftest import Child

pytestmark = pytest.mark.slow
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX only")

# Imports a client as a program would; says on stdout whether its calls are covered, and ends with a status of its own.
IMPORT = (
    "import sys, httpx; print(hasattr(httpx.Client._transport_for_url, '__cachy_original__')); sys.exit(7)"
)
CONNECTS = (
    "import socket, subprocess, sys; socket.getaddrinfo('127.0.0.1', 80);"
    " subprocess.run([sys.executable, '-c', '']); "
)
NOTHING = "import sys; print('ran'); sys.exit(7)"

Around = Callable[[bytes], Path]
TABLE = b"[tool.cachy]\n"


def ran(child: Child, *words: str | Path, **around: str | Path) -> tuple[bool, str]:
    """Whether the client was covered in a child that runs IMPORT, and its stderr. The program must have run."""
    done = child(*words, "-c", IMPORT, **around)  # type: ignore[arg-type]
    assert done.returncode == 7, done.stderr
    assert done.stdout in ("True\n", "False\n")
    return done.stdout == "True\n", done.stderr


# Who asks for it


def test_nobody_asks(child: Child, complete: Path) -> None:
    """Installed only, cachy covers nothing and says nothing."""
    assert ran(child, complete) == (False, "")


def test_the_environment_asks(child: Child, complete: Path) -> None:
    """CACHY=1 before any command covers its client, and is silent as long as nothing is called."""
    assert ran(child, complete, CACHY="1") == (True, "")


def test_the_project_of_the_environment_asks(child: Child, complete: Path, around: Around) -> None:
    """A project whose own .venv runs the program needs no more than its table, in its folders below as well."""
    below = around(TABLE) / "a" / "b"
    below.mkdir(parents=True, exist_ok=True)
    assert ran(child, complete, cwd=below) == (True, "")
    assert ran(child, complete, cwd=below, CACHY="0") == (False, "")
    assert ran(child, complete) == (False, "")  # elsewhere it has no say


def test_a_stranger_asks(child: Child, complete: Path, project: Path) -> None:
    """The file of a project that the interpreter does not belong to covers nothing; one line tells how to allow it."""
    covered, told = ran(child, complete, cwd=project)
    assert not covered
    assert told.startswith(f"cachy: {(project / 'pyproject.toml').resolve()} asks for cachy")
    assert "`cachy trust`" in told
    assert told.count("\n") == 1


def test_a_stranger_is_not_mentioned_before_a_client_is_imported(
    child: Child, complete: Path, project: Path
) -> None:
    """Compilers, formatters and pip start in such folders all the time, and are none of our business; nor when they
    make connections and start children, which the guard watches."""
    done = child(complete, "-c", CONNECTS + NOTHING, cwd=project)
    assert (done.returncode, done.stdout, done.stderr) == (7, "ran\n", "")
    done = child(complete, "-c", CONNECTS + IMPORT, cwd=project)
    assert (done.stdout, done.stderr.count("`cachy trust`")) == ("False\n", 1)


def test_a_trusted_project_asks(child: Child, complete: Path, project: Path) -> None:
    """After `cachy trust` its file counts for every interpreter of the user, until the trust is taken back."""
    assert child(complete, "-m", "cachy", "trust", cwd=project).returncode == 0
    assert ran(child, complete, cwd=project) == (True, "")
    assert child(complete, "-m", "cachy", "trust", "--remove", cwd=project).returncode == 0
    covered, told = ran(child, complete, cwd=project)
    assert (covered, "`cachy trust`" in told) == (False, True)


def test_cachy_init_is_all_that_a_project_needs(child: Child, complete: Path, tmp_path: Path) -> None:
    """It writes the table and trusts the project; the next start is covered."""
    folder = tmp_path / "new"
    folder.mkdir()
    assert ran(child, complete, cwd=folder) == (False, "")
    assert child(complete, "-m", "cachy", "init", cwd=folder).returncode == 0
    assert ran(child, complete, cwd=folder) == (True, "")


def test_the_user_asks_in_a_strangers_folder(child: Child, complete: Path, project: Path) -> None:
    """CACHY=1 is consent: it needs no trust."""
    assert ran(child, complete, cwd=project, CACHY="1") == (True, "")


# Flags of Python


@pytest.mark.parametrize("flag", ["-I", "-E"])
def test_flags_that_keep_surroundings_out(child: Child, complete: Path, around: Around, flag: str) -> None:
    """Under -I and -E no project's file is read; CACHY=1 is not about Python and still counts."""
    folder = around(TABLE)
    assert ran(child, complete, flag, cwd=folder) == (False, "")
    assert ran(child, complete, flag, cwd=folder, CACHY="1") == (True, "")


def test_without_site_there_is_no_cachy(child: Child, complete: Path) -> None:
    """-S reads no .pth file: nothing of ours is loaded, whatever is asked."""
    code = "import sys; print(any(name.startswith('cachy') for name in sys.modules)); sys.exit(7)"
    done = child(complete, "-S", "-c", code, CACHY="1")
    assert (done.returncode, done.stdout, done.stderr) == (7, "False\n", "")


@pytest.mark.parametrize("cachy", ["", "0", "1", "replay"])
def test_python_alone_says_nothing(child: Child, complete: Path, around: Around, cachy: str) -> None:
    """`python -c pass` writes nothing on any stream: installers read what interpreters print."""
    done = child(complete, "-c", "pass", cwd=around(TABLE), CACHY=cachy)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@posix
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(child: Child, complete: Path, tmp_path: Path, closed: str) -> None:
    """A daemon without stdin, stdout or stderr starts, also when there is something to say."""
    code = f"import httpx; open({str(tmp_path / 'ran')!r}, 'w').close(); raise SystemExit(7)"
    for wish in ("1", "nonsense"):
        done = child("sh", "-c", f'exec "$0" -c "$1" {closed}', complete, code, CACHY=wish)
        assert done.returncode == 7
        (tmp_path / "ran").unlink()


# Files and folders


def test_without_a_home_directory(child: Child, complete: Path, around: Around) -> None:
    """No HOME in the environment, as under cron or systemd, changes nothing."""
    gone = ("HOME", "USERPROFILE")
    assert ran(child, complete, cwd=around(TABLE), without=gone) == (True, "")  # type: ignore[arg-type]
    assert ran(child, complete, without=gone, CACHY="1") == (True, "")  # type: ignore[arg-type]


@posix
def test_a_home_that_is_nowhere(child: Child, complete: Path, tmp_path: Path) -> None:
    """A HOME that does not exist is left so; nothing is created before there is something to keep."""
    home = tmp_path / "nowhere"
    assert ran(child, complete, cwd=tmp_path, HOME=str(home), CACHY="1") == (True, "")
    assert not home.exists()


@posix
@pytest.mark.parametrize(
    ("settings", "covered", "told"),
    [
        ({}, False, ""),
        ({"CACHY": "1"}, True, ""),
        ({"CACHY": "1", "CACHY_STORE": "calls.jsonl"}, True, "store must be a full path"),
    ],
)
def test_a_deleted_working_directory(
    child: Child, complete: Path, tmp_path: Path, settings: dict[str, str], covered: bool, told: str
) -> None:
    """A program may start in a folder that is gone; only a setting that is relative to it is lost."""
    gone = tmp_path / "gone"
    gone.mkdir()
    program = tmp_path / "program.py"  # not -c: without us, too, it fails there on 3.13.0 (the path holds "")
    program.write_text(IMPORT)
    leave = "import os, sys; os.rmdir(os.getcwd()); os.execv(sys.argv[1], sys.argv[1:])"
    done = child(sys.executable, "-c", leave, complete, program, cwd=gone, **settings)
    assert (done.returncode, done.stdout) == (7, f"{covered}\n")
    assert told in done.stderr
    assert done.stderr.count("\n") == bool(told)


@posix
def test_site_packages_that_cannot_be_written(
    child: Child, own: Path, bound: list[str], tmp_path: Path
) -> None:
    """Without the right to write bytecode everything works, and nothing is left anywhere."""
    packages = site_packages(own)
    shutil.rmtree(packages / "cachy" / "__pycache__", ignore_errors=True)
    (packages / "httpx.py").write_text("class Client: pass\n")
    folders = [packages, *(path for path in packages.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        code = "import sys; import httpx; print('cachy.hooks' in sys.modules); sys.exit(7)"
        done = child(
            *bound, executable(own), "-c", code, cwd=tmp_path, CACHY="1", without=("PYTHONDONTWRITEBYTECODE",)
        )
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert (done.returncode, done.stdout) == (7, "True\n")
    assert not (packages / "cachy" / "__pycache__").exists()


@pytest.mark.parametrize(
    ("text", "covered", "told"),
    [
        (b"[tool.cachy]\nmode = 'replay'\n", True, ""),
        (b"[tool.cachy]\nmode = 'off'\n", False, ""),
        (b"[tool.cachy]\nenabled = false\n", False, ""),
        (b"text = '''\n[tool.cachy]\n'''\n", False, ""),
        (b"# [tool.cachy]\n", False, ""),
        (b"[tool.cachy.hosts]\n'localhost:8000' = 'openai'\n", True, ""),
        (b"[tool.cachy\n", False, "is not valid TOML"),
        (b"[tool.cachy]\nmode = 'caf\xe9'\n", False, "is not valid TOML"),
        (b"[tool.cachy]\n\x00", False, "is not valid TOML"),
        (b"[tool.cachy]\nx = " + b"[" * 100_000, False, "is not valid TOML"),
        (b"[tool.cachy]\nmode = 3\n", True, "mode must be"),
        (b"[tool.cachy]\nstore = '../elsewhere.jsonl'\n", True, "store must be a path inside the project"),
        (b"[tool.cachy]\nmoode = 'auto'\n", True, "did you mean mode?"),
    ],
)
def test_what_the_file_says(
    child: Child, complete: Path, around: Around, text: bytes, covered: bool, told: str
) -> None:
    """The table decides when the client is imported; a broken one costs a line on stderr and nothing else."""
    result, err = ran(child, complete, cwd=around(text))
    assert result == covered
    assert err.count("\n") == bool(told)
    assert told in err


@posix
def test_a_file_that_cannot_be_read(child: Child, complete: Path, around: Around, bound: list[str]) -> None:
    """What the user may not read asks for nothing, and a folder that may not be looked into is passed by."""
    folder = around(TABLE)
    (folder / "pyproject.toml").chmod(0)
    assert ran(child, *bound, complete, cwd=folder) == (False, "")


# More than one cachy


def test_the_line_runs_twice(child: Child, own: Path) -> None:
    """As it does in every virtual environment; and a second file with the line, left by somebody, changes nothing."""
    shutil.copy(site_packages(own) / "cachy.pth", site_packages(own) / "other.pth")
    code = "import sys; print(sum(type(f).__module__ == 'cachy.hooks' for f in sys.meta_path)); sys.exit(7)"
    done = child(executable(own), "-c", code, CACHY="1")
    assert (done.returncode, done.stdout, done.stderr) == (7, "1\n", "")


def test_two_versions_on_the_path(child: Child, complete: Path, tmp_path: Path) -> None:
    """The first on the path is the one that acts, as a whole."""
    other = tmp_path / "other"
    shutil.copytree(site_packages(complete.parents[1]) / "cachy", other / "cachy")
    with open(other / "cachy" / "__init__.py", "a") as file:
        file.write("\n__version__ = '99'\n")
    code = (
        "import sys, httpx, cachy; ours = [m for n, m in sys.modules.items() if n.partition('.')[0] == 'cachy'];"
        f" print(cachy.__version__, {{m.__file__.startswith({str(other)!r}) for m in ours}},"
        " sum(type(f).__module__ == 'cachy.hooks' for f in sys.meta_path)); sys.exit(7)"
    )
    done = child(complete, "-c", code, CACHY="1", PYTHONPATH=str(other))
    assert (done.returncode, done.stdout, done.stderr) == (7, "99 {True} 1\n", "")


def test_somebody_elses_package_of_that_name(child: Child, complete: Path, tmp_path: Path) -> None:
    """A program with a `cachy` of its own on PYTHONPATH gets its own, and runs."""
    (tmp_path / "cachy.py").write_text("mine = True\n")
    code = "import sys, httpx, cachy; print(cachy.mine); sys.exit(7)"
    done = child(complete, "-c", code, CACHY="1", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (7, "True\n")


def test_a_half_uninstalled_cachy(child: Child, own: Path) -> None:
    """Where the package is gone and its line stays, or its files are damaged, the program runs."""
    package = site_packages(own) / "cachy"
    (package / "hooks.py").write_text("def broken(:\n")
    done = child(executable(own), "-c", NOTHING, CACHY="1")
    assert (done.returncode, done.stdout) == (7, "ran\n")
    assert done.stderr.startswith("cachy: not active, its start-up failed (SyntaxError")
    assert done.stderr.count("\n") == 1
    shutil.rmtree(package)
    done = child(executable(own), "-c", NOTHING, CACHY="1")
    assert (done.returncode, done.stdout) == (7, "ran\n")
