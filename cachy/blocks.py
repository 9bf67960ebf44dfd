"""`with` blocks that may stand above a function, too: `@cachy.using("replay")`, also above an `async def`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast

_P = ParamSpec("_P")
_F = TypeVar("_F", bound=Callable[..., Any])


class Block(AbstractContextManager[None]):
    """For one `with`, or for all calls of the function that it stands above.

    contextlib's own would end above an `async def` before the first line of that has run, and what is in it would
    silently go out live.
    """

    def __init__(self, begin: Callable[[], AbstractContextManager[None]]) -> None:
        self._begin = begin
        self._begun = begin()

    def __enter__(self) -> None:
        self._begun.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._begun.__exit__(kind, problem, trace)

    def __call__(self, function: _F) -> _F:
        from inspect import iscoroutinefunction

        if iscoroutinefunction(function):

            @wraps(function)
            async def within(*args: Any, **named: Any) -> Any:
                with self._begin():
                    return await function(*args, **named)
        else:

            @wraps(function)
            def within(*args: Any, **named: Any) -> Any:
                with self._begin():
                    return function(*args, **named)

        return cast("_F", within)


def block(body: Callable[_P, Iterator[None]]) -> Callable[_P, Block]:
    """As `contextlib.contextmanager`, for a `Block`."""
    maker = contextmanager(body)

    @wraps(body)
    def made(*args: _P.args, **named: _P.kwargs) -> Block:
        return Block(lambda: maker(*args, **named))

    return made
