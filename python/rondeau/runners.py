"""run and Runner: asyncio's own front door, with Rondeau's loop behind it.

Called once per program (or per test), so all of it is asyncio's code; only the default of `loop_factory`
differs. Ctrl-C, the shutdown of generators and executors, and the task's context are asyncio.Runner's.
"""

from __future__ import annotations

import asyncio

from .loop import EventLoop, new_event_loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, TypeVar

    T = TypeVar("T")


class Runner(asyncio.Runner):  # type: ignore[misc]  # typeshed calls it final; it is not.
    """asyncio.Runner whose loops are Rondeau's unless `loop_factory` says otherwise.

    Args:
        debug: as in asyncio.
        loop_factory: as in asyncio.
        report_failed_tasks: set the loop's attribute of that name; None leaves it.
        keep_tasks: likewise.
        nested: likewise: whether the loop may run within itself, see `rondeau.nest`.

    Raises:
        TypeError: one of the last three was given, and the loop is not Rondeau's; with the first use, which makes the loop.

    >>> import asyncio, rondeau
    >>> with rondeau.Runner() as runner:
    ...     runner.run(asyncio.sleep(0, 10)) + runner.run(asyncio.sleep(0, 5))
    15
    """

    def __init__(
        self,
        *,
        debug: bool | None = None,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
        report_failed_tasks: bool | None = None,
        keep_tasks: bool | None = None,
        nested: bool | None = None,
    ) -> None:
        options = {"report_failed_tasks": report_failed_tasks, "keep_tasks": keep_tasks, "nested": nested}
        super().__init__(debug=debug, loop_factory=_with(options, loop_factory or new_event_loop))


def _with(
    options: dict[str, bool | None], factory: Callable[[], asyncio.AbstractEventLoop]
) -> Callable[[], asyncio.AbstractEventLoop]:
    """A factory of loops on which these are set."""
    given = {name: value for name, value in options.items() if value is not None}
    if not given:
        return factory

    def make() -> asyncio.AbstractEventLoop:
        loop = factory()
        if not isinstance(loop, EventLoop):
            loop.close()
            raise TypeError(f"{' and '.join(given)}: for Rondeau's loops, and loop_factory made {loop!r}")
        for name, value in given.items():
            setattr(loop, name, value)
        return loop

    return make


def run(
    main: Coroutine[Any, Any, T],
    *,
    debug: bool | None = None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    report_failed_tasks: bool | None = None,
    keep_tasks: bool | None = None,
    nested: bool | None = None,
) -> T:
    """Run the coroutine `main` on a new loop and return its result, as asyncio.run does.

    Args:
        main: the coroutine.
        debug: whether debug mode is on; None leaves it to the environment.
        loop_factory: makes the loop.
        report_failed_tasks: see `EventLoop`; None leaves it to the environment.
        keep_tasks: likewise.
        nested: likewise: whether the loop may run within itself, see `nest`.

    Where a loop runs already that may be entered (`nest`), it runs `main`, unless a `loop_factory` is given.

    Raises:
        RuntimeError: this thread already runs a loop.
        TypeError: `main` is not a coroutine (before Python 3.14: ValueError), or one of the last three was given and the loop
            is not Rondeau's.

    >>> import asyncio, rondeau
    >>> rondeau.run(asyncio.sleep(0, "served"))
    'served'
    """
    if asyncio._get_running_loop() is not None:
        from . import _nesting

        if _nesting.may_enter(asyncio._get_running_loop()):
            return _nesting.run_here(main, debug, loop_factory)  # type: ignore[no-any-return]
        # Named here and not left to Runner.run, which would name a method that nobody called.
        raise RuntimeError("rondeau.run() cannot be called from a running event loop")
    with Runner(
        debug=debug,
        loop_factory=loop_factory,
        report_failed_tasks=report_failed_tasks,
        keep_tasks=keep_tasks,
        nested=nested,
    ) as runner:
        return runner.run(main)


def __getattr__(name: str) -> Any:
    # `rondeau.runners` is also `asyncio.runners` for a program that says `import rondeau as asyncio`.
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(asyncio.runners, name)
