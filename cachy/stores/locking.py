"""One advisory lock on an open file, on every system."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

if sys.platform == "win32":
    import msvcrt

    _FAR = 0x7FFF_0000  # a byte that no recording reaches: Windows locks are mandatory for those who read there

    @contextmanager
    def locked(descriptor: int) -> Iterator[None]:
        """Hold the file alone among all processes that ask."""
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
        try:
            yield
        finally:
            os.lseek(descriptor, _FAR, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    try:
        import fcntl
    except ImportError:  # a system without it (Emscripten): one process, nothing to lock against
        fcntl = None  # type: ignore[assignment]

    @contextmanager
    def locked(descriptor: int) -> Iterator[None]:
        """Hold the file alone among all processes that ask.

        On a file system without locks (some network mounts) it holds nothing; a line is still written with one
        `write` on an `O_APPEND` descriptor.
        """
        held = False
        if fcntl is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                held = True
            except OSError:
                pass
        try:
            yield
        finally:
            if held:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
