"""Whose turn it is on an open file: operations at its position are carried out one after the other, in the order in which
they asked.

The base of the file classes. `_busy` is a field of the native base, which looks at it before it takes a line.
"""

from __future__ import annotations

from asyncio import CancelledError, Future
from asyncio.events import get_running_loop
from collections import deque

from . import _core


class Turns(_core.Lines):
    _waiters: deque[Future[None]] | None = None

    async def _take_turn(self) -> None:
        """Returns when it is the caller's turn, which it ends by `_end_turn`."""
        if not self._busy:
            self._busy = True
            return
        if self._waiters is None:
            self._waiters = deque()
        waiter = get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._end_turn()  # It had come.
            raise

    def _end_turn(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return  # Busy stays set: it is that one's turn.
        self._busy = False
