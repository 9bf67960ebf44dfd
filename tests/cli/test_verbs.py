"""What all verbs share: help, guesses, completion, git's diffs; and what `init` adds beyond the settings."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cli.conftest import Run

from cachy.cli import VERBS, ci, main, talk

posix = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(run: Run, verb: str) -> None:
    """Status 0, on stdout, under its own name."""
    status, out, err = run(verb, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"usage: {'cachy-run' if verb == 'run' else f'cachy {verb}'}")
    assert max(map(len, out.splitlines())) <= 110


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["serach", "x"], "did you mean `cachy search`?"),
        (["ls", "--provder", "openai"], "did you mean --provider?"),
        (["prune", "--unsued"], "did you mean --unused?"),
        (["run", "--stroe", "x", "true"], "did you mean --store?"),
        (["config", "--jsn"], "did you mean --json?"),
    ],
)
def test_a_slip_is_guessed(store: Path, run: Run, typed: list[str], told: str) -> None:
    """Of verbs and of options; status 2, and nothing is done."""
    status, out, err = run(*typed)
    assert (status, out) == (2, "")
    assert told in err


def test_what_is_like_nothing_gets_no_guess(store: Path, run: Run) -> None:
    """`--json` is no slip for `--store`."""
    assert "did you mean" not in run("config", "--store", "x")[2]


@pytest.mark.parametrize("limit", ["-1", "x", "1.5", ""])
def test_a_wrong_number_is_told(store: Path, run: Run, limit: str) -> None:
    """In one line that names the option, and guesses at no other one."""
    status, out, err = run("ls", "--limit", limit)
    assert (status, out) == (2, "")
    assert err.endswith(f"cachy ls: error: argument --limit: a number such as 10, not {limit!r}\n")


def test_completion(store: Path, run: Run, keys: dict[str, str]) -> None:
    """Verbs, options of the verb, keys of the store; silence where nothing is known."""
    assert run("--complete", "se")[1].split() == ["search"]
    assert set(run("--complete", "")[1].split()) == set(VERBS)
    assert run("--complete", "ls", "--pro")[1].split() == ["--provider"]
    assert run("--complete", "show", keys["chat"][:3])[1].split() == [keys["chat"][:8]]
    assert run("--complete", "diff", keys["chat"], "@")[1].split() == ["@last"]
    assert run("--complete", "show", "--store", "nowhere.jsonl", "") == (0, "\n", "")
    assert run("--complete", "nonsense", "--") == (0, "\n", "")


@posix
@pytest.mark.slow
def test_completion_in_a_real_shell(store: Path, keys: dict[str, str]) -> None:
    """Bash runs the script, and fills in what was begun."""
    script = (
        'source <(cachy completion bash); COMP_WORDS=(cachy show "$1"); COMP_CWORD=2; _cachy; echo "${COMPREPLY[@]}";'
        "complete -p cachy"
    )
    environ = {**os.environ, "PATH": os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]}
    shown = subprocess.run(
        ["bash", "-c", script, "bash", keys["ollama"][:2]],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.splitlines() == [keys["ollama"][:8], "complete -o default -F _cachy cachy"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_scripts_are_valid(run: Run, shell: str, tmp_path: Path) -> None:
    """As far as the shell itself can tell."""
    if not shutil.which(shell):
        pytest.skip(f"needs {shell}")
    (tmp_path / "script").write_text(run("completion", shell)[1], "utf-8")
    subprocess.run([shell, "-n", str(tmp_path / "script")], check=True)


# On a terminal


@posix
def test_what_a_person_sees_and_types(
    store: Path, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a real pseudo-terminal: colours, lines that fit, a question, and a no that is taken for one."""
    import pty

    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    pid, terminal = pty.fork()
    if not pid:
        os.execv(sys.executable, [sys.executable, "-m", "cachy", "rm", keys["picture"]])
    shown = b""
    try:
        while piece := os.read(terminal, 4096):
            shown += piece
            if shown.endswith(b"[y/N] "):
                os.write(terminal, b"n\n")
    except OSError:  # how Linux tells that the other side is closed
        pass
    finally:
        os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    rows = shown.decode().splitlines()
    assert rows[0].startswith(f"\x1b[33m{keys['picture'][:8]}\x1b[0m")
    assert rows[0].endswith("…")
    assert len(rows[0]) - len("\x1b[33m\x1b[0m") == 80
    assert "delete it from cachy.jsonl? [y/N] " in shown.decode()
    assert len(store.read_bytes().splitlines()) == len(keys)


@posix
@pytest.mark.slow
@pytest.mark.parametrize("seen", [True, False], ids=["terminal", "pipe"])
def test_a_terminal_without_the_signs(
    store: Path, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch, seen: bool
) -> None:
    """What it cannot show is a question mark there; what a program reads is whole, in UTF-8."""
    import pty

    question = "Größe \N{SNOWMAN}?"
    store.write_bytes(store.read_bytes().replace(b"What is a whale?", question.encode()))
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    key = keys["chat"]

    def shown(*argv: str) -> bytes:
        command = [sys.executable, "-m", "cachy", *argv]
        if not seen:
            return subprocess.run(command, capture_output=True, check=True).stdout
        ours, theirs = pty.openpty()
        with subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE) as child:
            os.close(theirs)
            out = b""
            try:
                while piece := os.read(ours, 4096):
                    out += piece
            except OSError:  # how Linux tells that the other side is closed
                pass
            os.close(ours)
            assert child.stderr is not None
            told = child.stderr.read().decode()
        assert child.returncode == 0, told
        return out

    for argv in (["ls"], ["show", key], ["search", "snowman|gr", "--regex"]):
        assert b"Gr??e ??" in shown(*argv)
    assert b" ######" in shown("stats").replace(b"\x1b[36m", b"")
    for argv in (["show", key, "--curl"], ["textconv", "cachy.jsonl"], ["export", "--format", "vcr"]):
        assert question.encode() in shown(*argv)


@pytest.mark.parametrize(
    ("text", "size", "shown"),
    [
        ("What is a whale?", 16, "What is a whale?"),
        ("What is a whale?", 15, "What is a whal…"),
        ("什么是鲸鱼", 10, "什么是鲸鱼"),
        ("什么是鲸鱼", 9, "什么是鲸…"),
        ("什么是鲸鱼", 8, "什么是…"),
        ("cafe\N{COMBINING ACUTE ACCENT}s", 5, "cafe\N{COMBINING ACUTE ACCENT}s"),
        ("whale", 1, "…"),
        ("鲸", 1, "…"),
    ],
)
def test_what_is_cut_fits(text: str, size: int, shown: str) -> None:
    """In columns of a terminal, of which some signs take two and some none."""
    assert talk.cut(text, size) == shown


def test_a_bar_for_what_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before its time, not where nobody looks; gone before anything else is said."""

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    clock = iter(range(1000))
    monkeypatch.setattr(talk, "_clock", lambda: next(clock) * 0.3)
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    seen = []
    for item in talk.progress(range(20), 20, "Counting"):
        seen.append(item)
        if item == 1:
            assert screen.getvalue() == ""
        if item == 10:
            talk.say("a word in between")
    assert seen == list(range(20))
    assert "Counting" in screen.getvalue()
    assert "a word in between\n" in screen.getvalue()
    assert talk._bar is None
    quiet = io.StringIO()
    monkeypatch.setattr(sys, "stderr", quiet)
    assert list(talk.progress(range(20), 20, "Counting")) == seen
    assert quiet.getvalue() == ""


@pytest.mark.parametrize(
    ("argv", "pager", "shown"),
    [
        (["search", "nothing-here"], False, True),
        (["search", "nothing-here"], True, False),
        (["search", "nothing-here", "--json"], False, False),
        (["ls", "--model", "none"], False, True),
        (["rekey", "--dry-run"], True, True),
    ],
)
def test_what_finds_nothing_for_long_has_a_bar(
    store: Path, monkeypatch: pytest.MonkeyPatch, argv: list[str], pager: bool, shown: bool
) -> None:
    """But not into the screen of a pager, nor into JSON."""

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    clock = iter(range(10_000))
    monkeypatch.setattr(talk, "_clock", lambda: next(clock) * 0.3)
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(sys, "stdout", io.StringIO() if pager else Screen())
    assert main(argv) == 0
    assert ("Looking" in screen.getvalue()) is shown
    assert talk._bar is None


# init


@pytest.mark.parametrize("service", ci.SERVICES)
@pytest.mark.parametrize("below", [(), ("services", "a b")], ids=["repository", "folder"])
@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_a_job_for_ci(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch, service: str, below: tuple[str, ...]
) -> None:
    """Where the service looks for it, whole YAML that runs in the project; what is there already is not touched."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    subprocess.run(["git", "init", "-q"], check=True)
    inner = project.joinpath(*below)
    inner.mkdir(parents=True, exist_ok=True)
    (inner / "pyproject.toml").touch()
    monkeypatch.chdir(inner)
    name, job = ci.SERVICES[service]
    written = project / name
    status, out, err = run("init", "--ci", service)
    assert (status, out) == (0, "")
    assert "cachy.yml written; " in err or ".gitlab-ci.yml written; " in err
    text = written.read_text("utf-8")
    assert (text == job) == (not below)
    tests = yaml.safe_load(text)["tests"] if service == "gitlab" else yaml.safe_load(text)["jobs"]["tests"]
    if below and service == "gitlab":
        assert tests["script"].pop(0) == "cd 'services/a b'"
    elif below:
        assert tests["defaults"] == {"run": {"working-directory": "services/a b"}}
    steps = tests["script"] if service == "gitlab" else [step.get("run") for step in tests["steps"]][2:]
    assert steps[0].startswith("pip install ")
    assert "has its job already" in run("init", "--ci", service)[2]
    written.write_text("own: job\n", "utf-8")
    status, out, err = run("init", "--ci", service)
    assert (status, out) == (0, text)
    assert "is there already; what it needs is this:" in err
    assert written.read_text("utf-8") == "own: job\n"


@posix
@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_git_shows_conversations(store: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `cachy init --git-diff` a real `git diff` tells of messages, not of JSON; again changes nothing."""
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"])
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(store.parent.parent))
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")
    assert run("init", "--git-diff")[0] == 2
    subprocess.run(["git", "init", "-q"], check=True)
    for _ in range(2):
        assert run("init", "--git-diff")[0] == 0
        assert (
            Path(".gitattributes").read_text("utf-8")
            == "cachy.jsonl merge=union eol=lf\ncachy.jsonl diff=cachy\n"
        )
    lines = store.read_bytes().splitlines(keepends=True)
    store.write_bytes(b"".join(lines[:2]))
    subprocess.run(["git", "add", "."], check=True)
    store.write_bytes(b"".join(lines[:3]))
    shown = subprocess.run(["git", "diff"], capture_output=True, encoding="utf-8", check=True).stdout
    assert '+  → weather({"city": "Zürich 3"})' in shown
    assert '{"key"' not in shown


def test_textconv_of_nothing(project: Path, run: Run) -> None:
    """A file that is not there is an error, and no empty conversation."""
    assert run("textconv", "none.jsonl") == (
        2,
        "",
        "cachy: there are no recordings: none.jsonl does not exist\n",
    )


def test_textconv_is_the_same_tomorrow(store: Path, run: Run) -> None:
    """No age and no price in it; a damaged line is named and the rest is shown."""
    lines = store.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"status":200', b'"status":2xx')
    store.write_bytes(b"".join(lines[:3]))
    out = run("textconv", "cachy.jsonl")[1]
    assert "(now)" not in out
    assert "est." not in out
    assert out.count("damaged") == 1
    assert out.count("\nassistant\n") == 2
