"""`run`: one simulated run."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import inspect
from dataclasses import dataclass, field

from .. import _core
from .._virtual_time import FIFO, PRIORITIES, RANDOM
from ..loop import EventLoop
from ._director import SimulationDirector
from ._machine import Machine
from ._world import START, World

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

_ORDERS = {"fifo": FIFO, "random": RANDOM, "pct": PRIORITIES}


@dataclass(frozen=True)
class Result:
    """What came of a run.

    Attributes: value: what `main` returned; None where it raised. error: what it raised, or the
    first exception that nobody handled; None: all is well. seed: what the run followed from; None
    where it repeated decisions. time: seconds that passed in it. steps: callbacks and tasks' steps
    that ran. decisions: all that the seed decided; given to `run`, they repeat the run also where
    the seed's numbers would differ. events: a line for each step and note: its time, what it was,
    and its name; empty where they were not kept.
    """

    value: Any
    error: BaseException | None
    seed: int | None
    time: float
    steps: int
    decisions: list[int] = field(repr=False)
    events: list[str] = field(repr=False)

    @property
    def digest(self) -> str:
        """A fingerprint of the events: two runs with the same one did the same."""
        return hashlib.sha256("\n".join(self.events).encode()).hexdigest()[:16]


def run(
    main: Callable[..., Coroutine[Any, Any, Any]],
    *,
    seed: int = 0,
    order: str = "random",
    changes: float = 0.01,
    decisions: list[int] | None = None,
    events: bool = True,
    most_steps: int = 10_000_000,
    wall: float = 1_767_225_600.0,
) -> Result:
    """Run a program once, in a world that follows from a seed.

    Args: main: an async function, called with a `World`, or without where it takes no argument.
    seed: 64 bits. order: which of the ready comes next: `random`; `pct`, by random priorities that
    change now and then, which finds faults
            that need a few steps in an unlikely order; `fifo`, as asyncio has it. `call_soon`'s
            callbacks keep their order in each.
        changes: with `pct`: in which share of the steps a priority changes.
        decisions: repeat these instead of following a seed; zeros follow them.
        events: whether a line is kept of each step.
        most_steps: callbacks and tasks' steps that the run may take.
        wall: what `time.time()` says when it begins, in seconds since 1970; 2026-01-01 UTC.

    Returns:
        The result, if nothing failed.

    Raises: BaseException: what `main` raised, or the first exception that nobody handled, with a
    note that says the seed; its
            attribute `simulation` is the `Result`.
        StuckError: everything waited, and nothing could come.
        TooLongError: it took more than `most_steps`.
        RuntimeError: a loop runs already in this thread.
        ValueError: there is no such `order`.

    >>> import asyncio, rondeau.simulation as simulation
    >>> async def main(world):
    ...     await asyncio.sleep(3600)
    ...     return world.time
    >>> simulation.run(main, seed=7).value
    3600.0
    """
    result = attempt(main, seed, order, changes, decisions, events, most_steps, wall)
    if result.error is None:
        return result
    result.error.add_note(_note(result, decisions is not None))
    result.error.simulation = result  # type: ignore[attr-defined]
    raise result.error


def _note(result: Result, is_repeated: bool) -> str:
    of = "the simulation of these decisions" if is_repeated else f"the simulation with seed={result.seed}"
    return f"in {of}, after {result.steps} steps and {result.time:g} s of its time"


def attempt(
    main: Callable[..., Coroutine[Any, Any, Any]],
    seed: int,
    order: str,
    changes: float,
    decisions: list[int] | None,
    events: bool,
    most_steps: int,
    wall: float,
) -> Result:
    """`run`, whose result has the error."""
    if order not in _ORDERS:
        raise ValueError(f"order is one of {', '.join(map(repr, _ORDERS))}, and not {order!r}")
    if asyncio._get_running_loop() is not None:
        raise RuntimeError("a simulation cannot be run from a running event loop")
    interval = max(2, round(1 / changes)) if changes > 0 else 2**32 - 1
    tape: int | list[int] = seed if decisions is None else decisions
    gc_was_enabled = gc.isenabled()
    gc.disable()  # Finalizers run at the same moments in each run.
    is_frozen = gc.get_freeze_count() == 0
    if is_frozen:
        gc.freeze()  # And what was there before is not looked through in each.
    numbers = _core.number_tasks(0)
    lines: list[str] | None = [] if events else None
    loop = EventLoop()
    director = SimulationDirector(loop, most_steps, lines)
    errors: list[BaseException] = []
    value = None
    try:
        loop.set_exception_handler(lambda loop, context: errors.append(_reported(context)))
        director.start(START, tape, _ORDERS[order], interval)
        world = World(loop, director, seed if decisions is None else None)
        with Machine(director, wall, str(seed)):
            try:
                value = _main(loop, main, world)
            except BaseException as error:
                errors.insert(0, error)
            finally:
                taken = loop.time() - START
                _finish(loop, errors)
                gc.collect()  # What is only now found to have failed is reported here.
        numbers_of_tape, steps = loop._decisions()
    finally:
        director.end()
        asyncio.set_event_loop(None)
        loop.close()
        _core.number_tasks(max(numbers, _core.number_tasks(0)))
        if is_frozen:
            gc.unfreeze()
        if gc_was_enabled:
            gc.enable()
    for raised in errors:
        if isinstance(raised, (KeyboardInterrupt, SystemExit)):
            raise raised
    return Result(
        value=value,
        error=errors[0] if errors else None,
        seed=seed if decisions is None else None,
        time=taken,
        steps=steps,
        decisions=numbers_of_tape,
        events=lines or [],
    )


def _main(loop: EventLoop, main: Callable[..., Coroutine[Any, Any, Any]], world: World) -> Any:
    asyncio.set_event_loop(loop)
    return loop.run_until_complete(main(world) if takes_world(main) else main())


def takes_world(main: Callable[..., Any]) -> bool:
    """Whether a program wants its world."""
    try:
        inspect.signature(main).bind()
    except TypeError:
        return True
    return "world" in inspect.signature(main).parameters


def _finish(loop: EventLoop, errors: list[BaseException]) -> None:
    """As asyncio.Runner does: what is left is cancelled, generators and executors end."""
    try:
        left = asyncio.all_tasks(loop)
        for task in sorted(left, key=lambda task: (len(task.get_name()), task.get_name())):
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            for task in left:
                if not task.cancelled() and (error := task.exception()) is not None:
                    errors.append(error)
        loop.run_until_complete(loop.shutdown_asyncgens())
    except BaseException as error:
        errors.append(error)


def _reported(context: dict[str, Any]) -> BaseException:
    error = context.get("exception")
    if error is None:
        return RuntimeError(context["message"])
    if isinstance(error, BaseException):
        error.add_note(f"reported to the loop's exception handler: {context['message']}")
    return error  # type: ignore[no-any-return]
