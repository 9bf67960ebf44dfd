"""Child programs that cachy does not reach, told where that can be seen: `subprocess.Popen` is watched by the guard.

Told is only what most likely calls a provider: a program that is given a provider's URL, or a key that this process
itself does not have in its environment; an agent's command line known to call models; a Python that is given a key and
an environment without CACHY. Nearly every child inherits an API key and hardly any uses it, so anything more would cry
wolf. For the same reason nothing is counted, and nothing refused in replay mode: words on a command line are no call.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .culprit import find
from .notices import say_once
from .providers import Registry, known
from .providers.hosts import address

if TYPE_CHECKING:
    from .session import Session

_AGENTS = frozenset(("claude", "codex", "copilot", "gemini", "opencode"))
_told: set[str] = set()


def started(words: Any, executable: Any, env: Any) -> None:
    """Tell once of each program, if there is something to tell. Raises nothing but what a strange `env` raises."""
    line = _words(words)
    program = os.path.basename(str(executable or (line[0] if line else ""))).lower().removesuffix(".exe")
    may_matter = env is not None or program in _AGENTS or any("://" in word for word in line)
    if not may_matter or program in _told:
        return
    from . import session as sessions

    session = sessions.guarding()
    why = session and _out_of_reach(program, line, env, session)
    if why:
        _told.add(program)
        by = find()
        where = f" (started at {by.line})" if by.line else ""
        say_once(f"{program}{where} {why}; what it calls is neither recorded nor replayed")


def _out_of_reach(program: str, line: Sequence[str], env: Mapping[str, str] | None, session: Session) -> str:
    given = {name for provider in known() for name in provider.key_env if env and name in env}
    if program.startswith(("python", "pypy")):
        lost = env is not None and "CACHY" in os.environ and "CACHY" not in env
        return f"was given {min(given)} and an environment without CACHY" if given and lost else ""
    if program in _AGENTS:
        return "calls models in a process that cachy cannot see into"
    if host := _provider_in(line, session.registry):
        return f"was given a URL of {host}, and is no Python program"
    new = {name for name in given if env is not None and env[name] != os.environ.get(name)}
    return f"was given {min(new)}, and is no Python program" if new else ""


def _provider_in(line: Iterable[str], registry: Registry) -> str:
    for word in line:
        if "://" in word:
            try:
                host, port = address(word.rpartition("=")[2] if "=" in word.partition("://")[0] else word)
            except ValueError:
                continue
            if host and registry.expects(host, port or 443):
                return host
    return ""


def _words(words: Any) -> list[str]:
    if isinstance(words, (str, bytes, os.PathLike)):
        text = os.fsdecode(words)
        try:
            return shlex.split(text)
        except ValueError:  # quotes of another shell
            return text.split()
    # Nothing that reading would use up.
    return [os.fsdecode(word) for word in words] if isinstance(words, (list, tuple)) else []
