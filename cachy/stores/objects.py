"""Recordings in an object store (S3, Google Cloud Storage, Azure), one object each. Used behind a local store, see
`cachy.stores.layered`.

    <prefix>/5f/5f17331ab....rec      as in a folder store: a line of facts, then the body as it is
    <prefix>/providers/openai         empty: the names of the providers
    <prefix>/leases/<key>             who makes this call at the moment, and until when

The URL is `s3://bucket/prefix`, `gs://...` or `az://...`; what may follow, and where keys come from: `cachy.stores.clouds`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from ..clocks import utc as _now
from ..recording import provider_of
from ..report.terminal import place
from . import StoreError, check, clouds
from .folder import END, KEY, PYCACHY, SHARD, shard_of, to_file, to_line

_T = TypeVar("_T")
_MARGIN = 5.0  # seconds that a lease must still have for it to be given back
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
        self._whole_url = url
        make: Any = from_url
        # A large recording may take longer than an answer; what must not is watched by who asks.
        client: dict[str, Any] = {
            "connect_timeout": timedelta(seconds=timeout),
            "timeout": timedelta(seconds=max(timeout, 30)),
        }
        # Where a machine has no role, a question for it takes a second: asked twice, nobody would hear that it has none.
        retry = {"max_retries": 1, "retry_timeout": timedelta(seconds=timeout / 2)}
        try:
            there = clouds.address(url, os.environ)
            if there.plain:
                client["allow_http"] = True
            self._store: Any = make(there.url, **there.config, client_options=client, retry_config=retry)
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
        self._put(_path(key), to_file(line))
        provider = provider_of(line)
        if provider and provider not in self._met:
            self._put(f"providers/{quote(provider, safe='')}", b"")
            self._met.add(provider)

    def delete(self, key: str) -> bool:
        """Remove `key`; whether it was there. Raises StoreError."""
        # S3 does not say of what it deletes whether it was there.
        return bool(KEY.fullmatch(key)) and self._get(_path(key)) is not None and self._delete(_path(key))

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
        there, version = self._lease(path)
        if there.get("until", 0) > _now():
            return bool(there.get("owner") == owner)
        if not self._write_lease(path, owner, seconds, version):
            return False
        return bool(self._lease(path)[0].get("owner") == owner)

    def renew(self, key: str, owner: str, seconds: float) -> bool:
        """Hold on to the lease; False when it is another one's by now. Raises StoreError."""
        path = f"leases/{key}"
        there, version = self._lease(path)
        return there.get("owner") == owner and self._write_lease(path, owner, seconds, version)

    def release(self, key: str, owner: str) -> None:
        """Give the lease back. Raises StoreError."""
        path = f"leases/{key}"
        there, _ = self._lease(path)
        # No service deletes on a condition: what is about to expire may be another one's when that arrives.
        if there.get("owner") == owner and there.get("until", 0) > _now() + _MARGIN:
            self._delete(path)

    def _lease(self, path: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """What is written there, and which version of it that is; None when there is nothing."""
        found = self._get(path)
        if found is None:
            return {}, None
        try:
            written = json.loads(self._body(found))
        except ValueError:
            written = None
        version = {name: found.meta[name] for name in ("e_tag", "version") if found.meta.get(name)}
        return written if isinstance(written, dict) else {}, version

    def _write_lease(self, path: str, owner: str, seconds: float, version: dict[str, Any] | None) -> bool:
        """Write it in the place of that version, or where there was none; False when somebody was faster."""
        from obstore.exceptions import AlreadyExistsError, NotSupportedError, PreconditionError

        data = json.dumps({"owner": owner, "until": _now() + seconds}).encode()
        try:
            self._api.put(self._store, path, data, mode="create" if version is None else version)
        except (AlreadyExistsError, PreconditionError):
            return False
        except NotSupportedError:
            self._put(path, data)
        except self._problems as problem:
            if (
                version is not None
                and isinstance(problem, FileNotFoundError)
                and not clouds.is_missing(problem)
            ):
                return False  # it was given back meanwhile
            raise self._cannot(problem) from None
        return True

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
            raise self._cannot(problem) from None

    def _read(self, path: str) -> bytes | None:
        found = self._get(path)
        return None if found is None else self._body(found)

    def _get(self, path: str) -> Any:
        """Its head, the body still to come; None when it is not there."""
        try:
            return self._api.get(self._store, path)
        except FileNotFoundError as problem:
            return self._absent(problem, None)
        except self._problems as problem:
            raise self._cannot(problem) from None

    def _body(self, found: Any) -> bytes:
        try:
            return bytes(found.bytes())
        except self._problems as problem:
            raise self._cannot(problem) from None

    def _delete(self, path: str) -> bool:
        try:
            self._api.delete(self._store, path)
        except FileNotFoundError as problem:  # somebody was faster
            return self._absent(problem, False)
        except self._problems as problem:
            raise self._cannot(problem) from None
        return True

    def _put(self, path: str, data: bytes) -> None:
        try:
            self._api.put(self._store, path, data)
        except self._problems as problem:
            raise self._cannot(problem) from None

    def _absent(self, problem: FileNotFoundError, instead: _T) -> _T:
        """`instead`, for an object that is not there. Raises StoreError when its bucket is not."""
        if clouds.is_missing(problem):
            raise self._cannot(problem) from None
        return instead

    def _cannot(self, problem: BaseException) -> StoreError:
        words = str(problem) if type(problem) is ValueError else clouds.reason(problem, self._whole_url)
        return StoreError(f"{self.url} cannot be used: {words}")


def _path(key: str) -> str:
    return f"{shard_of(key)}/{key}{END}"
