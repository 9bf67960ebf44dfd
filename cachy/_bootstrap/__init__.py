"""The start-up door: `cachy.pth` imports this module at every start of Python; it decides whether to act.

Only `os` and `sys` are imported here, both of which Python has loaded by then: an inactive start costs a look at
one environment variable and at the folders above the working directory. Nothing here ever raises.
"""

import os
import sys

OFF = ("0", "off", "false", "no")
ON = ("1", "on", "true", "yes", "auto", "replay", "record")

door: "str | None" = (
    None  # None: not active; "environment": CACHY asked for it; "project": a pyproject.toml may ask for it
)
cwd: "str | None" = None  # the working directory at start-up, None when it was gone
pyproject: "str | None" = None  # the file that opened the door, when it was a project's

_LARGEST = 1024 * 1024  # bytes; no pyproject.toml of a person is larger
_started = False


def start() -> None:
    """Decide, once in a process, whether cachy acts, and put the import hook up if so.

    Takes no argument and returns nothing, so that a `.start` file (PEP 829) can name it.
    """
    global _started
    if _started:
        return
    _started = True
    try:
        _decide()
        if door is not None:
            from cachy import hooks

            hooks.install()
    except Exception as problem:  # noqa: BLE001 - whatever is wrong with us, the user's program starts
        _say(f"not active, its start-up failed ({type(problem).__name__}: {problem})")


def _decide() -> None:
    global door, cwd, pyproject
    wish = os.environ.get("CACHY", "").strip().lower()
    if wish in OFF:
        return
    try:
        cwd = os.getcwd()
    except OSError:
        cwd = None
    if wish in ON:
        door = "environment"
    elif wish:
        _say(f"CACHY={wish[:40]} is not understood; use 1, 0, auto, replay or record")
    elif cwd is not None and not (sys.flags.isolated or sys.flags.ignore_environment):
        # -I and -E ask for no configuration from around the program.
        pyproject = _find(cwd)
        if pyproject is not None:
            door = "project"


def _find(folder: str) -> "str | None":
    """The nearest pyproject.toml upward, when it has a table for cachy. The walk ends where a project must end:
    at a repository's root, at the home directory (whose own file belongs to no project), at the file system's root."""
    home = os.path.expanduser("~")
    while True:
        path = os.path.join(folder, "pyproject.toml")
        try:
            status = os.lstat(path)
        except OSError:
            pass
        else:
            return path if _names_cachy(path, status) else None
        parent = os.path.dirname(folder)
        if parent in (folder, home) or os.path.exists(os.path.join(folder, ".git")):
            return None
        folder = parent


def _names_cachy(path: str, status: os.stat_result) -> bool:
    # A regular file (S_IFREG), no link, FIFO or device: opening those may block or lead elsewhere.
    if (status.st_mode & 0o170000) != 0o100000 or status.st_size > _LARGEST:
        return False
    try:
        with open(path, "rb", 0) as file:
            return b"[tool.cachy" in file.read(_LARGEST)
    except OSError:
        return False


def _say(text: str) -> None:
    try:
        sys.stderr.write(f"cachy: {text}\n")
    except Exception:  # noqa: BLE001 - stderr may be closed or None
        pass


start()
