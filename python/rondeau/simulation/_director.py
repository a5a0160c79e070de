"""What a simulated loop asks: the `Director` of a world in which nothing comes from the machine.

Calls for an executor run on the loop's thread, one at a time, at a moment that the seed decides:
each is alone, as if all others had been slower. What `time.sleep` takes in one is virtual, and its
result comes as much later.
"""

from __future__ import annotations

import gc

from .._virtual_time import Director, StuckError, describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import Any

    from ..loop import EventLoop

# Times that the clock moves between two collections of garbage, which has no moments of its own meanwhile.
_COLLECT = 10_000
# A job begins up to so many seconds after it was given away.
_JOB_DELAYS = (0.0, 0.0, 0.0001, 0.001, 0.01)


class BlockingError(RuntimeError):
    """The program called in a task what would have blocked the loop: `time.sleep`."""


class TooLongError(RuntimeError):
    """A run took more steps than it may."""


class SimulationDirector(Director):
    """See the module. `events` has a line for each step, where they are kept."""

    def __init__(self, loop: EventLoop, most_steps: int, events: list[str] | None) -> None:
        super().__init__(loop, 0.0)
        self._most_steps = most_steps
        self._moves = 0
        self._in_job: float | None = None  # What the job that runs has slept so far, in seconds.
        self.events = events

    def start(self, start: float, tape: int | list[int], order: int, interval: int) -> None:
        """Have the loop be simulated from now on."""
        loop = self._loop
        loop._simulate(self, start, tape, order, interval, True, self.events is not None, self._most_steps)
        loop._virtual_time = self

    # What the loop asks

    def real_work(self) -> float:
        """Nothing comes from the machine."""
        self._moves += 1
        if self._moves % _COLLECT == 0:
            gc.collect()
        return 0.0

    def stuck(self) -> bool:
        """See `Director.stuck`."""
        if self._tell():
            return True
        raise StuckError(describe(self._loop))

    def step(self, kind: str, thing: Any) -> None:
        """Keep a line of what runs next."""
        if self.events is not None:
            self.events.append(f"{self._loop.time():.9f} {kind} {_label(kind, thing)}")
        steps = self._loop._decisions()[1] if self.events is None else len(self.events)
        if steps >= self._most_steps:
            self._most_steps *= 2  # What cleans up gets as many.
            raise TooLongError(
                f"the simulation has taken {steps:,} steps, at {self._loop.time():g} s of its time: "
                f"the program never waits, or needs a larger most_steps"
            )

    # Time

    def now(self) -> float:
        """The loop's time, and what the job that runs has slept."""
        return self._loop.time() + (self._in_job or 0.0)

    def sleep(self, seconds: float) -> None:
        """What `time.sleep` is meanwhile.

        Raises:
            BlockingError: not in a job.
        """
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        if self._in_job is None:
            raise BlockingError(f"time.sleep({seconds!r}) would block the loop: await asyncio.sleep({seconds!r}) instead")
        self._in_job += seconds

    # Executors

    def submit(self, executor: Any, function: Callable[..., Any], args: tuple[Any, ...]) -> asyncio.Future[Any]:
        """See `Director.submit`; whichever executor it is."""
        loop: Any = self._loop
        loop._check_closed()
        if executor is None:
            loop._check_default_executor()
        future = loop.create_future()
        delay = _JOB_DELAYS[loop._draw(len(_JOB_DELAYS))]
        loop.call_later(delay, self._run_job, future, function, args)
        return future  # type: ignore[no-any-return]

    def _run_job(self, future: asyncio.Future[Any], function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        if future.done():
            return
        self._in_job = 0.0
        try:
            outcome, failed = function(*args), False
        except Exception as error:
            outcome, failed = error, True
        finally:
            slept, self._in_job = self._in_job, None
        self._loop.call_later(slept, _finish, future, outcome, failed)


def _finish(future: asyncio.Future[Any], outcome: Any, failed: bool) -> None:
    if future.done():
        return
    if failed:
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _label(kind: str, thing: Any) -> str:
    if kind == "task":
        coro = thing.get_coro()
        return f"{thing.get_name()} {getattr(coro, '__qualname__', type(coro).__name__)}"
    if kind == "callback":
        callback = thing._callback
        return str(getattr(callback, "__qualname__", type(callback).__name__))
    return type(thing).__name__
