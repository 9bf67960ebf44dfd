"""Threads that do for a shared store what may block. They are daemons: the end of a program never waits for them."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Condition, Thread

from ..clocks import monotonic as now


class Threads:
    """At most `most` threads, started as there is work for them."""

    def __init__(self, most: int, failed: Callable[[BaseException], None]) -> None:
        """`failed` is told of what a job raises, in its thread."""
        self._most = most
        self._failed = failed
        self._queue: SimpleQueue[tuple[Callable[[], object], float] | None] = SimpleQueue()
        self._changed = Condition()
        self._started = 0
        self._unfinished = 0
        self._running: dict[object, float] = {}
        """By when each job that is being done is late."""

    def do(self, job: Callable[[], object], limit: float) -> bool:
        """Have a thread do `job`, which is late after `limit` seconds; False when there are no threads any more."""
        with self._changed:
            self._unfinished += 1
            if self._started < min(self._most, self._unfinished):
                try:
                    Thread(target=self._work, name="cachy-shared", daemon=True).start()
                    self._started += 1
                except RuntimeError:  # the interpreter is about to end
                    if not self._started:
                        self._unfinished -= 1
                        return False
            self._queue.put((job, limit))
            return True

    @property
    def late(self) -> bool:
        """Whether any job has been under way for longer than its limit."""
        with self._changed:
            return any(now() > until for until in self._running.values())

    @property
    def idle(self) -> bool:
        """Whether everything is done."""
        with self._changed:
            return not self._unfinished

    def settle(self, until: float) -> None:
        """Wait until everything is done, to that time (of `now`) at most."""
        with self._changed:
            while self._unfinished and (left := until - now()) > 0:
                self._changed.wait(left)

    def end(self) -> None:
        """Let the threads end when they have nothing to do; later jobs have new ones."""
        with self._changed:
            for _ in range(self._started):
                self._queue.put(None)
            self._started, self._queue = 0, SimpleQueue()

    def _work(self) -> None:
        queue, me = self._queue, object()
        while (found := queue.get()) is not None:
            job, limit = found
            with self._changed:
                self._running[me] = now() + limit
            try:
                job()
            except BaseException as problem:  # noqa: BLE001 - whatever a client raises; obstore's panics are no Exceptions
                self._failed(problem)
            finally:
                with self._changed:
                    del self._running[me]
                    self._unfinished -= 1
                    self._changed.notify_all()
