"""Cancelling a task at one of its awaits: what cancel.py hands to a scenario's Wire.

A `Stepper` counts every await of every coroutine that the scenario passes to `wire.steps`, in the order in which they happen,
and cancels the task that makes the wanted one. When it does so is the `mode`:

- "at once": as soon as the task waits; what it waits for is cancelled with it.
- "as it ends": when what it waits for is done and the task is about to go on: the result is there and is thrown away.
- "twice": at once, and again at the next await, which is usually in its own clean-up.
"""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any

MODES = ("at once", "as it ends", "twice")


class Stepper:
    def __init__(self, at: int = -1, mode: str = "at once") -> None:
        self.at = at
        self.mode = mode
        self.count = 0
        self.fired = False

    def __call__(self, coro: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
        async def stepped() -> Any:
            return await _Driven(coro, self)

        return stepped()

    def strike(self, waited: Any) -> None:
        """An await begins: is it the one?"""
        index, self.count = self.count, self.count + 1
        if index != self.at and not (self.mode == "twice" and index == self.at + 1 and self.fired):
            return
        task = asyncio.current_task()
        assert task is not None
        self.fired = True
        if self.mode == "as it ends" and isinstance(waited, asyncio.Future):
            waited.add_done_callback(lambda _: task.cancel())
        else:
            asyncio.get_running_loop().call_soon(task.cancel)


class _Driven:
    """A coroutine that is sent on step by step."""

    def __init__(self, coro: Coroutine[Any, Any, Any], stepper: Stepper) -> None:
        self._coro = coro
        self._stepper = stepper

    def __await__(self) -> Generator[Any, Any, Any]:
        waiting = self._coro.__await__()
        sent: Any = None
        thrown: BaseException | None = None
        while True:
            try:
                # A generator's throw and send, as `await` does them.
                waited = waiting.send(sent) if thrown is None else waiting.throw(thrown)
            except StopIteration as end:
                return end.value
            self._stepper.strike(waited)
            sent = thrown = None
            try:
                sent = yield waited
            except BaseException as error:
                thrown = error
