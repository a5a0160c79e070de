"""`rondeau.subscribe` and `unsubscribe`: what happens to tasks and loops, told to vendors' listeners as it happens.

Called by programs; `_core` calls the functions that pass an event on, while somebody listens to it, and `EventLoop.run_forever`
calls `run_hooks`. The methods of a listener are looked up once. What a listener raises is reported and goes no further, and
events that it causes itself are not told to it.

All here may be called from any thread: who listens is a tuple, replaced as a whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref

from . import _core
from .loop import EventLoop, run_hooks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

EVENTS = ("task_created", "task_done", "slow_callback", "loop_started", "loop_stopped")


class _Subscription:
    """A listener, the loop it is for, and its methods that still serve."""

    __slots__ = ("inside", "listener", "loop", "methods")

    def __init__(self, listener: object, loop: EventLoop | None, methods: dict[str, Callable[..., object]]) -> None:
        self.listener = listener
        self.loop = None if loop is None else weakref.ref(loop)
        self.methods = methods
        self.inside: set[int] = set()  # The threads in which it is being told something.

    def is_for(self, loop: object) -> bool:
        return self.loop is None or self.loop() is loop


_subscriptions: list[_Subscription] = []
_listening: dict[str, tuple[_Subscription, ...]] = dict.fromkeys(EVENTS, ())
_lock = threading.RLock()


def subscribe(listener: object, loop: asyncio.AbstractEventLoop | None = None) -> None:
    """Tell `listener` of tasks and loops, until `unsubscribe(listener)`. It has one or more of these methods:

    | method | called |
    |---|---|
    | `task_created(task)` | when a task was made, before its first step |
    | `task_done(task)` | when it has ended, before its done-callbacks |
    | `slow_callback(loop, what, seconds)` | when a step or a callback took `loop.slow_callback_duration` or longer |
    | `loop_started(loop)` | when a loop begins to run, in its thread; `run` does so several times, for its own cleaning up |
    | `loop_stopped(loop)` | when it runs no more |

    They are called in the loop's thread; `task_done` in the task's last step, as the current task and in its context: to ask it
    for its exception there does not count as taking it. `what` is a task, a handle, or the transport whose turn it was. An
    exception in a method is reported to the loop's exception handler, and that method is not called again. Events that a
    listener causes are not told to it.

    Args:
        listener: any object; its methods are looked up now.
        loop: one of Rondeau's: only its events; None is all loops of the process.

    Raises:
        TypeError: the listener has none of the methods, one is not callable, or the loop is not Rondeau's.
        ValueError: the listener is subscribed for that loop already.

    >>> import asyncio, rondeau
    >>> class Kitchen:
    ...     def task_done(self, task):
    ...         if task.get_name() == "soup":
    ...             print("the soup is done")
    >>> async def main():
    ...     await asyncio.create_task(asyncio.sleep(0), name="soup")
    >>> kitchen = Kitchen()
    >>> rondeau.subscribe(kitchen)
    >>> rondeau.run(main())
    the soup is done
    >>> rondeau.unsubscribe(kitchen)
    """
    if loop is not None and not isinstance(loop, EventLoop):
        raise TypeError(f"rondeau.subscribe() listens to Rondeau's loops, and this is {loop!r}")
    methods = {name: getattr(listener, name) for name in EVENTS if getattr(listener, name, None) is not None}
    if not methods:
        raise TypeError(f"a listener has one or more of the methods {', '.join(EVENTS)}, and this has none: {listener!r}")
    for name, method in methods.items():
        if not callable(method):
            raise TypeError(f"{name} of the listener is not callable: {method!r}")
    with _lock:
        for other in _subscriptions:
            if other.listener is listener and (loop is None or other.is_for(loop)):
                raise ValueError(f"the listener is subscribed already: {listener!r}")
        _subscriptions.append(_Subscription(listener, loop, methods))
        _look_again()


def unsubscribe(listener: object) -> None:
    """Tell `listener` nothing more, of any loop.

    Raises:
        ValueError: it was not subscribed.
    """
    with _lock:
        found = [one for one in _subscriptions if one.listener is listener]
        if not found:
            raise ValueError(f"the listener is not subscribed: {listener!r}")
        for one in found:
            one.methods = {}
            _subscriptions.remove(one)
        _look_again()


def _look_again() -> None:
    """Have the native side and `run_forever` call for what somebody listens to, and for nothing else. The lock is held."""
    for event in EVENTS:
        _listening[event] = tuple(one for one in _subscriptions if event in one.methods)
    created, done, slow, *runs = (bool(_listening[event]) for event in EVENTS)
    _core.listen(
        _created if created else None,
        _done if done else None,
        _slow if slow else None,
        _made if created or done else None,
    )
    if any(runs) and _run_changed not in run_hooks:
        run_hooks.append(_run_changed)
    elif not any(runs) and _run_changed in run_hooks:
        run_hooks.remove(_run_changed)


def _tell(event: str, loop: Any, *args: object) -> None:
    thread = threading.get_ident()
    for one in _listening[event]:
        method = one.methods.get(event)
        if method is None or thread in one.inside or not one.is_for(loop):
            continue
        one.inside.add(thread)
        try:
            method(*args)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            _leave_out(one, event, loop, error)
        finally:
            one.inside.discard(thread)


def _leave_out(one: _Subscription, event: str, loop: Any, error: BaseException) -> None:
    """A method failed: once is enough."""
    with _lock:
        if event not in one.methods:
            return
        one.methods = {name: method for name, method in one.methods.items() if name != event}
        _look_again()
    message = f"Exception in {type(one.listener).__name__}.{event}, a listener's method; it is not called again"
    loop.call_exception_handler({"message": message, "exception": error, "listener": one.listener})


def _created(task: Any) -> None:
    _tell("task_created", task.get_loop(), task)


def _done(task: Any) -> None:
    _tell("task_done", task.get_loop(), task)


def _slow(loop: Any, what: object, seconds: float) -> None:
    _tell("slow_callback", loop, loop, what, seconds)


def _run_changed(loop: EventLoop, event: str) -> None:
    _tell(event, loop, loop)


def _made(loop: Any, task: Any) -> None:
    """A task factory made a task. A native one was told of as it was made."""
    if isinstance(task, _core.Task):
        return
    _tell("task_created", loop, task)
    if _listening["task_done"]:
        with contextlib.suppress(Exception):  # It may be anything.
            task.add_done_callback(_done)
