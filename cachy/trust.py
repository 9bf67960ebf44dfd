"""Whether a project's own file may switch cachy on: only where the user has shown that the project is theirs.

`CACHY=1` and `cachy-run` are consent by themselves. Without them, a file in the working directory could feed
answers written by a stranger to a program that is started there; so it counts only when the interpreter's
environment lies inside the project, or when the user trusted the project once (`cachy trust`, `cachy init`).
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile

LARGEST = 1024 * 1024
"""Bytes above which a file is not taken for somebody's pyproject.toml."""


def user_folder(kind: str) -> str | None:
    """The user's `config` or `cache` folder for cachy, or None when there is no home. It need not exist."""
    try:
        import platformdirs

        make = platformdirs.user_config_dir if kind == "config" else platformdirs.user_cache_dir
        return make("cachy", appauthor=False)
    except ImportError:  # an environment of somebody else, reached by cachy-run
        home = os.path.expanduser("~")
        if home == "~":
            return None
        base = os.environ.get(f"XDG_{kind.upper()}_HOME") or os.path.join(home, f".{kind}")
        return os.path.join(base, "cachy")
    except Exception:  # noqa: BLE001 - no home directory: platformdirs raises RuntimeError or KeyError
        return None


def is_trusted(project: str) -> bool:
    """Whether the file of `project` (a directory) may switch cachy on by itself."""
    root = os.path.realpath(project)
    return _inside(os.path.realpath(sys.prefix), root) or root in _listed()


def trust(project: str) -> str:
    """Trust `project` from now on; the file that remembers it. Raises OSError."""
    return _write(_listed() | {os.path.realpath(project)})


def distrust(project: str) -> bool:
    """Forget a trusted project; whether it was one. Raises OSError."""
    listed = _listed()
    root = os.path.realpath(project)
    if root not in listed:
        return False
    _write(listed - {root})
    return True


def suspicion(path: str) -> str | None:
    """Why a configuration file is not to be read, or None: it must be a plain file of the user's."""
    try:
        status = os.lstat(path)
    except OSError as problem:
        return f"cannot be read ({problem.strerror})"
    if stat.S_ISLNK(status.st_mode):
        return "is a symbolic link"
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file"
    if status.st_size > LARGEST:
        return "is larger than 1 MiB"
    if hasattr(os, "getuid"):
        if status.st_mode & stat.S_IWOTH:
            return "can be written by everybody"
        try:
            environment_owner = os.stat(sys.prefix).st_uid
        except OSError:
            environment_owner = 0
        if status.st_uid not in (os.getuid(), 0, environment_owner):
            return "belongs to another user"
    return None


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _list_path() -> str | None:
    folder = user_folder("config")
    return os.path.join(folder, "trusted") if folder else None


def _listed() -> set[str]:
    path = _list_path()
    try:
        with open(path or os.devnull, encoding="utf-8") as file:
            return {line.rstrip("\n") for line in file if line.strip()}
    except (OSError, UnicodeDecodeError):
        return set()


def _write(projects: set[str]) -> str:
    path = _list_path()
    if path is None:
        raise OSError("there is no home directory to remember it in")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    descriptor, aside = tempfile.mkstemp(dir=os.path.dirname(path))
    with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{project}\n" for project in sorted(projects))
    os.replace(aside, path)
    return path
