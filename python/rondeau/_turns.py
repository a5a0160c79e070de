"""Whose turn it is on an open file: operations at its position are carried out one after the other, in the order in which
they asked.

The base of the file classes. `_busy` is a field of the native base, which looks at it before it takes a line; `_end_turn`
is the native base's too, since a turn must also end where there is no memory for a call.
"""

from __future__ import annotations

from asyncio import CancelledError, Future
from asyncio.events import get_running_loop
from collections import deque

from . import _core
from ._shared import told


class Turns(_core.Lines):
    async def _take_turn(self) -> None:
        """Returns when it is the caller's turn, which it ends by `_end_turn`."""
        if not self._busy:
            self._busy = True
            return
        if self._waiters is None:
            self._waiters = deque()
        waiter: Future[None] = get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._end_turn()  # It had come.
            raise

    def _pass_turn(self) -> None:
        """The turn goes to the next one who waits for it."""
        while self._waiters:
            waiter = self._waiters.popleft()
            loop = waiter.get_loop()
            if waiter.done() or loop.is_closed():
                continue
            # Busy stays set: it is that one's turn.
            if loop is get_running_loop():
                waiter.set_result(None)
            else:
                loop.call_soon_threadsafe(told, waiter)
            return
        self._busy = False
