"""The start-up door: `cachy.pth` imports this module at every start of Python; it decides whether to act.

Only `os` and `sys` are imported here, both of which Python has loaded by then: an inactive start costs a look at
one environment variable and at the folders above the working directory. Nothing here ever raises.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

OFF = ("0", "off", "false", "no")
ON = ("1", "on", "true", "yes", "auto", "replay", "record", "verify")

# What start() found, for those who read the settings later:
# None: not active; "environment": CACHY asked for it; "project": a pyproject.toml may ask for it.
door: "str | None" = None
# The working directory at start-up; None when CACHY switched cachy off or when there was none (deleted).
cwd: "str | None" = None
# The file that opened the door, when it was a project's.
pyproject: "str | None" = None
# What is to be called whenever a session is opened, for those who load nothing of us until then.
when_active: "list[Callable[[], None]]" = []

_LARGEST = 1024 * 1024  # bytes; no pyproject.toml of a person is larger
_started = False


def start() -> None:
    """Decide, once in a process, whether cachy acts, and put the import hook up if so. Never raises.

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


def find_project(folder: str) -> "str | None":
    """The nearest folder upward from `folder` with a `pyproject.toml` or a `.git`, or None.

    The walk ends at the root of the file system and at the home directory, which is no project of its own: it
    is looked at only when `folder` is the home directory itself. Never raises.
    """
    home = os.path.realpath(os.path.expanduser("~"))
    while True:
        for mark in ("pyproject.toml", ".git"):
            # Not os.path's exists and join: the walk is paid at every start, and they cost three times as much.
            if os.access(f"{folder}{os.sep}{mark}", os.F_OK):
                return folder
        parent = os.path.dirname(folder)
        if folder == home or parent in (folder, home):
            return None
        folder = parent


def _decide() -> None:
    global door, cwd, pyproject
    # Read under -E and -I too: those are about PYTHON*, and nobody sets CACHY without meaning it.
    wish = os.environ.get("CACHY", "").strip()
    if wish.lower() in OFF:
        return
    try:
        cwd = os.getcwd()
    except OSError:
        cwd = None
    if wish.lower() in ON:
        door = "environment"
    elif wish:
        shown = wish[:40] if wish.isprintable() else ascii(wish[:40])
        _say(f"CACHY={shown} is not understood; use 1, 0, auto, replay, record, verify")
    elif cwd is not None and not sys.flags.ignore_environment:  # -E or -I: nothing from around the program
        project = find_project(cwd)
        path = os.path.join(project, "pyproject.toml") if project else ""
        if path and names_cachy(path):
            door, pyproject = "project", path


def names_cachy(path: str) -> bool:
    """Whether a `pyproject.toml` may ask for cachy: whether it is a file that holds `[tool.cachy`. Never raises."""
    # Only a glance: whether the file may be obeyed at all (its owner, trust) is asked when it is really read,
    # where the user can be told. Only a regular file (S_IFREG) is opened: a FIFO would block, a link lead elsewhere.
    try:
        status = os.lstat(path)
        if (status.st_mode & 0o170000) != 0o100000 or status.st_size > _LARGEST:
            return False
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
