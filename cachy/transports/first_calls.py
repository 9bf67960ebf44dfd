"""Making the calls that come before a request of the program's own: see `cachy.uploads.Upload.to_send`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from ..exchange import Request, Response
from .streams import sleep
from .waiting import pause

if TYPE_CHECKING:
    from ..uploads import Calls

_MOMENT = (
    0.005  # seconds until another look whether another thread or task has made the calls that come first
)


def make(first: Calls, send: Callable[[Request], Response]) -> Request | None:
    """Make them with `send`, which returns the answer, read to its end. Returns what to send at last, or None when the
    last answer has ended it all. Raises what `send` raises."""
    answer: Response | None = None
    try:
        while True:
            try:
                wanted = first.send(answer)
            except StopIteration as end:
                at_last: Request | None = end.value
                return at_last
            if wanted is None:
                sleep(_MOMENT)
                answer = None
            else:
                answer = send(wanted)
    finally:
        first.close()


async def make_async(first: Calls, send: Callable[[Request], Awaitable[Response]]) -> Request | None:
    """`make` for async clients."""
    answer: Response | None = None
    try:
        while True:
            try:
                wanted = first.send(answer)
            except StopIteration as end:
                at_last: Request | None = end.value
                return at_last
            if wanted is None:
                await pause(_MOMENT)
                answer = None
            else:
                answer = await send(wanted)
    finally:
        first.close()
