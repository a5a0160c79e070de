"""What the native loop leaves to Python because it runs rarely: errors, warnings, sockets' extras, task factories.

Called from `rondeau._core` only, by name. Messages and context keys are asyncio's, so that a handler written for asyncio
reads the same report.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import socket
import sys
import threading
import types
import warnings
from asyncio import base_events, constants, events, format_helpers, futures, streams, trsock
from asyncio.log import logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FORMAT_TAKES_DEBUG = "debug" in inspect.signature(format_helpers._format_callback_source).parameters


def task_failed(loop: Any, task: Any, turns: int = 4) -> None:
    """A task failed that nobody waits for: report it, unless somebody takes the exception within so many turns.

    So many that whoever begins to wait for it in the turn of its end or in the next one, in whatever way, comes before: `wait`
    and `as_completed` take three turns until they have handed it on. Reported from within the task's own context.
    """
    if not task._log_traceback:
        return
    if turns:
        loop.call_soon(task_failed, loop, task, turns - 1)
        return
    task._log_traceback = False
    context = {
        "message": f"{type(task).__name__} exception was never retrieved",
        "exception": task._exception,
        "future": task,
    }
    if task._source_traceback:
        context["source_traceback"] = task._source_traceback
    loop.call_exception_handler(context)


def source_traceback() -> Any:
    """The stack of the line that schedules something, for debug mode."""
    return format_helpers.extract_stack(sys._getframe(1))


def callback_failed(loop: Any, handle: Any, exc: BaseException) -> None:
    """A callback raised: report it as `asyncio.Handle._run` does."""
    options = {"debug": loop.get_debug()} if _FORMAT_TAKES_DEBUG else {}
    source = format_helpers._format_callback_source(handle._callback, handle._args, **options)
    context = {"message": f"Exception in callback {source}", "exception": exc, "handle": handle}
    if handle._source_traceback:
        context["source_traceback"] = handle._source_traceback
    loop.call_exception_handler(context)


def ran(loop: Any, ran: Any, seconds: float) -> None:
    """Debug mode: log what held the loop for longer than `slow_callback_duration`."""
    if seconds < loop.slow_callback_duration:
        return
    text = base_events._format_handle(ran) if isinstance(ran, events.Handle) else repr(ran)  # type: ignore[attr-defined]
    logger.warning("Executing %s took %.3f seconds", text, seconds)


def create_task(loop: Any, coro: Any, **options: Any) -> Any:
    """A task made by the user's task factory, in the way of this Python's own `create_task`."""
    return asyncio.BaseEventLoop.create_task(loop, coro, **options)


def new_lock() -> Any:
    """The lock that a thread-safe handle holds while it runs."""
    return threading.RLock()


def stream_loop() -> Any:
    """The loop of a stream that is made without one, asked for as this Python's streams do."""
    if sys.version_info < (3, 12):
        return events._get_event_loop(stacklevel=3)  # type: ignore[attr-defined]
    return events.get_event_loop()


def reader_repr(reader: Any, size: int) -> str:
    """`<StreamReader 3 bytes eof …>`, the parts as asyncio has them."""
    info = ["StreamReader"]
    if size:
        info.append(f"{size} bytes")
    if reader._eof:
        info.append("eof")
    if reader._limit != streams._DEFAULT_LIMIT:  # type: ignore[attr-defined]
        info.append(f"limit={reader._limit}")
    for name in ("waiter", "exception", "transport"):
        if value := getattr(reader, "_" + name):
            info.append(f"{name}={value!r}")
    if reader._paused:
        info.append("paused")
    return f"<{' '.join(info)}>"


def line_over_limit(reader: Any, error: Any) -> ValueError:
    """What `readline` makes of a LimitOverrunError that the reader itself was given."""
    if reader._buffer.startswith(b"\n", error.consumed):
        del reader._buffer[: error.consumed + 1]
    else:
        reader._buffer.clear()
    reader._maybe_resume_transport()
    made = ValueError(error.args[0])
    made.__context__ = error
    return made


def forget_exception(closed: Any) -> None:
    """A protocol dies: nobody is told of what its `_closed` was done with."""
    if closed.done() and not closed.cancelled():
        closed.exception()


def log_flow(protocol: Any, what: str) -> None:
    """Debug mode: a stream's protocol was told to pause or to resume."""
    logger.debug("%r %s writing", protocol, what)


def set_result(waiter: Any) -> None:
    """Wake whoever waits, unless it was cancelled."""
    if not waiter.done():
        waiter.set_result(None)


def methods_changed(loop: Any) -> None:
    """A method that native functions do without was set on the loop, or deleted."""
    loop._look_at_methods(vars(loop))


def turns_changed(loop: Any) -> None:
    """Something of a turn was set on the loop, or deleted."""
    loop._look_at_turns()


def set_lost(waiter: Any) -> None:
    """Tell `sendfile`, which waits for an empty queue, that the connection is lost."""
    if not waiter.done():
        waiter.set_exception(ConnectionError("Connection is closed by peer"))


def lost_write() -> None:
    """A write to a connection that is lost."""
    logger.warning("socket.send() raised exception.")


def fatal_error(transport: Any, exc: BaseException, message: str) -> None:
    """An error ended a connection: report it, unless it is the peer's or the network's doing, and close."""
    loop = transport._loop
    if loop is None:
        return
    if isinstance(exc, OSError):
        if loop.get_debug():
            logger.debug("%r: %s", transport, message, exc_info=exc)
    else:
        loop.call_exception_handler(
            {"message": message, "exception": exc, "transport": transport, "protocol": transport._protocol}
        )
    transport._force_close(exc)


def flow_failed(transport: Any, exc: BaseException, message: str) -> None:
    """`pause_writing` or `resume_writing` raised."""
    loop = transport._loop
    if loop is not None:
        loop.call_exception_handler(
            {"message": message, "exception": exc, "transport": transport, "protocol": transport._protocol}
        )


def accept_failed(loop: Any, exc: BaseException) -> None:
    """A protocol factory raised: that connection is lost, the server goes on. asyncio tells of it in debug mode only."""
    if not loop.get_debug():
        return
    context = {"message": "Error on transport creation for incoming connection", "exception": exc}
    loop.call_exception_handler(context)


def attach(server: Any, transport: Any) -> None:
    """A server has one connection more."""
    if sys.version_info >= (3, 13):
        server._attach(transport)
    else:
        server._attach()


def detach(server: Any, transport: Any) -> None:
    """A server has one connection less."""
    if sys.version_info >= (3, 13):
        server._detach(transport)
    else:
        server._detach()


def check_socket(sock: Any, debug: bool) -> None:
    """What asyncio's `sock_*` methods look at before they try anything."""
    base_events._check_ssl_socket(sock)  # type: ignore[attr-defined]
    if debug and sock.gettimeout() != 0:
        raise ValueError("the socket must be non-blocking")


def connect_failed(error: int, address: Any) -> None:
    """The kernel gave up on a connection that was begun."""
    raise OSError(error, f"Connect call failed {address}")


def await_iterator(call: Any) -> Any:
    """What `__await__()` of a `sock_*` call gives: an iterator with send, throw and close."""

    async def awaiting() -> Any:
        return await call

    return awaiting().__await__()


def adopt(fd: int) -> socket.socket:
    """The socket object that owns an accepted descriptor from now on."""
    sock = socket.socket(fileno=fd)
    try:
        sock.setblocking(False)
    except BaseException:  # A signal's handler may raise here: the transport owns the descriptor still.
        sock.detach()
        raise
    return sock


@functools.cache
def _closed_socket() -> socket.socket:
    """One for all: made when first asked for, since only a real one fails as a closed socket does."""
    with socket.socket() as sock:
        return sock


def transport_socket(sock: Any) -> Any:
    """What `get_extra_info("socket")` gives: a socket that cannot be closed behind the transport's back.

    Where the connection has ended (None), it is a closed one: no number, and OSError from every call.
    """
    if sock is None:
        sock = _closed_socket()
    return trsock.TransportSocket(sock)


def sendfile_mode() -> Any:
    """`loop.sendfile` may use the descriptor itself."""
    return constants._SendfileMode.TRY_NATIVE


def unclosed(transport: Any) -> None:
    """A transport was dropped without being closed."""
    warnings.warn(f"unclosed transport {transport!r}", ResourceWarning, source=transport, stacklevel=2)


def transport_repr(transport: Any, reading: bool, writing: bool, pending: int) -> str:
    """`<SocketTransport fd=7 read=polling write=<idle, bufsize=0>>`, the parts as asyncio has them."""
    info = ["SocketTransport"]
    if transport._loop is None:
        info.append("closed")
    elif transport._closing:
        info.append("closing")
    info.append(f"fd={transport._sock_fd}")
    if transport._loop is not None and not transport._loop.is_closed():
        info.append("read=polling" if reading else "read=idle")
        state = "polling" if writing else "idle"
        info.append(f"write=<{state}, bufsize={pending}>")
    return f"<{' '.join(info)}>"


def getter_left(queue: Any, getter: Any) -> None:
    """A woken or cancelled getter leaves a queue that a program has changed: the `except` of asyncio's `Queue.get`."""
    try:
        queue._getters.remove(getter)
    except ValueError:
        pass
    if not queue.empty() and not getter.cancelled():
        queue._wakeup_next(queue._getters)


def putter_left(queue: Any, putter: Any) -> None:
    """The same for `Queue.put`."""
    try:
        queue._putters.remove(putter)
    except ValueError:
        pass
    if not queue.full() and not putter.cancelled():
        queue._wakeup_next(queue._putters)


def primitive_state(primitive: Any) -> dict[str, Any]:
    """What a copy of a lock or a queue is made from: asyncio's attributes, which are fields here, and the program's."""
    native = next(kind for kind in type(primitive).__mro__ if kind.__module__ == "rondeau._core")
    fields = [name for name, kind in vars(native).items() if inspect.isgetsetdescriptor(kind) and name[:2] != "__"]
    return {**{name: getattr(primitive, name) for name in fields if name[0] == "_"}, **vars(primitive)}


def set_primitive_state(primitive: Any, state: dict[str, Any]) -> None:
    """Fill a copy."""
    for name, value in state.items():
        setattr(primitive, name, value)


async def awaited(awaitable: Any) -> Any:
    """`await awaitable`, as a coroutine: for a condition whose `acquire` a program has replaced."""
    return await awaitable


def cancels_at_once() -> bool:
    """Whether asyncio's chained futures ask which loop runs before they cancel the other end: then it is at once."""
    inner = futures._chain_future.__code__.co_consts  # type: ignore[attr-defined]
    return any("_get_running_loop" in code.co_names for code in inner if getattr(code, "co_name", "") == "_call_check_cancel")


def start_submitted(loop: Any, coro: Any, context: Any, future: Any) -> None:
    """What `run_coroutine_threadsafe` schedules, on a loop that has got a task factory of the program's meanwhile."""

    def start() -> None:
        try:
            futures._chain_future(asyncio.ensure_future(coro, loop=loop), future)  # type: ignore[attr-defined]
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            if future.set_running_or_notify_cancel():
                future.set_exception(exc)
            raise

    context.run(start)


def notify_another(condition: Any) -> None:
    """A waiter of a condition that a program has changed ends with an exception."""
    condition._notify(1)


def suspended_examples() -> tuple[Any, ...]:
    """What shows where a generator's frame lies: a fresh one, a suspended one, one to run; other kinds of generators."""

    def generator() -> Any:
        yield 1
        yield 2

    @types.coroutine
    def future() -> Any:
        yield

    async def coroutine() -> None:
        await future()

    async def asynchronous() -> Any:
        yield 1

    suspended, waiting = generator(), coroutine()
    next(suspended)
    waiting.send(None)
    return generator(), suspended, generator(), waiting, asynchronous()
