"""Waiting: for the answer of somebody else's call, and on whichever event loop is running, asyncio or trio. Neither
is imported here."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ..engine import Wait
from ..flights import LONGEST, Flight
from ..streaming import now

if TYPE_CHECKING:
    from ..calls import Forward
    from ..engine import Engine, Replay
    from ..exchange import Request
    from ..providers import Claim

_LOOK = 1.0  # seconds between two questions whether there is still somebody to wait for


def waited(
    engine: Engine, request: Request, claim: Claim, verdict: Wait, patience: float | None
) -> Replay | Forward:
    """The verdict once there is nothing to wait for any more, or on our own after `patience` seconds (None: as many as
    one waits for a call at all). Raises Miss."""
    until = now() + (LONGEST if patience is None else patience)
    found: Replay | Forward | Wait = verdict
    while isinstance(found, Wait):
        found.flight.wait(max(0.0, min(_LOOK, until - now())))
        found = engine.ask(request, claim, alone=now() >= until)
    return found


async def waited_async(
    engine: Engine, request: Request, claim: Claim, verdict: Wait, patience: float | None
) -> Replay | Forward:
    """The same for a task, which lets others run."""
    until = now() + (LONGEST if patience is None else patience)
    found: Replay | Forward | Wait = verdict
    while isinstance(found, Wait):
        await landing(found.flight, max(0.0, min(_LOOK, until - now())))
        found = engine.ask(request, claim, alone=now() >= until)
    return found


def _trio() -> Any:
    """The module trio when this task is one of its own, else None."""
    # Asked before asyncio: in trio's guest mode there is a running asyncio loop too, and it is the wrong one.
    trio = sys.modules.get("trio")
    if trio is not None:
        try:
            trio.lowlevel.current_task()
            return trio
        except RuntimeError:
            pass
    return None


async def pause(seconds: float) -> None:
    """Sleep; zero seconds is one turn of the loop."""
    if (trio := _trio()) is not None:
        await trio.sleep(seconds)
    elif (asyncio := sys.modules.get("asyncio")) is not None:
        await asyncio.sleep(seconds)


async def landing(flight: Flight, seconds: float) -> None:
    """Wait until `flight` has landed, `seconds` at most. It may be led from any thread and any loop."""
    if (trio := _trio()) is not None:
        landed, token = trio.Event(), trio.lowlevel.current_trio_token()
        flight.on_landing(lambda: token.run_sync_soon(landed.set))
        with trio.move_on_after(seconds):
            await landed.wait()
    elif (asyncio := sys.modules.get("asyncio")) is not None:
        landed, loop = asyncio.Event(), asyncio.get_running_loop()
        flight.on_landing(lambda: loop.call_soon_threadsafe(landed.set))
        try:
            await asyncio.wait_for(landed.wait(), seconds)
        except asyncio.TimeoutError:
            pass
