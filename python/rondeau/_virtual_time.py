"""A loop's time that stands still while anything can be done, and then is the next timer's: `virtual_clock`.

The turns of such a loop are native (`crates/python/src/event_loop/simulated.rs`). They ask a
`Director` when nothing is ready: for how long the machine is to be waited for, since it works for
the program, and what to do when nothing can ever come. `rondeau.testing` gives `virtual_clock` to
programs; `rondeau.simulation` has a director of its own.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import linecache
import math
import threading

from . import loop as _loop
from .loop import EventLoop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, TypeVar

    F = TypeVar("F", bound=Callable[..., Any])

FIFO, RANDOM, PRIORITIES = range(3)  # Which of the ready comes next.


class StuckError(RuntimeError):
    """Everything waits, and nothing can come that it waits for. The message says which task waits where."""


class Director:
    """What a loop with virtual time asks. This one has real work waited for, and lets the time be moved by hand.

    Args: loop: the loop. patience: seconds of real time for which a descriptor that is watched may
    have something to say before the time moves.
    """

    def __init__(self, loop: EventLoop, patience: float) -> None:
        self._loop = loop
        self._patience = patience
        self._jobs = 0
        self._paused = False
        self._until: list[tuple[float, asyncio.Future[None]]] = []  # Who lets the time move, and how far.

    def begin(self, start: float | None, paused: bool) -> None:
        """Have the loop's time be virtual from now on.

        Raises: RuntimeError: it is already, or the program has a clock or a selector of its own in
        the loop.
        """
        loop = self._loop
        if loop._own_clock or loop._has_own_turn():
            raise RuntimeError("this event loop has a clock or a selector of the program's own, which a virtual clock replaces")
        loop._simulate(self, start, 0, FIFO, 0, False, False, 0)
        loop._virtual_time = self
        self.pause(paused)

    def end(self) -> None:
        """Have it be the machine's again."""
        self._loop._virtual_time = None
        self._loop._end_simulation()
        for _, future in self._until:
            if not future.done():
                future.set_result(None)

    def pause(self, paused: bool) -> None:
        """Have the time move by `advance` only, or by itself."""
        self._paused = paused
        self._limit()

    def _limit(self) -> None:
        if self._until:
            self._loop._limit_time(min(until for until, _ in self._until))
        else:
            self._loop._limit_time(self._loop.time() if self._paused else None)

    async def advance(self, seconds: float) -> None:
        """Let the time move by so much and return when it has, and nothing is ready any more."""
        one = (self._loop.time() + seconds, self._loop.create_future())
        self._until.append(one)
        self._limit()
        try:
            await one[1]
        finally:
            if one in self._until:  # It was cancelled.
                self._until.remove(one)
                self._limit()

    # What the loop tells and asks

    def submit(self, executor: Any, function: Callable[..., Any], args: tuple[Any, ...]) -> asyncio.Future[Any]:
        """Have an executor call the function, for `run_in_executor`; the time waits for it."""
        future: asyncio.Future[Any] = self._loop._submit(executor, function, *args)
        self._jobs += 1
        future.add_done_callback(self._job_done)
        return future

    def _job_done(self, _: object) -> None:
        self._jobs -= 1

    def real_work(self) -> float:
        """For how many seconds the machine is to be waited for before the time moves."""
        if self._jobs:
            return math.inf
        return self._patience if self._watches() else 0.0

    def _watches(self) -> bool:
        own = self._loop._ssock
        ours = -1 if own is None else own.fileno()
        return any(fd != ours for fd in self._loop._descriptors())

    def stuck(self) -> bool:
        """Nothing is ready and the time may not move; whether something was done about it.

        Raises:
            StuckError: nothing can ever come.
        """
        if self._tell():
            return True
        if self._watches() or threading.active_count() > 1:
            return False
        raise StuckError(describe(self._loop, "the time is paused:" if self._paused else ""))

    def _tell(self) -> bool:
        if not self._until:
            return False
        first = min(until for until, _ in self._until)
        there = [one for one in self._until if one[0] <= first]
        self._until = [one for one in self._until if one[0] > first]
        self._limit()
        for _, future in there:
            if not future.done():
                future.set_result(None)
        return True


def describe(loop: EventLoop, why: str = "") -> str:
    """Which task waits where, as an error says it."""
    tasks = sorted(asyncio.all_tasks(loop), key=lambda task: (len(task.get_name()), task.get_name()))
    lines = [f"{why} nothing is ready, nothing is scheduled, and nothing can come: {len(tasks)} tasks wait for ever".strip()]
    lines += [f"- {task.get_name()} {place(task)}" for task in tasks[:20]]
    if len(tasks) > 20:
        lines.append(f"- … and {len(tasks) - 20} more")
    return "\n".join(lines)


def place(task: asyncio.Task[Any]) -> str:
    """Where a task stands: its innermost line that is no library's, and what it waits on."""
    frames = list(_frames(task.get_coro()))
    if not frames:
        return f"({task.get_coro()!r})"
    mine = [frame for frame in frames if not _is_librarys(frame.f_code.co_filename)] or frames
    frame = mine[-1]
    code = frame.f_code
    source = linecache.getline(code.co_filename, frame.f_lineno).strip()
    waiter = getattr(task, "_fut_waiter", None)
    on = f" (on {waiter!r})" if isinstance(waiter, asyncio.Task) else ""
    return f"in {code.co_name}, {code.co_filename}:{frame.f_lineno}: {source}{on}"


def _is_librarys(file: str) -> bool:
    from .inspection.snapshot import is_librarys

    return is_librarys(file)


def _frames(coro: Any) -> Iterator[Any]:
    while coro is not None:
        frame = getattr(coro, "cr_frame", None) or getattr(coro, "gi_frame", None) or getattr(coro, "ag_frame", None)
        if frame is not None:
            yield frame
        coro = getattr(coro, "cr_await", None) or getattr(coro, "gi_yieldfrom", None) or getattr(coro, "ag_await", None)


class virtual_clock:
    """Have the time of Rondeau's loops stand still while anything can be done, and then be the next timer's.

    What the program waits for by the loop's time (`sleep`, time-outs, `call_later`) takes none: an
    hour of sleeping tasks passes as fast as their steps run, in asyncio's exact order. The time
    waits for real work: for calls in an executor and for operations on files as long as they take,
    and for descriptors that are watched (sockets, pipes) for `patience`. The program's own
    `time.time()` and `time.monotonic()` stay the machine's.

    An asynchronous context manager for the loop that runs; a context manager for the loops that
    this thread begins to run inside of it; a decorator. At its end the loop's time goes on, as the
    machine's does, from where it is.

    Args:
        start: what `loop.time()` says at the beginning, in seconds; None is what it says now.
        paused: Whether the time moves by `advance` and `step` only.
        patience: seconds of real time that a descriptor has to become ready before the time moves.

    Raises: RuntimeError: the loop is not Rondeau's, has a virtual time already, or has a clock or a
    selector of the program's own. ValueError: `patience` is negative. StuckError: out of the loop's
    run: everything waits and nothing can come.

    >>> import asyncio, rondeau, rondeau.testing
    >>> @rondeau.testing.virtual_clock(start=0)
    ... async def cook():
    ...     await asyncio.sleep(3600)
    ...     return asyncio.get_running_loop().time()
    >>> rondeau.run(cook())
    3600.0
    """

    def __init__(self, *, start: float | None = None, paused: bool = False, patience: float = 0.05) -> None:
        if patience < 0:
            raise ValueError(f"patience must be at least 0 seconds, and is {patience!r}")
        self._start = start
        self._paused = paused
        self._patience = patience
        self._directors: dict[EventLoop, Director] = {}
        self._thread: int | None = None

    # The loop that runs

    async def __aenter__(self) -> virtual_clock:
        self._begin(asyncio.get_running_loop())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._end(asyncio.get_running_loop())

    # Loops that begin to run

    def __enter__(self) -> virtual_clock:
        if self._thread is not None:
            raise RuntimeError("this virtual_clock is entered already; make another")
        self._thread = threading.get_ident()
        _loop.run_hooks.append(self._run)
        return self

    def __exit__(self, *_: object) -> None:
        _loop.run_hooks.remove(self._run)
        self._thread = None
        for loop in list(self._directors):
            self._end(loop)

    def _run(self, loop: EventLoop, what: str) -> None:
        if what == "loop_started" and loop not in self._directors and threading.get_ident() == self._thread:
            self._begin(loop)

    def _begin(self, loop: Any) -> None:
        if not isinstance(loop, EventLoop):
            raise RuntimeError(f"virtual_clock is for Rondeau's loops only, and this one is {loop!r}")
        director = Director(loop, self._patience)
        director.begin(self._start, self._paused)
        self._directors[loop] = director

    def _end(self, loop: Any) -> None:
        self._directors.pop(loop).end()

    def __call__(self, function: F) -> F:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def timed(*args: Any, **kwargs: Any) -> Any:
                async with self._again():
                    return await function(*args, **kwargs)

        else:

            @functools.wraps(function)
            def timed(*args: Any, **kwargs: Any) -> Any:
                with self._again():
                    return function(*args, **kwargs)

        return timed  # type: ignore[return-value]

    def _again(self) -> virtual_clock:
        return virtual_clock(start=self._start, paused=self._paused, patience=self._patience)

    # By hand

    def _director(self) -> Director:
        director = self._directors.get(asyncio.get_running_loop())  # type: ignore[call-overload]
        if director is None:
            raise RuntimeError("the loop that runs is not this virtual_clock's")
        return director  # type: ignore[no-any-return]

    def pause(self) -> None:
        """Have the time move by `advance` and `step` only."""
        self._director().pause(True)

    def resume(self) -> None:
        """Have the time move by itself."""
        self._director().pause(False)

    async def advance(self, seconds: float) -> None:
        """Move the time on, through every timer on the way.

        Args:
            seconds: by how much.

        Returns:
            Nothing, once the time is there and all that became ready has run.

        Raises:
            ValueError: `seconds` is negative.

        >>> import rondeau, rondeau.testing
        >>> async def cook():
        ...     async with rondeau.testing.virtual_clock(paused=True) as clock:
        ...         soup = rondeau.create_task(rondeau.sleep(60, "soup"))
        ...         await clock.advance(59)
        ...         early = soup.done()
        ...         await clock.advance(1)
        ...         return early, soup.done()
        >>> rondeau.run(cook())
        (False, True)
        """
        if not seconds >= 0:
            raise ValueError(f"the time moves on only, not by {seconds!r} seconds")
        await self._director().advance(seconds)

    async def step(self) -> bool:
        """Move the time to the next timer, and let run what it makes ready.

        Returns:
            Whether there was one.
        """
        director = self._director()
        await director.advance(0.0)  # What is ready runs first: it may set timers.
        loop: Any = asyncio.get_running_loop()
        due = loop._next_due()
        if due is None:
            return False
        await director.advance(max(due - loop.time(), 0.0))
        return True
