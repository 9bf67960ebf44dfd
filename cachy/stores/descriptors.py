"""Whether the files of an SQLite connection are still its own.

A daemon closes every descriptor it finds open, and the numbers are given to what it opens next. SQLite does not notice:
it would write into the program's files, and close them. On Windows it holds handles, which nobody can close so.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress

from . import which_file

_left: list[sqlite3.Connection] = []


class Witness:
    """A descriptor that lives as long as those of a connection made right after it, and is closed with them by a
    program that closes all."""

    __slots__ = ("_facts", "_fd")

    def __init__(self) -> None:
        self._fd = -1
        self._facts = (0, 0)
        with suppress(OSError):
            if os.name != "nt":
                self._fd = os.open("/", os.O_RDONLY | os.O_CLOEXEC)
                self._facts = which_file(os.fstat(self._fd))

    @property
    def intact(self) -> bool:
        """Whether nobody has closed it; also true where there is none."""
        try:
            return self._fd < 0 or which_file(os.fstat(self._fd)) == self._facts
        except OSError:
            return False

    def close(self) -> None:
        """It is needed no longer. May be called again."""
        if self._fd >= 0 and self.intact:
            os.close(self._fd)
        self._fd = -1


def leave(connection: sqlite3.Connection) -> None:
    """Never use or close a connection again, nor have Python close it at the end of the program: it is a parent
    process's (https://sqlite.org/howtocorrupt.html#_carrying_an_open_database_across_a_fork_), or has lost its files."""
    _left.append(connection)
    with suppress(Exception):  # there are Pythons without ctypes
        import ctypes

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
