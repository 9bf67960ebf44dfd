"""A store of one file per recording, which git merges clean with no attributes at all, also on a server.

    cachy/5f/5f17331ab....rec       a line of facts, then the body of the answer as it is
    cachy/pycachy/0123abcd.rec      a line of pycachy
    cachy/.gitattributes            keeps git from changing line ends, as bodies are bytes, and from making one answer
                                    of two when it merges

A file is written aside and renamed, so it is whole or not there; there is no lock and no index. The first line is the
line of a recording (see `cachy.recording`) with `"size"`, the bytes of the body, in the place of the body.
"""

from __future__ import annotations

import base64
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from threading import RLock

from ..clocks import utc_ns as _now
from ..legacy import LINE
from ..recording import provider_of
from . import StoreError, absolute, cannot, check

KEY = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}")
PYCACHY = "pycachy"
SHARD = re.compile(r"[0-9a-f]{2}|" + PYCACHY)
END = ".rec"
_ASIDE = ".aside"
_STALE = 3600  # seconds after which a file aside is one of a writer that was killed
_BESIDE = {".gitattributes": b"* -text -merge\n", ".gitignore": b"/.aside/\n"}
_ANSWER = b',"response":{'
_SIZE = re.compile(rb',"size":(\d+)\}\}$')
_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_numbers = count()
_latest = 0  # the time of the newest file of this process
_lock = RLock()


def _after_fork() -> None:
    global _lock
    _lock = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class FolderStore:
    """Recordings in a folder. Safe to use from many threads and many processes at once, and after a fork."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """`path` of the folder; a relative one keeps the meaning it has now. Raises StoreError."""
        self.url = os.fspath(path)
        self._path = absolute(self.url)
        self._begun = False
        self._met: dict[str, str] = {}
        """The provider of each recording whose file was looked into."""
        self._broken: dict[str, str] = {}

    def get(self, key: str) -> bytes | None:
        """The line recorded under `key`, or None. Raises StoreError.

        Of a damaged file what there is of its first line: whoever parses it sees the damage and can tell.
        """
        data = self._read(key)
        if self._broken:
            self._broken.pop(key, None)
        if data is None:
            return None
        try:
            return to_line(data)
        except ValueError as problem:
            self._broken[key] = str(problem)
            return data.partition(b"\n")[0]

    def put(self, key: str, line: bytes) -> None:
        """Write the file of `key` anew. Raises StoreError, else ValueError."""
        check(key, line)
        data = to_file(line)
        try:
            self._begin()
            self._write(self._file(key), data)
        except OSError as problem:
            raise cannot(self.url, "written", problem) from problem
        self._met.pop(key, None)
        self._broken.pop(key, None)

    def delete(self, key: str) -> bool:
        """Remove the file of `key`; whether there was one. Raises StoreError."""
        if not KEY.fullmatch(key):
            return False
        try:
            os.unlink(self._file(key))
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as problem:
            raise cannot(self.url, "written", problem) from problem
        return True

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Every (key, line), by the time of its file, oldest first. Raises StoreError."""
        return self._lines(sorted(self._dated()))

    def __reversed__(self) -> Iterator[tuple[str, bytes]]:
        """Every (key, line), newest first. Raises StoreError."""
        return self._lines(sorted(self._dated(), reverse=True))

    def _lines(self, dated: list[tuple[int, str]]) -> Iterator[tuple[str, bytes]]:
        for _, key in dated:
            line = self.get(key)
            if line is not None and key not in self._broken:
                yield key, line

    def all_keys(self) -> Iterator[str]:
        """Every key that has a file. Raises StoreError."""
        return (key for key, _ in self._entries())

    def __len__(self) -> int:
        """How many files there are. Raises StoreError."""
        return sum(1 for _ in self._entries())

    @property
    def legacy(self) -> bool:
        """Whether it holds any recording of pycachy. Raises StoreError."""
        try:
            return bool(os.listdir(os.path.join(self._path, PYCACHY)))
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as problem:
            raise cannot(self.url, "read", problem) from problem

    @property
    def providers(self) -> frozenset[str]:
        """Names of the providers of its recordings. Each file is looked into once. Raises StoreError."""
        met = {}
        for key, entry in self._entries():
            name = self._met.get(key)
            if name is None:
                try:
                    with open(entry.path, "rb", buffering=0) as file:
                        name = provider_of(file.read(256))
                except OSError:
                    continue  # gone meanwhile
            met[key] = name
        self._met = met
        return frozenset(filter(None, met.values()))

    @property
    def problems(self) -> str | None:
        """The damaged files among those that were read so far, in one line; or None. Raises StoreError."""
        for key in list(self._broken):
            self.get(key)  # which may have been mended meanwhile
        for key, what in list(self._broken.items()):
            number = len(self._broken)
            more = f" (and {number - 1} more)" if number > 1 else ""
            return f"{self.url}: {os.path.relpath(self._file(key), self._path)} {what}{more}; delete it"
        return None

    def close(self) -> None:
        """Nothing is held open."""

    # Files

    def _file(self, key: str) -> str:
        return f"{self._path}{os.sep}{shard_of(key)}{os.sep}{key}{END}"

    def _read(self, key: str) -> bytes | None:
        if not KEY.fullmatch(key):
            return None
        try:
            with open(self._file(key), "rb", buffering=0) as file:
                return file.read()
        except FileNotFoundError:
            return None
        except NotADirectoryError as problem:
            raise StoreError(f"{self.url} is not a folder; set CACHY_STORE to another path") from problem
        except OSError as problem:
            raise cannot(self.url, "read", problem) from problem

    def _entries(self) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Each recording's key and file, in no order."""
        try:
            with os.scandir(self._path) as shards:
                folders = [shard.path for shard in shards if SHARD.fullmatch(shard.name)]
            for folder in folders:
                with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as files:
                    for entry in files:
                        key, end = os.path.splitext(entry.name)
                        if end == END and KEY.fullmatch(key) and entry.is_file():
                            yield key, entry
        except FileNotFoundError:
            return
        except NotADirectoryError as problem:
            raise StoreError(f"{self.url} is not a folder; set CACHY_STORE to another path") from problem
        except OSError as problem:
            raise cannot(self.url, "read", problem) from problem

    def _dated(self) -> Iterator[tuple[int, str]]:
        for key, entry in self._entries():
            try:
                # Not what the entry remembers: on Windows that is of another moment.
                yield os.stat(entry.path).st_mtime_ns, key
            except OSError:
                pass  # deleted meanwhile

    def _begin(self) -> None:
        """Make the folder, unless it is somebody else's. Raises StoreError, OSError."""
        if self._begun:
            return
        try:
            there = os.listdir(self._path)
        except FileNotFoundError:
            there = []
        ours = any(SHARD.fullmatch(name) for name in there)
        if not ours and not all(name.startswith(".git") or name == _ASIDE for name in there):
            raise StoreError(f"{self.url} is not a folder of recordings; set CACHY_STORE to another path")
        aside = os.path.join(self._path, _ASIDE)
        os.makedirs(aside, exist_ok=True)
        for name, content in _BESIDE.items():
            if name not in there:
                with suppress(FileExistsError), open(os.path.join(self._path, name), "xb") as file:
                    file.write(content)
        with os.scandir(aside) as left:
            for entry in left:
                with suppress(OSError):
                    if entry.stat().st_mtime < _now() / 1e9 - _STALE:
                        os.unlink(entry.path)
        self._begun = True

    def _write(self, path: str, data: bytes) -> None:
        global _latest
        aside = os.path.join(self._path, _ASIDE, f"{os.getpid()}-{next(_numbers)}-{_now():x}")
        for last in (False, True):
            try:
                fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
                break
            except FileNotFoundError:  # somebody has removed the folder
                if last:
                    raise
                self._begun = False
                self._begin()
        try:
            try:
                written = 0
                while written < len(data):
                    written += os.write(fd, memoryview(data)[written:])
            finally:
                os.close(fd)
            # The clock of a file system may stand still for milliseconds, in which many are written.
            with _lock:
                _latest = now = max(_now(), _latest + 100)
                os.utime(aside, ns=(now, now))
                self._rename(aside, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(aside)
            raise

    def _rename(self, aside: str, path: str) -> None:
        for attempt in range(100):
            try:
                os.replace(aside, path)
                return
            except FileNotFoundError:
                os.makedirs(os.path.dirname(path), exist_ok=True)
            except PermissionError:
                # On Windows nothing replaces a file that somebody is reading; that takes microseconds.
                if os.name != "nt" or attempt == 99:
                    raise
                time.sleep(0.005)
        os.replace(aside, path)


def shard_of(key: str) -> str:
    """The folder that the file of a key lies in."""
    return key[:2] if len(key) == 32 else PYCACHY


def to_file(line: bytes) -> bytes:
    """The file of a recording: its facts in one line, then the body. Raises ValueError when it has no answer."""
    if LINE.match(line):
        return line
    at = line.rfind(_ANSWER)
    try:
        answer = json.loads(line[at + len(_ANSWER) - 1 : -1]) if at >= 0 else {}
        text = answer.pop("text", None)
        body = base64.b64decode(answer.pop("base64")) if text is None else text.encode()
    except (KeyError, AttributeError, TypeError, RecursionError) as problem:
        raise ValueError(f"not a recording: {problem!r}") from None
    return line[:at] + b',"response":' + _dumps({**answer, "size": len(body)}) + b"}\n" + body


def to_line(data: bytes) -> bytes:
    """The line of the recording whose file holds `data`. Raises ValueError when that is damaged."""
    first, _, body = data.partition(b"\n")
    found = _SIZE.search(first.rstrip(b"\r"))
    if found is None:
        if not body and LINE.match(first):
            return first
        raise ValueError(
            "was left by a git merge" if first.startswith((b"<<<<<<<", b">>>>>>>")) else "is no recording"
        )
    size = int(found[1])
    if len(body) != size and len(body := body.replace(b"\r\n", b"\n")) != size:
        raise ValueError(f"has {len(body)} bytes of a body and not {size}")
    try:
        answer = b',"text":' + _dumps(body.decode())
    except UnicodeDecodeError:
        answer = b',"base64":"' + base64.b64encode(body) + b'"'
    return first[: found.start()] + answer + b"}}"


def _dumps(value: object) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()
