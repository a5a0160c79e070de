"""How a loop runs: `run_until_complete`, its turns, and what of its queues a program sees.

The base of class EventLoop, on top of `_connections`. A run's turns are native (`_core.EventLoop._run`) unless the program has
something of its own in them (`_own_turns`); a run within another is `_nesting`'s.

Always: `_runs` tells of each run of this loop that is on the stack, the innermost first: the future that it waits for or None,
and the runs below it. It is None where the loop does not run. A run that ends puts back what was there before it, for which it
needs no memory.
"""

from __future__ import annotations

import asyncio
import weakref
from asyncio import futures, tasks

from rondeau import _selecting
from rondeau._connections import Connections

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator
    from typing import Any, TypeVar

    T = TypeVar("T")
    Runs = tuple[asyncio.Future[Any] | None, "Runs"] | None


class Running(Connections):
    """See the file's head."""

    __slots__ = ()

    _runs: Runs
    _main: asyncio.Future[Any] | None  # From `run_until_complete` to the `run_forever` that it calls.
    _shown: Any  # A weak reference to the list of timers that was shown last, or None.

    def _take_turns(self) -> None:
        """Take turns until `stop()` was called."""
        while True:
            if self._own_turns:
                from . import _own_turns

                _own_turns.run(self)
            else:
                self._run()
            if self._stopping:
                return

    def run_until_complete(self, future: Generator[Any, None, T] | Awaitable[T]) -> T:
        """Run until the future, or the coroutine as a task, is done; return its result.

        Raises:
            RuntimeError: as `run_forever`, or `stop()` was called before it was done.
        """
        self._check_closed()
        self._check_running()
        is_new = not futures.isfuture(future)
        awaited: Any = tasks.ensure_future(future, loop=self)  # type: ignore[arg-type]
        if is_new:
            awaited._log_destroy_pending = False  # This method tells of what went wrong.
        waited_for = self._is_waited_for(awaited)  # By a run below this one, whose callback it has.
        if not waited_for:
            awaited.add_done_callback(_run_until_complete_cb)
        try:
            self._main = awaited
            self.run_forever()
        except:
            if is_new and awaited.done() and not awaited.cancelled():
                awaited.exception()  # What is raised here is what its exception led to.
            raise
        finally:
            self._main = None
            if not waited_for:
                awaited.remove_done_callback(_run_until_complete_cb)
        if not awaited.done():
            raise RuntimeError("Event loop stopped before Future completed.")
        return awaited.result()  # type: ignore[no-any-return]

    # Within itself

    def _is_waited_for(self, future: object) -> bool:
        """Whether a run on the stack waits for this future."""
        runs = self._runs
        while runs is not None:
            of, runs = runs
            if of is future:
                return True
        return False

    _nested_by_default = False

    @property
    def nested(self) -> bool:
        """Whether the loop may run within itself; see `rondeau.nest`."""
        return bool(self._nested)

    @nested.setter
    def nested(self, nested: bool) -> None:
        self._nested = nested
        if nested:
            from . import _nesting

            _nesting.rebind()

    def _check_running(self) -> None:
        self._check_process()
        if asyncio._get_running_loop() is not None:
            from . import _nesting

            if _nesting.is_allowed(self):
                return
        super()._check_running()

    # A turn, as asyncio's has it: called only where something in it is the program's own.

    def _process_events(self, event_list: Any) -> None:
        from . import _own_turns

        _own_turns.process_events(self, event_list)

    def _run_once(self) -> None:
        from . import _own_turns

        _own_turns.run_once(self)

    def _look_at_turns(self) -> None:
        """Note whether turns are to be taken in Python (`_own_turns`)."""
        self._own_turns = self._shown is not None or self._has_own_turn()

    def _has_own_turn(self) -> bool:
        """Whether something in a turn is the program's own."""
        # By the bound methods, and not by `vars(self)`: that would make the dict which the loop does without.
        return (
            getattr(self._run_once, "__func__", None) is not _OURS[0]
            or getattr(self._process_events, "__func__", None) is not _OURS[1]
            or not _selecting.is_plain(self._selector)
        )

    # Queues: what waits, shown to programs that look into asyncio's loop.

    @property
    def _ready(self) -> Any:
        if self.is_closed():
            return []  # Also of a loop that closes at the interpreter's end, where nothing can be imported.
        from ._queues import Ready

        return Ready(self)

    @_ready.setter
    def _ready(self, handles: Any) -> None:
        if handles or self._ready_count():
            self._ready._replace(handles)

    @property
    def _scheduled(self) -> Any:
        if self.is_closed():
            return []
        scheduled = self._shown() if self._shown is not None else None
        if scheduled is None:
            from ._queues import Scheduled

            scheduled = Scheduled(self)
            self._shown = weakref.ref(scheduled)
        if not self.is_closed():
            self._own_turns = True  # What is done to the list is looked at between two turns.
            scheduled.fill()
        return scheduled

    @_scheduled.setter
    def _scheduled(self, handles: Any) -> None:
        if handles or self._timer_version()[1]:
            self._scheduled[:] = sorted(handles)


_OURS = Running._run_once, Running._process_events  # A program may replace them on the class.


def _run_until_complete_cb(future: asyncio.Future[Any]) -> None:
    """What `run_until_complete` waits for is done: the run that waits for it ends, once it is the innermost one."""
    if not future.cancelled() and isinstance(future.exception(), (SystemExit, KeyboardInterrupt)):
        return  # It leaves the loop by itself.
    loop: Any = future.get_loop()
    # Asked and not compared: a task of the program's own kind may stand for this one.
    if loop._runs is not None and (awaited := loop._runs[0]) is not None and awaited.done():
        loop.stop()
