"""Which shared store a URL means."""

from __future__ import annotations

from . import StoreError
from .link import Remote

_REDIS = ("redis", "rediss", "valkey", "valkeys")
_OBJECTS = ("s3", "gs", "az")


def check_scheme(url: str) -> None:
    """Raises StoreError for a kind of store that does not exist."""
    scheme = url.partition("://")[0].lower()
    if scheme not in (*_REDIS, *_OBJECTS):
        known = ", ".join(f"{name}://" for name in (*_REDIS[:2], *_OBJECTS))
        raise StoreError(
            f"no store for {scheme}:// in this version; use a path such as cachy.jsonl, or one of {known}"
        )


def open_remote(url: str, timeout: float) -> Remote:
    """The shared store at `url`, which may take `timeout` seconds to answer. Raises StoreError."""
    check_scheme(url)
    if url.partition("://")[0].lower() in _REDIS:
        from .redis import RedisStore

        return RedisStore(url, timeout)
    from .objects import ObjectStore

    return ObjectStore(url, timeout)
