"""`cachy-run` is as good as not there: status, signals, stdin, descriptors and terminal are the command's."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROOT, Run

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX only")

# Tells when it is ready and which signals came; ends by itself after SIGUSR2.
LISTENER = """
import os, signal, sys, time
done = False
def told(number, frame):
    global done
    os.write(1, signal.Signals(number).name.encode() + b"\\n")  # print is not reentrant
    done = done or number == signal.SIGUSR2
for name in sys.argv[1:]:
    signal.signal(getattr(signal, name), told)
print("ready", flush=True)
while not done:
    time.sleep(0.02)
sys.exit(42)
"""


def start(launcher: list[str], env: dict[str, str], *command: str, **more: Any) -> subprocess.Popen[str]:
    """Start a command under cachy-run and leave it running."""
    return subprocess.Popen(
        [*launcher, *command], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **more
    )


@pytest.mark.parametrize("status", [0, 1, 3, 255])
def test_the_exit_status_is_the_commands(run: Run, status: int) -> None:
    """Whatever status the command ends with, cachy-run ends with it too."""
    assert run(sys.executable, "-c", f"import sys; sys.exit({status})").returncode == status


def test_a_command_that_does_not_exist_is_127(run: Run) -> None:
    """As in a shell, with one line that names the command."""
    done = run("no-such-command-anywhere")
    assert (done.returncode, done.stdout) == (127, "")
    assert done.stderr == f"cachy-run: no-such-command-anywhere: {os.strerror(errno.ENOENT)}\n"


@posix
def test_a_command_that_cannot_be_run_is_126(run: Run, tmp_path: Path) -> None:
    """As in a shell, for a file without the right to be executed."""
    (tmp_path / "data").write_text("no program\n")
    assert run(tmp_path / "data").returncode == 126


@posix
def test_a_script_without_an_interpreter_line_is_run_by_sh(run: Run, tmp_path: Path) -> None:
    """As in a shell."""
    script = tmp_path / "script"
    script.write_text('echo "$1"; exit 5\n')
    script.chmod(0o755)
    done = run(script, "two words")
    assert (done.stdout, done.returncode) == ("two words\n", 5)


def test_stdin_is_the_commands(run: Run) -> None:
    """What is piped into cachy-run is read by the command, to its end."""
    text = "first\nsecond\n" * 5000
    assert (
        run(sys.executable, "-c", "import sys; sys.stdout.write(sys.stdin.read())", stdin=text).stdout == text
    )


@posix
def test_descriptors_are_inherited(launcher: list[str], env: dict[str, str]) -> None:
    """Descriptors that were handed to us, as make and systemd do, are handed on."""
    reader, writer = os.pipe()
    code = f"import os; os.write({writer}, b'through')"
    subprocess.run([*launcher, sys.executable, "-c", code], env=env, pass_fds=[writer], check=True)
    os.close(writer)
    with open(reader, "rb") as pipe:
        assert pipe.read() == b"through"


@posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "SIGSEGV", "SIGPIPE", "SIGINT"])
def test_we_die_of_the_commands_signal(run: Run, name: str) -> None:
    """When a signal kills the command, our caller sees the same signal, and the summary still comes."""
    count = "from cachy import tally; tally.count('hit'); import os, signal; "
    reset = "signal.signal(s, signal.SIG_DFL); " if name not in ("SIGKILL",) else ""
    done = run(sys.executable, "-c", f"{count}s = signal.{name}; {reset}os.kill(os.getpid(), s)")
    assert done.returncode == -getattr(signal, name)
    assert done.stderr.startswith("cachy  1 replayed")


@posix
def test_signals_are_handed_on(launcher: list[str], env: dict[str, str]) -> None:
    """Signals sent to cachy-run reach the command, one by one, and its own end is ours."""
    names = ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGWINCH", "SIGCONT"]
    # What these tests were started to ignore (nohup, a job in the background of a script) is rightly not handed on.
    names = [name for name in names if signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN]
    child = start(launcher, env, sys.executable, "-c", LISTENER, *names, "SIGUSR2")
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    for name in [*names, "SIGUSR2"]:
        child.send_signal(getattr(signal, name))
        assert child.stdout.readline() == f"{name}\n"
    child.communicate()
    assert child.returncode == 42


@posix
def test_a_signal_before_the_command_is_there_is_not_lost(env: dict[str, str]) -> None:
    """What comes in the moment before the command starts is handed on to it."""
    code = (
        f"import os, signal, sys; sys.path.append({ROOT!r}); from cachy.cli import run\n"
        "spawn = run._spawn\n"
        "def late(*args): os.kill(os.getpid(), signal.SIGTERM); return spawn(*args)\n"
        "run._spawn = late\n"
        "sys.exit(run.main(['sleep', '600']))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=env, check=False)
    assert done.returncode == -signal.SIGTERM


@posix
def test_what_nohup_ignores_stays_ignored(launcher: list[str], env: dict[str, str]) -> None:
    """A hang-up that we were told to ignore kills neither us nor the command, which ignores it too."""
    code = "import signal as s, sys; print(s.getsignal(s.SIGHUP) is s.SIG_IGN, flush=True); sys.stdin.read()"
    words = [sys.executable, "-c", code]
    child = start(launcher, env, *words, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    assert child.stdout is not None
    assert child.stdout.readline() == "True\n"
    child.send_signal(signal.SIGHUP)
    child.communicate()
    assert child.returncode == 0


@posix
def test_the_command_starts_with_the_signals_of_a_shell(run: Run) -> None:
    """No signal is blocked in the command, and SIGPIPE, which Python ignores for itself, works."""
    code = "import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    assert run(sys.executable, "-c", code).stdout == "set()\n"
    assert run("sh", "-c", "kill -PIPE $$; echo alive").returncode == -signal.SIGPIPE


@posix
def test_the_terminal_is_the_commands(launcher: list[str], env: dict[str, str]) -> None:
    """The command stands in the terminal's foreground, and Ctrl-C reaches it exactly once."""
    import pty

    code = (
        "import os, signal, sys, time\n"
        "got = []\n"
        "signal.signal(signal.SIGINT, lambda *_: got.append(1))\n"
        "print('tty', os.isatty(0), os.isatty(1), os.tcgetpgrp(0) == os.getpgrp(), flush=True)\n"
        "while not got: time.sleep(0.02)\n"
        "end = time.monotonic() + 0.3\n"  # long enough for a second one to arrive
        "while time.monotonic() < end: time.sleep(0.05)\n"
        "print('interrupts', len(got), flush=True)\n"
        "sys.exit(7)"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(launcher[0], [*launcher, sys.executable, "-c", code], env)
    seen = b""
    interrupted = False
    while True:
        try:
            piece = os.read(terminal, 1024)
        except OSError:  # how Linux says that the other end has been closed
            break
        if not piece:
            break
        seen += piece
        if b"tty" in seen and seen.endswith(b"\n") and not interrupted:
            os.write(terminal, b"\x03")
            interrupted = True
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert b"tty True True True" in seen
    assert b"interrupts 1" in seen
    assert os.waitstatus_to_exitcode(status) == 7


@posix
@pytest.mark.slow
def test_uvicorn_workers_are_reached_and_shut_down(
    launcher: list[str], env: dict[str, str], tmp_path: Path
) -> None:
    """The workers of a server count, and SIGTERM to cachy-run ends the server as it would without us."""
    pytest.importorskip("uvicorn")
    import socket
    import time
    import urllib.request

    (tmp_path / "app.py").write_text(
        "import os, sys\n"
        "async def app(scope, receive, send):\n"
        "    if scope['type'] != 'http': return\n"
        "    from cachy import tally\n"
        "    tally.count('hit', ms=1)\n"
        "    start = {'type': 'http.response.start', 'status': 200, 'headers': []}\n"
        "    await send(start)\n"
        "    await send({'type': 'http.response.body', 'body': str(os.getpid()).encode()})\n"
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [
        sys.executable,
        "-m",
        "uvicorn",
        "app:app",
        "--workers",
        "2",
        "--port",
        str(port),
        "--log-level",
        "error",
    ]
    child = start(launcher, env, *words, cwd=tmp_path, stderr=subprocess.PIPE)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    workers: set[bytes] = set()
    calls = 0
    while len(workers) < 2 and child.poll() is None:
        try:
            with opener.open(f"http://127.0.0.1:{port}/", timeout=30) as answer:
                workers.add(answer.read())
                calls += 1
        except OSError:
            time.sleep(0.05)
    child.terminate()
    _, errors = child.communicate(timeout=60)
    assert f"cachy  {calls} replayed · saved {calls} ms · in 2 processes" in errors
