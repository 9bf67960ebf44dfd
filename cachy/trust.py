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
        folder = make("cachy", appauthor=False)
    except ImportError:  # an environment of somebody else, reached by cachy-run
        base = os.environ.get(f"XDG_{kind.upper()}_HOME") or os.path.join(os.path.expanduser("~"), f".{kind}")
        folder = os.path.join(base, "cachy")
    except Exception:  # noqa: BLE001 - no home directory: platformdirs raises RuntimeError or KeyError
        return None
    # Without a home directory it may begin with a literal "~", which is nobody's folder.
    return folder if os.path.isabs(folder) else None


def is_trusted(project: str) -> bool:
    """Whether the file of `project` (a directory) may switch cachy on by itself."""
    if inside(sys.prefix, project):
        return True
    try:
        return _real(project) in _listed()
    except OSError:
        return False


def trust(project: str) -> str:
    """Trust `project` from now on; the file that remembers it. Raises OSError."""
    root = _real(project)
    if "\n" in root:  # one path a line: the rest of this one would be a second project
        raise OSError("a path with a line break cannot be remembered")
    return _write(_listed() | {root})


def distrust(project: str) -> bool:
    """Forget a trusted project; whether it was one. Raises OSError."""
    listed = _listed()
    root = _real(project)
    if root not in listed:
        return False
    _write(listed - {root})
    return True


def inside(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or lies below it, once all symbolic links are followed."""
    root = _real(folder)
    return _real(path) == root or _real(path).startswith(root.rstrip(os.sep) + os.sep)


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


def is_mine(status: os.stat_result) -> bool:
    """Whether a file or folder is the user's own, and not everybody's to write. On Windows it always is: there the folders
    of a user are closed to others."""
    return not hasattr(os, "getuid") or (status.st_uid == os.getuid() and not status.st_mode & stat.S_IWOTH)


def _real(path: str) -> str:
    return os.path.normcase(os.path.realpath(path))


def _list_path() -> str:
    folder = user_folder("config")
    if folder is None:
        raise OSError("there is no home directory to remember it in")
    return os.path.realpath(os.path.join(folder, "trusted"))  # people link their settings into a repository


def _listed() -> set[str]:
    # Not to be read for another reason than that it does not exist: an error, or writing would forget the rest.
    try:
        with open(_list_path(), encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            return {line.rstrip("\n") for line in file if line.strip()}
    except FileNotFoundError:
        return set()


def _write(projects: set[str]) -> str:
    path = _list_path()
    os.makedirs(os.path.dirname(path), exist_ok=True)
    descriptor, aside = tempfile.mkstemp(dir=os.path.dirname(path))
    try:
        with open(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            file.writelines(f"{project}\n" for project in sorted(projects))
        os.replace(aside, path)
    except BaseException:
        os.unlink(aside)
        raise
    return path


def default_store(project: str | None, here: str | None, warnings: list[str]) -> str:
    """Where recordings lie when nobody says it: inside the project, or beside the program if there are some already,
    or in the user's own folder."""
    if project is not None:
        path = os.path.join(project, "cachy.jsonl")
        if inside(path, project):
            return path
        warnings.append(f"{path} leads out of the project and is not used; set CACHY_STORE to where it leads")
        here = None
    beside = os.path.join(here or "", "cachy.jsonl")
    folder = user_folder("cache")
    if folder is None or (here and os.path.exists(beside)):
        return beside
    return os.path.join(folder, "cachy.jsonl")
