"""run and Runner: asyncio's own front door, with Rondeau's loop behind it.

Called once per program (or per test), so all of it is asyncio's code; only the default of `loop_factory`
differs. Ctrl-C, the shutdown of generators and executors, and the task's context are asyncio.Runner's.
"""

from __future__ import annotations

import asyncio

from .loop import new_event_loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, TypeVar

    T = TypeVar("T")


class Runner(asyncio.Runner):  # type: ignore[misc]  # typeshed calls it final; it is not.
    """asyncio.Runner whose loops are Rondeau's unless `loop_factory` says otherwise.

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
    ) -> None:
        super().__init__(debug=debug, loop_factory=loop_factory or new_event_loop)


def run(
    main: Coroutine[Any, Any, T],
    *,
    debug: bool | None = None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> T:
    """Run the coroutine `main` on a new loop and return its result, as asyncio.run does.

    Raises:
        RuntimeError: this thread already runs a loop.
        TypeError: `main` is not a coroutine (before Python 3.14 it is ValueError).

    >>> import asyncio, rondeau
    >>> rondeau.run(asyncio.sleep(0, "served"))
    'served'
    """
    if asyncio._get_running_loop() is not None:
        # Named here and not left to Runner.run, which would name a method that nobody called.
        raise RuntimeError("rondeau.run() cannot be called from a running event loop")
    with Runner(debug=debug, loop_factory=loop_factory) as runner:
        return runner.run(main)


def __getattr__(name: str) -> Any:
    # `rondeau.runners` is also `asyncio.runners` for a program that says `import rondeau as asyncio`.
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(asyncio.runners, name)
