"""A loop that runs within itself: in the middle of a callback or of a task's step, where the program asked for it.

`nest()` allows it. `EventLoop.run_forever` and `run_until_complete` come here when the loop runs already. The depth below
stands still (`_suspend`): its task is not current, and waits for what the inner run waits for, so that a cancellation
(Ctrl-C, a time-out, a group that fails) reaches through. Everything else goes on: what is ready runs in the inner turns,
whoever scheduled it.

Each depth ends by its own end only: `stop()` is for the innermost one, and a future that is done ends the run that waits for it
once the runs above it are over.

Rejected: turns that serve only what the inner run began. A task would wait for another that may not run.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from asyncio import events, runners
from contextlib import contextmanager, suppress

from . import _core
from ._running import Running
from .loop import EventLoop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from types import TracebackType
    from typing import Any

# Of each thread: the tasks whose step another loop runs in, innermost last.
_callers = threading.local()


def is_allowed(loop: Running) -> bool:
    """Whether `loop` may run here, in a thread where a loop runs."""
    running = asyncio._get_running_loop()
    if running is loop:
        return loop.nested and loop._thread_id == threading.get_ident()
    return loop._thread_id is None and may_enter(running)


def may_enter(running: object) -> bool:
    """Whether this running loop may be entered."""
    return isinstance(running, EventLoop) and running.nested


def run(loop: EventLoop, future: asyncio.Future[Any] | None) -> None:
    """`run_forever` where a loop runs already; `future` is what `run_until_complete` waits for."""
    if asyncio._get_running_loop() is not loop:
        with aside():
            loop._main = future
            loop.run_forever()
        return
    hooks = sys.get_asyncgen_hooks()
    task = loop._suspend()
    below = loop._runs
    try:
        if future is not None and future is task:
            raise RuntimeError(f"Task cannot await on itself: {task!r}")
        loop._runs = (future, below)
        try:
            with _waiting(task, future):
                sys.set_asyncgen_hooks(firstiter=loop._asyncgen_firstiter_hook, finalizer=loop._asyncgen_finalizer_hook)
                loop._take_turns()
        finally:
            loop._runs = below
    finally:
        loop._stopping = False
        sys.set_asyncgen_hooks(hooks.firstiter, hooks.finalizer)
        loop._resume()
        if below is not None and below[0] is not None and below[0].done():
            loop.stop()  # It ended meanwhile.


@contextmanager
def _waiting(task: Any, future: asyncio.Future[Any] | None) -> Iterator[None]:
    """Have a task that is in the middle of its step wait for what the inner run waits for."""
    if task is None or future is None:
        yield
        return
    native = isinstance(task, _core.Task)
    if native:
        _core.hold(task, future)
    else:
        with suppress(AttributeError):  # asyncio's task in C does not let us.
            task._fut_waiter = future
    try:
        yield
    finally:
        if native:
            _core.let_go(task, future)
        else:
            with suppress(AttributeError):
                task._fut_waiter = None


@contextmanager
def aside() -> Iterator[None]:
    """Have no loop running in this thread, and no task current, for another loop that runs meanwhile."""
    running = asyncio._get_running_loop()
    assert isinstance(running, EventLoop)
    callers = vars(_callers).setdefault("tasks", [])
    callers.append(running._suspend())
    events._set_running_loop(None)
    try:
        yield
    finally:
        events._set_running_loop(running)
        callers.pop()
        running._resume()


def caller() -> Any:
    """The task in whose step another loop begins to run, or None."""
    callers = vars(_callers).get("tasks")
    return callers[-1] if callers else None


def run_here(
    main: Coroutine[Any, Any, Any],
    debug: bool | None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None,
) -> Any:
    """`asyncio.run` where a loop runs that may be entered: on that loop, or on one of its own that the factory makes."""
    if loop_factory is not None:
        with aside(), asyncio.Runner(debug=debug, loop_factory=loop_factory) as runner:
            if isinstance(made := runner.get_loop(), EventLoop):
                made.nested = True  # Whoever may enter this one may enter that one.
            return runner.run(main)
    loop = asyncio.get_running_loop()
    if not asyncio.iscoroutine(main):
        raise (TypeError if sys.version_info >= (3, 14) else ValueError)(f"a coroutine was expected, got {main!r}")
    before = loop.get_debug()
    if debug is not None:
        loop.set_debug(debug)
    task = loop.create_task(main)
    try:
        return loop.run_until_complete(task)
    finally:
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):
                loop.run_until_complete(task)
        loop.set_debug(before)


class nest:
    """Let a loop run within itself: `run_until_complete`, `run_forever` and `asyncio.run` where it runs already.

    For code that is called from a coroutine, is none itself, and must wait for one: notebooks, plug-ins, libraries that hide
    their event loop. Without `nest`, asyncio's RuntimeError is raised. Prefer `await` where you can: each call stays on the
    stack until the coroutine that it runs is done, whatever else runs meanwhile.

    As a context manager it takes it back at the end of the block.

    Args:
        loop: the loop; None is the one that runs here. Where none runs, every Rondeau loop that is made from now on.

    Raises:
        TypeError: the loop is not Rondeau's.

    >>> import asyncio, rondeau
    >>> def answer():
    ...     return asyncio.run(asyncio.sleep(0.01, 42))
    >>> async def main():
    ...     with rondeau.nest():
    ...         return answer()
    >>> rondeau.run(main())
    42
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        if loop is None:
            loop = asyncio._get_running_loop()
        if loop is not None and not isinstance(loop, EventLoop):
            raise TypeError(f"nest() is for Rondeau's loops, and this is {loop!r}")
        self._target: Any = loop if loop is not None else EventLoop
        self._before = loop.nested if loop is not None else EventLoop._nested_by_default
        self._set(True)

    def _set(self, nested: bool) -> None:
        if self._target is EventLoop:
            EventLoop._nested_by_default = nested
            if nested:
                rebind()
        else:
            self._target.nested = nested

    def __enter__(self) -> nest:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._set(self._before)


def rebind() -> None:
    """Have `asyncio.run` ask whether the running loop may be entered, everywhere where asyncio keeps it; from now on."""
    original = runners.run
    if getattr(original, "_rondeau", False):
        return

    def run(main: Any, *, debug: bool | None = None, **options: Any) -> Any:
        if may_enter(asyncio._get_running_loop()):
            unknown = options.keys() - {"loop_factory"}
            if not unknown:
                return run_here(main, debug, options.get("loop_factory"))
        return original(main, debug=debug, **options)

    run.__doc__ = original.__doc__
    run.__module__, run.__qualname__ = original.__module__, original.__qualname__
    run.__wrapped__ = original  # type: ignore[attr-defined]  # Its signature is asyncio's.
    run._rondeau = True  # type: ignore[attr-defined]
    for module in (asyncio, runners):
        if vars(module)["run"] is original:
            module.run = run  # type: ignore[attr-defined]
