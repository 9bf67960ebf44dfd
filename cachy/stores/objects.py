"""Recordings in an object store (S3, Google Cloud Storage, Azure), one object each. Used behind a local store, see
`cachy.stores.layered`.

    <prefix>/5f/5f17331ab....rec      as in a folder store: a line of facts, then the body as it is
    <prefix>/providers/openai         empty: the names of the providers
    <prefix>/leases/<key>             who makes this call at the moment, and until when

The URL is `s3://bucket/prefix`, `gs://...` or `az://...`; `?endpoint=` and `?region=` may follow. Keys come from where
these services' own tools look: the environment, or the machine's role.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

from ..clocks import utc as _now
from ..notices import in_brief
from ..recording import provider_of
from ..report.terminal import place
from . import StoreError, check
from .folder import END, KEY, PYCACHY, SHARD, shard_of, to_file, to_line

_process = 0
"""The process in which an object store was used first: its client's threads do not survive a fork."""


class ObjectStore:
    """Recordings in a bucket. Every method blocks for as long as `timeout` says; StoreError after it."""

    in_order = False
    """It is listed by key, not by time."""

    def __init__(self, url: str, timeout: float) -> None:
        """`timeout`: seconds for one answer of the service. Nothing is connected yet. Raises StoreError."""
        global _process
        self.url = place(url)
        if _process not in (0, os.getpid()):
            raise StoreError(f"{self.url} cannot be used after a fork; start the process anew (spawn)")
        try:
            import obstore
            from obstore.exceptions import BaseError
            from obstore.store import from_url
        except ImportError:
            raise StoreError(f"{self.url} needs obstore: pip install 'cachy-run[objects]'") from None
        self._api: Any = obstore
        self._problems = (BaseError, OSError)
        self._met: set[str] = set()
        parts = urlsplit(url)
        given = dict(parse_qsl(parts.query))
        bare = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
        make: Any = from_url
        # A large recording may take longer than an answer; what must not is watched by who asks.
        client = {
            "connect_timeout": timedelta(seconds=timeout),
            "timeout": timedelta(seconds=max(timeout, 30)),
        }
        retry = {"max_retries": 1, "retry_timeout": timedelta(seconds=timeout)}
        options: dict[str, Any] = {"client_options": client, "retry_config": retry}
        endpoint = given.get("endpoint") or os.environ.get("AWS_ENDPOINT_URL", "")
        if endpoint.startswith("http://"):
            options["client_options"]["allow_http"] = True
        try:
            self._store: Any = make(bare, **given, **options)
        except (BaseError, TypeError, ValueError, OSError) as problem:
            raise self._cannot(problem) from None
        _process = os.getpid()

    def get(self, key: str) -> bytes | None:
        """The line recorded under `key`, or None; also None when it is damaged. Raises StoreError."""
        data = self._read(_path(key)) if KEY.fullmatch(key) else None
        try:
            return None if data is None else to_line(data)
        except ValueError:
            return None

    def put(self, key: str, line: bytes) -> None:
        """Write the object of `key` anew. Raises StoreError, else ValueError."""
        check(key, line)
        self._ask("put", _path(key), to_file(line))
        provider = provider_of(line)
        if provider and provider not in self._met:
            self._ask("put", f"providers/{quote(provider, safe='')}", b"")
            self._met.add(provider)

    def delete(self, key: str) -> bool:
        """Remove `key`; whether it was there. Raises StoreError."""
        if self._read(_path(key)) is None:
            return False
        self._ask("delete", _path(key))
        return True

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Every (key, line), by key. Raises StoreError."""
        for key in self._keys():
            line = self.get(key)
            if line is not None:
                yield key, line

    def __reversed__(self) -> Iterator[tuple[str, bytes]]:
        """Every (key, line), by key, from the last to the first. Raises StoreError."""
        for key in reversed(list(self._keys())):
            line = self.get(key)
            if line is not None:
                yield key, line

    def all_keys(self) -> Iterator[str]:
        """Every key. Raises StoreError."""
        return self._keys()

    def __len__(self) -> int:
        """How many objects there are. All of them are listed. Raises StoreError."""
        return sum(1 for _ in self._keys())

    @property
    def legacy(self) -> bool:
        """Whether it holds any recording of pycachy. Raises StoreError."""
        return any(True for _ in self._names(f"{PYCACHY}/"))

    @property
    def providers(self) -> frozenset[str]:
        """Names of the providers of its recordings, of those that were deleted too. Raises StoreError."""
        return frozenset(unquote(name.rpartition("/")[2]) for name in self._names("providers/"))

    @property
    def problems(self) -> str | None:
        """None."""
        return None

    def close(self) -> None:
        """Nothing to let go of: the connections belong to obstore."""

    def acquire(self, key: str, owner: str, seconds: float) -> bool:
        """Take the lease of `key` if nobody has it; whether it was got. Raises StoreError.

        A promise only as good as the service's own: one that knows no conditional writes may let two get it at once.
        """
        path = f"leases/{key}"
        there = self._lease(path)
        if there.get("until", 0) > _now():
            return bool(there.get("owner") == owner)
        if there:
            self._ask("delete", path)
        mine = {"owner": owner, "until": _now() + seconds}
        if not self._create(path, json.dumps(mine).encode()):
            return False
        return bool(self._lease(path).get("owner") == owner)

    def renew(self, key: str, owner: str, seconds: float) -> bool:
        """Hold on to the lease; False when it is another one's by now. Raises StoreError."""
        path = f"leases/{key}"
        if self._lease(path).get("owner") != owner:
            return False
        self._ask("put", path, json.dumps({"owner": owner, "until": _now() + seconds}).encode())
        return True

    def release(self, key: str, owner: str) -> None:
        """Give the lease back. Raises StoreError."""
        if self._lease(f"leases/{key}").get("owner") == owner:
            self._ask("delete", f"leases/{key}")

    def _lease(self, path: str) -> dict[str, Any]:
        try:
            found = json.loads(self._read(path) or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def _create(self, path: str, data: bytes) -> bool:
        from obstore.exceptions import AlreadyExistsError, NotSupportedError

        try:
            self._api.put(self._store, path, data, mode="create")
            return True
        except AlreadyExistsError:
            return False
        except NotSupportedError:
            self._ask("put", path, data)
            return True
        except self._problems as problem:
            raise self._cannot(problem) from problem

    def _keys(self) -> Iterator[str]:
        for name in self._names():
            folder, _, file = name.rpartition("/")
            if SHARD.fullmatch(folder) and file.endswith(END):
                yield file.removesuffix(END)

    def _names(self, prefix: str | None = None) -> Iterator[str]:
        try:
            for batch in self._api.list(self._store, prefix):
                for meta in batch:
                    yield meta["path"]
        except self._problems as problem:
            raise self._cannot(problem) from problem

    def _read(self, path: str) -> bytes | None:
        try:
            return bytes(self._api.get(self._store, path).bytes())
        except FileNotFoundError:
            return None
        except self._problems as problem:
            raise self._cannot(problem) from problem

    def _ask(self, what: str, *arguments: Any) -> None:
        try:
            getattr(self._api, what)(self._store, *arguments)
        except self._problems as problem:
            raise self._cannot(problem) from problem

    def _cannot(self, problem: BaseException) -> StoreError:
        return StoreError(f"{self.url} cannot be used ({in_brief(problem)})")


def _path(key: str) -> str:
    return f"{shard_of(key)}/{key}{END}"
