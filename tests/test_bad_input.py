"""What a program does wrong, or the network to it: asyncio's exception and message, the loop alive, nothing leaked.

One body for each fault that README promises to survive. Each is run on both loops and compared, then over and over on
Rondeau, where not one block of memory may be left for each time.
"""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import tempfile
import threading
import warnings

import pytest

import rondeau
from protocols import Echo, Recorder, connect, served
from test_tcp_faults import free_port, full_table, reset


def fail(*_):
    raise ValueError("burnt")


async def value():
    return 1


def reports(note, *, once=False):
    """Have the loop's exception handler note what it is told, or only the first of it."""
    told = []

    def handler(_, context):
        told.append(context["message"])
        if not once or len(told) == 1:
            message = context["message"].split("(<")[0]  # 3.11 cuts what is in the brackets, and the transports' names differ.
            note(message, context.get("exception"), sorted(context))

    asyncio.get_running_loop().set_exception_handler(handler)


def attempt(note, name, call):
    """Note what `call` returns or raises."""
    try:
        result = call()
    except Exception as error:
        note(name, type(error).__name__, without_numbers(str(error)))
    else:
        note(name, type(result).__name__)


async def attempt_async(note, name, awaitable):
    try:
        await awaitable
    except Exception as error:
        note(name, type(error).__name__, getattr(error, "errno", None), without_numbers(str(error)))
    else:
        note(name, "succeeded")


def without_numbers(text):
    """Ports and folders are the run's own."""
    for name, hide in [("port", str(_port)), ("folder", _folder)]:
        text = text.replace(hide, name)
    return text


_port: int | str = "no port yet"
_folder = "no folder yet"


async def alive():
    """The loop still does everything: callbacks, timers, other threads, sockets."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    loop.call_soon(loop.call_later, 0.0001, loop.call_soon, done.set_result, "alive")
    assert await done == "alive"
    assert await loop.run_in_executor(None, int, "7") == 7
    async with served(Echo) as (address, _):
        transport, protocol = await connect(address)
        transport.write(b"alive")
        await protocol.until(5)
        transport.close()
        await protocol.gone


# A callback that raises


async def callback_raises(note):
    reports(note)
    loop = asyncio.get_running_loop()
    loop.call_soon(fail)
    await asyncio.sleep(0)
    loop.call_later(0, fail, "timer")
    await asyncio.sleep(0.001)
    loop.call_soon_threadsafe(fail, "thread")
    await asyncio.sleep(0.001)
    future = loop.create_future()
    future.add_done_callback(fail)
    future.set_result(None)
    await asyncio.sleep(0)
    task = asyncio.create_task(value())
    task.add_done_callback(fail)
    await task
    await asyncio.sleep(0)
    left, right = socket.socketpair()
    with left, right:
        loop.add_reader(left, lambda: fail(left.recv(1)))
        for _ in range(2):
            right.send(b"x")
            await asyncio.sleep(0.001)
        loop.remove_reader(left)
    if threading.current_thread() is threading.main_thread():
        loop.add_signal_handler(signal.SIGUSR1, fail)
        os.kill(os.getpid(), signal.SIGUSR1)
        await asyncio.sleep(0.01)
        loop.remove_signal_handler(signal.SIGUSR1)


def faulty(where, lost):
    """A protocol class, one of whose callbacks raises."""

    class Faulty(asyncio.Protocol):
        def connection_lost(self, error):
            lost.set_result(type(error).__name__)
            if where == "connection_lost":
                fail()

    if where != "connection_lost":
        setattr(Faulty, where, fail)
    return Faulty


async def protocol_raises(note):
    """Each callback of a protocol in turn: the report, and what becomes of the connection."""
    reports(note)
    loop = asyncio.get_running_loop()
    for where in ["connection_made", "data_received", "eof_received", "connection_lost"]:
        lost = loop.create_future()
        ours, theirs = socket.socketpair()
        with theirs:
            transport, _ = await loop.create_connection(faulty(where, lost), sock=ours)
            theirs.send(b"x")
            await asyncio.sleep(0.001)
            theirs.shutdown(socket.SHUT_WR)
            await asyncio.sleep(0.001)
            transport.close()
            note(where, await lost)
            await asyncio.sleep(0)


async def factory_raises(note):
    reports(note)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(fail, "127.0.0.1", 0)
    for debug in [False, True]:
        loop.set_debug(debug)  # asyncio tells of it in debug mode only.
        with warnings.catch_warnings(), socket.socket() as sock:
            warnings.simplefilter("ignore", ResourceWarning)  # And it leaves the accepted socket to the collector.
            sock.setblocking(False)
            await loop.sock_connect(sock, server.sockets[0].getsockname())
            await asyncio.sleep(0.01)
            gc.collect()
            note(await loop.sock_recv(sock, 1))
    loop.set_debug(False)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        await attempt_async(note, "create_connection", loop.create_connection(fail, sock=ours))
    server.close()
    await server.wait_closed()


# A coroutine that is never awaited


async def never_awaited(note):
    loop = asyncio.get_running_loop()
    closed = type(loop)()
    closed.close()
    for debug in [False, True]:
        loop.set_debug(debug)
        sys.set_coroutine_origin_tracking_depth(debug)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            value()
            attempt(note, "run_until_complete", lambda: closed.run_until_complete(value()))
            attempt(note, "create_task", lambda: closed.create_task(value()))
            attempt(note, "create_task of a function", lambda: asyncio.create_task(value))
            attempt(note, "threadsafe", lambda: asyncio.run_coroutine_threadsafe(value(), closed))
            attempt(note, "run", lambda: asyncio.run(value()))
            attempt(note, "run_until_complete", lambda: loop.run_until_complete(value()))
            gc.collect()
        note([str(warning.message) for warning in caught])
    loop.set_debug(False)
    sys.set_coroutine_origin_tracking_depth(0)


# A future that is resolved twice


async def resolved_twice(note):
    reports(note)
    loop = asyncio.get_running_loop()
    ends = {
        "result": lambda future: future.set_result(1),
        "exception": lambda future: future.set_exception(KeyError("once")),
        "cancel": lambda future: future.cancel("once"),
    }
    for first, end in ends.items():
        for second, again in ends.items():
            future = loop.create_future()
            end(future)
            attempt(note, f"{second} after {first}", lambda: again(future))  # noqa: B023
            loop.call_soon(again, future)  # And reported, where nobody catches it.
            await asyncio.sleep(0)
            with contextlib.suppress(KeyError, asyncio.CancelledError):
                note(await future)
    task = asyncio.create_task(value())
    for name, end in ends.items():
        if name != "cancel":
            attempt(note, f"task, {name}", lambda: end(task))  # noqa: B023
    note(await task, task.cancel())
    early = loop.create_future()
    attempt(note, "result too early", early.result)
    attempt(note, "exception too early", early.exception)
    early.cancel()


# The wrong thread


async def wrong_thread(note):
    loop = asyncio.get_running_loop()
    other = type(loop)()
    done = loop.create_future()
    done.set_result(None)

    def from_another_thread():
        attempt(note, "get_running_loop", asyncio.get_running_loop)
        attempt(note, "close", loop.close)
        coroutine = value()
        attempt(note, "run_until_complete", lambda: loop.run_until_complete(coroutine))
        attempt(note, "create_task", lambda: asyncio.create_task(coroutine))
        coroutine.close()
        loop.set_debug(True)
        attempt(note, "call_soon", lambda: loop.call_soon(int))
        attempt(note, "call_later", lambda: loop.call_later(0, int))
        attempt(note, "call_at", lambda: loop.call_at(0, int))
        attempt(note, "add_done_callback", lambda: done.add_done_callback(int))
        loop.set_debug(False)

    await asyncio.to_thread(from_another_thread)
    # Another loop's future, and another loop within this one.
    foreign = other.create_future()
    await attempt_async(note, "another loop's future", asyncio.create_task(awaits(foreign)))
    attempt(note, "nested", lambda: other.run_until_complete(foreign))
    attempt(note, "wait_for_another", lambda: asyncio.ensure_future(foreign, loop=loop))
    foreign.cancel()
    other.close()
    await asyncio.sleep(0)


async def awaits(future):
    return await future


# A loop that is closed


async def closed(note):
    await asyncio.to_thread(after_close, note, type(asyncio.get_running_loop()))


def after_close(note, factory):
    loop = factory()
    future, other = loop.create_future(), loop.create_future()
    other.add_done_callback(int)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    transport, _ = loop.run_until_complete(loop.create_connection(asyncio.Protocol, sock=theirs))
    transport.close()
    loop.run_until_complete(asyncio.sleep(0))
    handle = loop.call_later(1, fail)
    loop.close()
    for name, call in {
        "call_soon": lambda: loop.call_soon(int),
        "call_soon_threadsafe": lambda: loop.call_soon_threadsafe(int),
        "call_later": lambda: loop.call_later(1, int),
        "call_at": lambda: loop.call_at(1, int),
        "run_forever": loop.run_forever,
        "run_until_complete": lambda: loop.run_until_complete(future),
        "run_in_executor": lambda: loop.run_in_executor(None, int),
        "add_reader": lambda: loop.add_reader(ours, int),
        "add_writer": lambda: loop.add_writer(ours, int),
        "remove_reader": lambda: loop.remove_reader(ours),
        "remove_writer": lambda: loop.remove_writer(ours),
        "add_done_callback of a done future": lambda: (future.cancel(), future.add_done_callback(int)),
        "set_result with a callback": lambda: other.set_result(1),
        "create_future": loop.create_future,
        "stop": loop.stop,
        "close": loop.close,
        "time": loop.time,
        "is_running": loop.is_running,
        "handle.cancel": handle.cancel,
        "transport.close": transport.close,
        "transport.abort": transport.abort,
        "transport.write": lambda: transport.write(b"x"),
        "add_signal_handler": lambda: loop.add_signal_handler(signal.SIGUSR1, int),
    }.items():
        attempt(note, name, call)
    for name, coroutine in {
        "sock_recv": loop.sock_recv(ours, 1),
        "sock_accept": loop.sock_accept(ours),
        "getaddrinfo": loop.getaddrinfo("127.0.0.1", 1),
        "create_connection": loop.create_connection(asyncio.Protocol, "127.0.0.1", 1),
        "shutdown_asyncgens": loop.shutdown_asyncgens(),
        "shutdown_default_executor": loop.shutdown_default_executor(),
    }.items():
        attempt(note, name, lambda: coroutine.send(None))  # noqa: B023
        coroutine.close()
    ours.close()


# No descriptor left


async def full_at_accept(note):
    reports(note, once=True)  # Some versions of asyncio ask once for each place in the backlog.
    loop = asyncio.get_running_loop()
    async with served() as (address, made):
        sock = socket.socket()
        sock.setblocking(False)
        with full_table():
            await loop.sock_connect(sock, address)
            await asyncio.sleep(0.01)
        note(len(made))
        await loop.sock_sendall(sock, b"at last")  # A second later asyncio tries again.
        note(await loop.sock_recv(sock, 100))
        sock.close()


async def full_elsewhere(note):
    """Everything that wants a descriptor, with none left: the error, and not one object left half-made."""
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    with listener, socket.socket() as sock:
        sock.setblocking(False)
        with full_table():
            await loop.sock_connect(sock, listener.getsockname())
            await attempt_async(note, "sock_accept", loop.sock_accept(listener))
            await attempt_async(note, "create_connection", loop.create_connection(Recorder, *listener.getsockname()))
            await attempt_async(note, "create_server", loop.create_server(Recorder, "127.0.0.1", 0))
            await attempt_async(note, "open_unix_connection", asyncio.open_unix_connection("/none"))


# Refused


async def refused(note):
    global _port, _folder
    loop = asyncio.get_running_loop()
    _port = free_port()
    await attempt_async(note, "create_connection", loop.create_connection(Recorder, "127.0.0.1", _port))
    await attempt_async(note, "open_connection", asyncio.open_connection("127.0.0.1", _port))
    await attempt_async(note, "eyeballs", loop.create_connection(Recorder, "127.0.0.1", _port, happy_eyeballs_delay=0.1))
    with socket.socket() as sock:
        sock.setblocking(False)
        await attempt_async(note, "sock_connect", loop.sock_connect(sock, ("127.0.0.1", _port)))
    with tempfile.TemporaryDirectory() as _folder, socket.socket(socket.AF_UNIX) as deaf:
        path = f"{_folder}/door"
        await attempt_async(note, "no such door", loop.create_unix_connection(Recorder, path))
        deaf.bind(path)
        await attempt_async(note, "nobody listens", loop.create_unix_connection(Recorder, path))
        await attempt_async(note, "no such folder", loop.create_unix_server(Recorder, f"{_folder}/none/door"))


# A peer that resets


async def peer_resets(note):
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)

    async def pair():
        peer = socket.create_connection(listener.getsockname())
        ours, _ = await loop.sock_accept(listener)
        return ours, peer

    with listener:
        # A protocol: while it reads, while it is paused and writes.
        for paused in [False, True]:
            ours, peer = await pair()
            transport, protocol = await loop.create_connection(Recorder, sock=ours)
            if paused:
                transport.pause_reading()
            reset(peer)
            if paused:
                transport.write(b"x")
            error = await protocol.gone
            note(paused, error, protocol.events, transport.is_closing())
            transport.write(b"after the end")
            transport.abort()
        # Streams: the reader, then drain.
        ours, peer = await pair()
        reader, writer = await asyncio.open_connection(sock=ours)
        reset(peer)
        await attempt_async(note, "read", reader.read(1))
        writer.write(b"x")
        await attempt_async(note, "drain", writer.drain())
        writer.close()
        await attempt_async(note, "wait_closed", writer.wait_closed())
        # sock_*: what waits in the kernel, and what asks afterwards.
        ours, peer = await pair()
        with ours:
            task = asyncio.create_task(loop.sock_recv(ours, 1))
            await asyncio.sleep(0)
            reset(peer)
            await attempt_async(note, "sock_recv", task)
            await attempt_async(note, "sock_sendall", loop.sock_sendall(ours, b"x"))


FAULTS = [
    callback_raises,
    protocol_raises,
    factory_raises,
    never_awaited,
    resolved_twice,
    wrong_thread,
    closed,
    full_at_accept,
    full_elsewhere,
    refused,
    peer_resets,
]


@pytest.mark.parametrize("fault", FAULTS)
def test_the_same_as_asyncio_and_the_loop_lives_on(compare, logged, fault):
    async def body(note):
        await fault(note)
        await alive()

    assert compare(body)
    half = len(logged) // 2
    assert logged[:half] == logged[half:]


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault is not full_at_accept])  # A second each time.
def test_nothing_is_left_of_it(logged, fault):
    """Memory that is kept to be used again is full after a while; a leak goes on, by a block each time."""
    times, rounds = 20, 40

    async def main():
        for _ in range(times):
            await fault(lambda *_: None)
        logged.clear()

    def growth():
        gc.collect()
        before = sys.getallocatedblocks()
        runner.run(main())
        gc.collect()
        return sys.getallocatedblocks() - before

    with asyncio.Runner(loop_factory=rondeau.new_event_loop) as runner:
        assert any(growth() < times for _ in range(rounds))


def test_a_loop_for_which_no_descriptor_is_left():
    """asyncio warns of an unclosed loop that nobody ever got; ours was never there."""
    with warnings.catch_warnings(), full_table():
        warnings.simplefilter("error")
        with pytest.raises(OSError, match=r"^\[Errno 24\] Too many open files$"):
            rondeau.new_event_loop()
        gc.collect()


def test_a_failed_run_changes_nothing():
    """Some versions of asyncio forget that the loop runs when somebody runs it once more."""

    async def main():
        loop = asyncio.get_running_loop()

        def once_more():
            with pytest.raises(RuntimeError, match=r"^This event loop is already running$"):
                loop.run_forever()

        await asyncio.to_thread(once_more)
        once_more()
        assert loop.is_running()
        assert asyncio.get_running_loop() is loop
        await alive()

    rondeau.run(main())
