"""`rondeau.EventLoop`: the native loop in front of asyncio's own Unix loop.

Made by `new_event_loop`, run by `run_forever`. What happens per callback, per await or per packet is native (`_core.EventLoop`
comes first); what happens once per loop or per connection (name look-up, connecting, servers, signals, subprocesses, executors)
is asyncio's own code, in the form that this Python has, so it behaves as asyncio's to the letter.

This file joins the two where asyncio's code would ask a `selectors` selector, `_running` where it would take turns,
`_connections` where it would make a transport: it is sent to the native side.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
import socket
import sys
import threading
from asyncio import events

from rondeau import _cold, _core
from rondeau._running import Running
from rondeau._selecting import Selector

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from concurrent.futures import Executor
    from typing import Any, TypeVar, TypeVarTuple

    T = TypeVar("T")
    Ts = TypeVarTuple("Ts")


# Whether the environment asks for a watchdog, which is then started with the first loop.
_WATCHDOG = os.environ.get("RONDEAU_WATCHDOG", "0") not in ("", "0")

# Whether the environment asks for these of every loop.
_REPORT_FAILED_TASKS = os.environ.get("RONDEAU_REPORT_FAILED_TASKS", "0") not in ("", "0")
_KEEP_TASKS = os.environ.get("RONDEAU_KEEP_TASKS", "0") not in ("", "0")

# What native functions do without asking the loop's methods.
_HOT = (
    "call_soon",
    "call_soon_threadsafe",
    "call_later",
    "call_at",
    "time",
    "create_future",
    "create_task",
    "run_in_executor",
)


exception_hooks: list[Callable[[], None]] = []  # Who wants to know of unhandled exceptions: flight recorders.
run_hooks: list[Callable[[EventLoop, str], None]] = []  # Who wants to know when a loop starts and stops: listeners.


@_core.own_methods
class EventLoop(Running):
    """An asyncio event loop on Linux's own interfaces.

    It is an `asyncio.SelectorEventLoop` in all that a program can ask of one. Made by `rondeau.new_event_loop()`; one
    thread runs it.

    Attributes:
        report_failed_tasks: Whether a task that fails while nobody waits for it is reported when it ends and not when it is
            collected: to the exception handler, four turns later, unless somebody took the exception by then. May be set at
            any time.
        nested: Whether the loop may run within itself; see `rondeau.nest`.
        keep_tasks: Whether the loop keeps alive each task that is made from now on, until the task ends or the loop is closed.

    Both are False unless `RONDEAU_REPORT_FAILED_TASKS=1` or `RONDEAU_KEEP_TASKS=1` is in the environment, and hold for tasks of
    the loop's own kind, not for those that a task factory makes of another.

    Raises:
        ValueError: `RONDEAU_DRIVER` is set to something else than `epoll` or `uring`, or `RONDEAU_WATCHDOG` to something else
            than a number of seconds, `auto` or 0.
        OSError: the process has no descriptors left.

    >>> import asyncio, rondeau
    >>> with asyncio.Runner(loop_factory=rondeau.new_event_loop) as runner:
    ...     runner.run(asyncio.sleep(0, "served"))
    'served'
    """

    # What asyncio's `__init__`s set. As slots they leave the instance's dict unmade, and CPython's specialised look-up of
    # `loop.call_soon` holds only while there is none (20 ns a call). A program may still set attributes of its own.
    __slots__ = (
        "_asyncgens",
        "_asyncgens_shutdown_called",
        "_clock_resolution",
        "_coroutine_origin_tracking_enabled",
        "_coroutine_origin_tracking_saved_depth",
        "_csock",
        "_current_handle",
        "_default_executor",
        "_exception_handler",
        "_executor_shutdown_called",
        "_in_greenlets",
        "_internal_fds",
        "_main",
        "_old_agen_hooks",
        "_runs",
        "_selector",
        "_shown",
        "_signal_handlers",
        "_ssock",
        "_timer_cancelled_count",
        "_transports",
        "_unix_server_sockets",
        "_virtual_time",
        "_watcher",
        "slow_callback_duration",
    )

    def __init__(self) -> None:
        if _WATCHDOG:
            from . import _watchdog

            _watchdog.from_environment()
        self._shown = None
        self._main = None
        self._runs = None
        self._virtual_time = None
        super().__init__(self._make_selector())
        if _REPORT_FAILED_TASKS:
            self.report_failed_tasks = True
        if _KEEP_TASKS:
            self.keep_tasks = True
        if self._nested_by_default:
            self._nested = True
        if type(self) is not EventLoop or self._in_greenlets:
            self._look_at_methods(())

    def _make_selector(self) -> Selector:
        """The native one, but where threads are greenlets: see `_green`."""
        self._in_greenlets = False
        if "gevent.monkey" in sys.modules or "eventlet.patcher" in sys.modules:
            from . import _green

            if _green.library() is not None:
                self._in_greenlets = True
                return _green.Selector(self)
        return Selector(self)

    _in_greenlets: bool

    def _look_at_methods(self, attributes: Container[str]) -> None:
        """Tell the native side which methods are the program's own: of a subclass, or among the object's `attributes`."""
        kind = type(self)
        own = {name for name in _HOT if name in attributes or getattr(kind, name) is not getattr(EventLoop, name)}
        self._direct = "call_soon" not in own
        self._own_clock = "time" in own
        self._plain = not own and not self._in_greenlets
        self._look_at_turns()

    # Life

    def run_forever(self) -> None:
        """Run until `stop()` is called.

        Raises:
            RuntimeError: the loop is closed or running, another loop runs in this thread, or this process is a fork of the
                one that made the loop.
        """
        self._check_closed()
        self._check_running()
        future, self._main = self._main, None
        if asyncio._get_running_loop() is not None:  # And that is allowed.
            from . import _nesting

            return _nesting.run(self, future)
        hooks = sys.get_asyncgen_hooks()
        signals = self._wake_on_signals()
        below = self._runs
        self._runs = (future, below)
        try:
            self._set_coroutine_origin_tracking(self._debug)
            self._thread_id = threading.get_ident()
            sys.set_asyncgen_hooks(firstiter=self._asyncgen_firstiter_hook, finalizer=self._asyncgen_finalizer_hook)
            events._set_running_loop(self)
            for hook in tuple(run_hooks):
                hook(self, "loop_started")
            self._look_at_turns()
            self._take_turns()
        finally:
            self._runs = below
            self._stopping = False
            self._thread_id = None
            events._set_running_loop(None)
            self._set_coroutine_origin_tracking(False)
            sys.set_asyncgen_hooks(hooks.firstiter, hooks.finalizer)
            if signals:
                self._leave_signals()
            for hook in tuple(run_hooks):
                hook(self, "loop_stopped")

    def _wake_on_signals(self) -> bool:
        """Have a signal end the wait in the kernel even if it comes just before it; true if that was set up here.

        Python runs signal handlers in the main thread only, and a program's own wake-up descriptor stays in place.
        """
        if threading.current_thread() is not threading.main_thread():
            return False
        self._ensure_self_pipe()
        assert self._csock is not None
        before = signal.set_wakeup_fd(self._csock.fileno(), warn_on_full_buffer=False)
        if before in (-1, self._csock.fileno()):
            return before == -1
        signal.set_wakeup_fd(before)
        return False

    def _leave_signals(self) -> None:
        if self._signal_handlers:
            return
        before = signal.set_wakeup_fd(-1)
        if self._csock is None or before != self._csock.fileno():
            signal.set_wakeup_fd(before)

    def add_signal_handler(self, sig: int, callback: Callable[[*Ts], object], *args: *Ts) -> None:
        """Call `callback(*args)` in the loop when signal `sig` arrives; see asyncio."""
        self._check_closed()
        self._ensure_self_pipe()
        super().add_signal_handler(sig, callback, *args)

    # asyncio's self-pipe is for signals only here, and made when one is wanted: other threads wake the driver.

    def _make_self_pipe(self) -> None:
        self._ssock = self._csock = None
        self._internal_fds += 1  # the driver's own

    def _ensure_self_pipe(self) -> None:
        if self._ssock is not None:
            return
        before = self._internal_fds
        try:
            super()._make_self_pipe()
        except BaseException:  # Half made, it would be taken for whole the next time.
            for sock in (self._ssock, self._csock):
                if sock is not None:
                    sock.close()
            self._ssock = self._csock = None
            self._internal_fds = before
            raise

    def _close_self_pipe(self) -> None:
        if self._ssock is not None:
            super()._close_self_pipe()
        self._internal_fds -= 1

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Have the exception handler report what nobody handled; whoever is in `exception_hooks` is told first."""
        for hook in tuple(exception_hooks):
            hook()
        super().call_exception_handler(context)

    # Threads

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Have a thread of the executor call `func(*args)`; None is the loop's own pool.

        Returns:
            A future with the result.

        Raises:
            RuntimeError: the loop is closed, or its pool was shut down.
        """
        if self._virtual_time is not None:
            return self._virtual_time.submit(executor, func, args)  # type: ignore[no-any-return]
        return self._submit(executor, func, *args)

    _virtual_time: Any

    def _submit(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        if executor is None and self._plain:
            pool = self._default_executor
            if pool is None or type(pool) is self._pool:
                self._check_closed()
                if self._debug:
                    self._check_callback(func, "run_in_executor")
                self._check_default_executor()
                if pool is None:
                    pool = self._default_executor = self._make_pool()
                return pool.call(self, func, args)  # type: ignore[no-any-return]
        return super().run_in_executor(executor, func, *args)

    _pool: Any = None

    def _make_pool(self) -> Any:
        # Late, as asyncio imports `concurrent.futures.thread` late.
        from .executor import ThreadPool

        EventLoop._pool = ThreadPool
        return ThreadPool(thread_name_prefix="asyncio")

    # Descriptors

    def add_reader(self, fd: Any, callback: Callable[[*Ts], object], *args: *Ts) -> None:
        """Call `callback(*args)` whenever `fd` can be read.

        Args:
            fd: a descriptor's number, or an object with `fileno()`.

        Raises:
            RuntimeError: a transport uses `fd`.
            ValueError: `fd` is no descriptor.
            OSError: the kernel cannot watch it (a regular file: EPERM).
        """
        self._ensure_fd_no_transport(fd)
        self._add_reader(fd, callback, *args)

    def remove_reader(self, fd: Any) -> bool:
        """Stop watching `fd` for reading; return whether it was watched."""
        self._ensure_fd_no_transport(fd)
        return self._remove_reader(fd)

    def add_writer(self, fd: Any, callback: Callable[[*Ts], object], *args: *Ts) -> None:
        """Call `callback(*args)` whenever `fd` can be written; see `add_reader`."""
        self._ensure_fd_no_transport(fd)
        self._add_writer(fd, callback, *args)

    def remove_writer(self, fd: Any) -> bool:
        """Stop watching `fd` for writing; return whether it was watched."""
        self._ensure_fd_no_transport(fd)
        return self._remove_writer(fd)

    def _ensure_fd_no_transport(self, fd: Any) -> None:
        super()._ensure_fd_no_transport(fd)
        number = fd if isinstance(fd, int) else int(fd.fileno())
        transport = self._transport_of(number)
        if transport is not None and not transport.is_closing():
            raise RuntimeError(f"File descriptor {fd!r} is used by transport {transport!r}")

    # Sockets of the program's own: the other `sock_*` methods are native.

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connect `sock`, a non-blocking socket, to `address`; a name in it is looked up.

        Raises:
            OSError: the name is not known, or nobody answers there.
            ValueError: in debug mode, the socket is a blocking one.
        """
        _cold.check_socket(sock, self._debug)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            resolved = await self._ensure_resolved(address, family=sock.family, type=sock.type, proto=sock.proto, loop=self)
            address = resolved[0][4]
        await self._sock_connect_resolved(sock, address)

    # Pipes and subprocesses

    def _make_read_pipe_transport(self, pipe: Any, protocol: Any, waiter: Any = None, extra: Any = None) -> Any:
        from ._pipes import read_pipe  # Few programs have any.

        return read_pipe(self, pipe, protocol, waiter, extra)

    def _make_write_pipe_transport(self, pipe: Any, protocol: Any, waiter: Any = None, extra: Any = None) -> Any:
        from ._pipes import write_pipe  # Few programs have any.

        return write_pipe(self, pipe, protocol, waiter, extra)

    async def _make_subprocess_transport(
        self,
        protocol: Any,
        args: Any,
        shell: bool,
        stdin: Any,
        stdout: Any,
        stderr: Any,
        bufsize: int,
        extra: Any = None,
        **kwargs: Any,
    ) -> Any:
        from . import children  # Few programs have any.

        if children.set_by_program():
            return await super()._make_subprocess_transport(
                protocol, args, shell, stdin, stdout, stderr, bufsize, extra, **kwargs
            )
        return await children.start(self, protocol, args, shell, stdin, stdout, stderr, bufsize, extra=extra, **kwargs)


if sys.version_info < (3, 12):
    # As asyncio has it from 3.12 on: a signal to a forked child is not to be told to the parent's loop.
    os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))


# What answers `python -m rondeau ps` is a thread: a fork happens without it, and so does the interpreter's end.
os.register_at_fork(before=_core.inspect_forking, after_in_parent=_core.inspect_parent, after_in_child=_core.inspect_forked)
atexit.register(_core.inspect_leave)


def new_event_loop() -> EventLoop:
    """Make a new loop; the factory to hand to whatever asks for one.

    >>> import asyncio, rondeau
    >>> loop = rondeau.new_event_loop()
    >>> loop.run_until_complete(asyncio.sleep(0, 42))
    42
    >>> loop.close()
    """
    return EventLoop()
