"""`ThreadPool`: the loop's default executor, made when `run_in_executor(None, f)` is first called.

A `concurrent.futures.ThreadPoolExecutor` with the same limits, thread names and shutdown, whose queue is native
(`_core.JobQueue`): what the loop sends comes back to it without a `concurrent.futures.Future`. `submit` and `map` work as in
any executor. A program that sets an executor of its own is obeyed.
"""

from __future__ import annotations

import threading
import weakref
from concurrent.futures import Future, ThreadPoolExecutor, thread

from rondeau import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import Any

    from .loop import EventLoop


class _Work:
    """What `submit` gives to a thread."""

    __slots__ = ("args", "fn", "future", "kwargs")

    def __init__(self, future: Future[Any], fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.future = future
        self.fn = fn
        self.args = args
        self.kwargs = kwargs

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self.fn(*self.args, **self.kwargs)
        except BaseException as exc:
            self.future.set_exception(exc)
            del self  # Or the traceback's frame would keep the future, which keeps the exception.
        else:
            self.future.set_result(result)


def _work(queue: Any, gone: object) -> None:
    queue.work()


class ThreadPool(ThreadPoolExecutor):
    """The default executor of a `rondeau.EventLoop`.

    >>> from rondeau.executor import ThreadPool
    >>> with ThreadPool(thread_name_prefix="cook") as pool:
    ...     pool.submit(pow, 2, 5).result()
    32
    """

    _work_queue: Any
    _threads: set[threading.Thread]

    def __init__(self, thread_name_prefix: str = "") -> None:
        super().__init__(thread_name_prefix=thread_name_prefix)
        self._work_queue = _core.JobQueue()

    def call(self, loop: EventLoop, function: Callable[..., Any], args: tuple[Any, ...]) -> asyncio.Future[Any]:
        """Have a thread call the function; return a future of the loop, to be called in its thread.

        Raises:
            RuntimeError: the pool was shut down, or the interpreter is ending.
        """
        if self._shutdown or thread._shutdown:
            self._refuse()
        future, short = self._work_queue.call(loop, function, args)
        if short:
            self._adjust_thread_count()
        return future  # type: ignore[no-any-return]

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        with self._shutdown_lock:
            if self._shutdown or thread._shutdown:
                self._refuse()
            future: Future[Any] = Future()
            if self._work_queue.put(_Work(future, fn, args, kwargs)):
                self._adjust_thread_count()
            return future

    submit.__doc__ = ThreadPoolExecutor.submit.__doc__

    def _refuse(self) -> None:
        which = "" if self._shutdown else "interpreter "
        raise RuntimeError(f"cannot schedule new futures after {which}shutdown")

    def _adjust_thread_count(self) -> None:
        # Called where an item has no thread that waits.
        number = len(self._threads)
        if number >= self._max_workers:
            return
        queue = self._work_queue
        # The pool is not kept alive by its threads; when it goes, they end.
        gone = weakref.ref(self, lambda _: queue.put(None))
        worker = threading.Thread(name=f"{self._thread_name_prefix}_{number}", target=_work, args=(queue, gone))
        worker.start()
        self._threads.add(worker)
        thread._threads_queues[worker] = queue  # type: ignore[index]  # For the interpreter's end.
