"""The one error that cachy raises on purpose.

BaseException
└── Miss        a call in replay mode that has no recording
"""

from __future__ import annotations

from typing import Any


class Miss(BaseException):
    """A call was made in replay mode and has no recording; nothing was sent.

    It is a `BaseException` because SDKs wrap and retry ordinary exceptions of their transport ("Connection
    error.", after seconds of waiting); this way it ends the call at once with its own words.

    Attributes: `method`, `url` (without secrets), `provider`, `key` (32 hex digits), `store`, `request` (the
    canonical request), `nearest` (key of the most similar recording, or None) and `differences` (one line each).
    """

    __module__ = "cachy"  # where people import it from; tracebacks say so too

    def __init__(
        self,
        message: str,
        *,
        method: str = "",
        url: str = "",
        provider: str = "",
        key: str = "",
        store: str = "",
        request: dict[str, Any] | None = None,
        nearest: str | None = None,
        differences: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.method = method
        self.url = url
        self.provider = provider
        self.key = key
        self.store = store
        self.request = request or {}
        self.nearest = nearest
        self.differences = differences

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions cross process borders (multiprocessing, xdist); the default would lose the keyword facts.
        return (_rebuild, (str(self), self.__dict__))


def _rebuild(message: str, facts: dict[str, Any]) -> Miss:
    miss = Miss(message)
    miss.__dict__.update(facts)
    return miss
