"""Recordings in Redis or Valkey, for a team or a fleet. Used behind a local store, see `cachy.stores.layered`.

    cachy:r:<key>      the line of a recording
    cachy:index        a sorted set of all keys by the time of recording
    cachy:providers    a set of the names of providers; cachy:pycachy, of the keys of pycachy
    cachy:l:<key>      who makes this call at the moment; expires

`?prefix=NAME` in the URL takes the place of `cachy`; all other parameters are redis-py's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from ..clocks import utc as _now
from ..notices import in_brief
from ..recording import provider_of
from ..report.terminal import place
from . import StoreError, check

_BATCH = 128
# Only who holds it may renew it or give it back: it may have expired and be another one's by now.
_RENEW = "return redis.call('get', KEYS[1]) == ARGV[1] and redis.call('pexpire', KEYS[1], ARGV[2]) or 0"
_RELEASE = "return redis.call('get', KEYS[1]) == ARGV[1] and redis.call('del', KEYS[1]) or 0"


class RedisStore:
    """Recordings in a Redis server. Every method blocks for as long as `timeout` says; StoreError after it."""

    in_order = True

    def __init__(self, url: str, timeout: float) -> None:
        """`timeout`: seconds for one answer of the server. Nothing is connected yet. Raises StoreError."""
        self.url = place(url)
        try:
            import redis
        except ImportError:
            raise StoreError(f"{self.url} needs redis-py: pip install 'cachy-run[redis]'") from None
        self._problems = (redis.RedisError, OSError)
        try:
            parts = urlsplit(url)
            given = dict(parse_qsl(parts.query))
            prefix = given.pop("prefix", "cachy")
            scheme = parts.scheme.replace("valkey", "redis")
            bare = urlunsplit((scheme, parts.netloc, parts.path, urlencode(given), ""))
            self._client: Any = redis.Redis.from_url(
                bare, socket_timeout=timeout, socket_connect_timeout=timeout
            )
        except (ValueError, TypeError):
            # Not with the words of the exception: they may repeat the password.
            raise StoreError(f"{self.url} is not a URL that redis-py understands") from None
        self._line, self._lease = f"{prefix}:r:", f"{prefix}:l:"
        self._index, self._providers, self._old = (
            f"{prefix}:{name}" for name in ("index", "providers", "pycachy")
        )

    def get(self, key: str) -> bytes | None:
        """The line recorded under `key`, or None. Raises StoreError."""
        found: bytes | None = self._ask("get", self._line + key)
        return found

    def put(self, key: str, line: bytes) -> None:
        """Write `line` under `key`. Raises StoreError, else ValueError."""
        check(key, line)
        try:
            with self._client.pipeline(transaction=True) as pipe:
                pipe.set(self._line + key, line)
                pipe.zadd(self._index, {key: _now()})
                if provider := provider_of(line):
                    pipe.sadd(self._providers, provider)
                if len(key) == 8:
                    pipe.sadd(self._old, key)
                pipe.execute()
        except self._problems as problem:
            raise self._cannot(problem) from problem

    def delete(self, key: str) -> bool:
        """Remove `key`; whether it was there. Raises StoreError."""
        try:
            with self._client.pipeline(transaction=True) as pipe:
                pipe.delete(self._line + key)
                pipe.zrem(self._index, key)
                pipe.srem(self._old, key)
                return bool(pipe.execute()[0])
        except self._problems as problem:
            raise self._cannot(problem) from problem

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Every (key, line), oldest first. Raises StoreError."""
        return self._walk("zrange")

    def __reversed__(self) -> Iterator[tuple[str, bytes]]:
        """Every (key, line), newest first. Raises StoreError."""
        return self._walk("zrevrange")

    def all_keys(self) -> Iterator[str]:
        """Every key, newest first, those that the server has evicted among them. Raises StoreError."""
        return (key.decode() for keys in self._batches("zrevrange") for key in keys)

    def _walk(self, command: str) -> Iterator[tuple[str, bytes]]:
        for keys in self._batches(command):
            lines = self._ask("mget", [self._line + key.decode() for key in keys])
            for key, line in zip(keys, lines, strict=True):
                if line is not None:  # the server has evicted it
                    yield key.decode(), line

    def _batches(self, command: str) -> Iterator[list[bytes]]:
        # By rank: what others write or delete meanwhile may be seen twice or not at all, what stays is seen.
        seen: set[bytes] = set()
        start = 0
        while keys := self._ask(command, self._index, start, start + _BATCH - 1):
            if new := [key for key in keys if key not in seen]:
                yield new
            seen = set(keys)
            start += len(keys)

    def __len__(self) -> int:
        """How many keys there are, those that the server has evicted among them. Raises StoreError."""
        return int(self._ask("zcard", self._index))

    @property
    def legacy(self) -> bool:
        """Whether it holds any recording of pycachy. Raises StoreError."""
        return bool(self._ask("exists", self._old))

    @property
    def providers(self) -> frozenset[str]:
        """Names of the providers of its recordings, of those that were deleted too. Raises StoreError."""
        return frozenset(name.decode("utf-8", "replace") for name in self._ask("smembers", self._providers))

    @property
    def problems(self) -> str | None:
        """None."""
        return None

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def acquire(self, key: str, owner: str, seconds: float) -> bool:
        """Take the lease of `key` if nobody has it; whether it was got. Raises StoreError."""
        return bool(self._ask("set", self._lease + key, owner, nx=True, px=int(seconds * 1000)))

    def renew(self, key: str, owner: str, seconds: float) -> bool:
        """Hold on to the lease; False when it is another one's by now. Raises StoreError."""
        return bool(self._ask("eval", _RENEW, 1, self._lease + key, owner, int(seconds * 1000)))

    def release(self, key: str, owner: str) -> None:
        """Give the lease back. Raises StoreError."""
        self._ask("eval", _RELEASE, 1, self._lease + key, owner)

    def _ask(self, command: str, *arguments: Any, **options: Any) -> Any:
        try:
            return getattr(self._client, command)(*arguments, **options)
        except self._problems as problem:
            raise self._cannot(problem) from problem

    def _cannot(self, problem: BaseException) -> StoreError:
        return StoreError(f"{self.url} cannot be used ({in_brief(problem)})")
