"""Each method with its arguments by their names: what asyncio answers, for asyncio's names and ours on both loops."""

import asyncio
import contextvars
import os
import signal
import socket
from typing import Any

import pytest

import rondeau
from rondeau import native


def told(note: Any, name: str, call: Any) -> Any:
    """Notes what kind of result a call has, or its error."""
    try:
        made = call()
    except Exception as error:
        said = str(error)  # After the function's name: the class of a method that is Python code of ours is another one.
        note(name, type(error).__name__, said.partition("() ")[2] or said)
        return None
    note(name, made if made is None or isinstance(made, (bool, int, bytes, str, tuple, list)) else "made")
    return made


def test_of_the_loop(compare):
    async def body(note: Any) -> None:
        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()
        nothing = lambda *_: None  # noqa: E731
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            theirs.setblocking(False)
            for name, arguments in (
                ("call_soon", {"callback": nothing, "context": context}),
                ("call_soon_threadsafe", {"callback": nothing, "context": context}),
                ("call_later", {"delay": 0, "callback": nothing, "context": context}),
                ("call_at", {"when": 0, "callback": nothing, "context": context}),
                ("add_reader", {"fd": ours, "callback": nothing}),
                ("remove_reader", {"fd": ours}),
                ("add_writer", {"fd": ours, "callback": nothing}),
                ("remove_writer", {"fd": ours}),
                ("add_signal_handler", {"sig": signal.SIGUSR1, "callback": nothing}),
                ("remove_signal_handler", {"sig": signal.SIGUSR1}),
                ("set_debug", {"enabled": False}),
                ("set_task_factory", {"factory": None}),
                ("set_exception_handler", {"handler": None}),
                ("call_soon", {"function": nothing}),
                ("remove_reader", {"descriptor": ours}),
                ("is_running", {"now": True}),
                ("stop", {"now": True}),
            ):
                told(note, name, lambda name=name, arguments=arguments: getattr(loop, name)(**arguments))
            for name, arguments in (
                ("sock_sendall", {"sock": ours, "data": b"soup"}),
                ("sock_recv", {"sock": theirs, "n": 2}),
                ("sock_recv_into", {"sock": theirs, "buf": bytearray(1)}),
                ("sock_recvfrom", {"sock": theirs, "bufsize": 1}),
                ("run_in_executor", {"executor": None, "func": os.getpid}),
                ("create_task", {"coro": asyncio.sleep(0, "slept"), "name": "a task"}),
                ("getaddrinfo", {"host": "127.0.0.1", "port": 80, "type": socket.SOCK_STREAM}),
                ("getnameinfo", {"sockaddr": ("127.0.0.1", 80), "flags": socket.NI_NUMERICHOST}),
            ):
                result = await getattr(loop, name)(**arguments)
                note(name, result == os.getpid() or result)
            ours.send(b"x")
            buffer = bytearray(4)
            note(await loop.sock_recvfrom_into(sock=theirs, buf=buffer, nbytes=1), buffer)
        await asyncio.sleep(0.001)

    compare(body)


def test_of_bound_methods_and_of_mappings(compare):
    """A bound method is another object than the function: these too take names."""

    async def body(note: Any) -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_connection(sock=ours)
            for holder, name, arguments in (
                (writer, "write", {"data": b"a"}),
                (writer.transport, "write", {"data": b"b"}),
                (writer, "writelines", {"data": [b"c", b"d"]}),
                (writer.transport, "writelines", {"list_of_data": [b"e"]}),
                (reader, "feed_data", {"data": b"f"}),
                (loop, "call_soon", {"callback": print, "context": contextvars.Context()}),
            ):
                method = getattr(holder, name)
                if name == "call_soon":
                    method(**arguments).cancel()
                else:
                    note(name, method(**arguments))
            await writer.drain()
            theirs.setblocking(False)
            note(await reader.read(n=9), await loop.sock_recv(theirs, 9))
            writer.close()
            await writer.wait_closed()

    compare(body)


def test_of_streams_and_transports(compare_native):
    async def body(note: Any, aio: Any) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await aio.open_connection(sock=ours)
            transport = writer.transport
            protocol = transport.get_protocol()
            for name, call in (
                ("write", lambda: writer.write(data=b"one")),
                ("write, of bytes by another name", lambda: writer.write(bytes=b"one")),
                ("write, twice", lambda: writer.write(b"one", data=b"two")),
                ("write, of nothing", lambda: writer.write()),
                ("writelines", lambda: writer.writelines(data=[b"two", b"three"])),
                ("transport.write", lambda: transport.write(data=b"four")),
                ("transport.writelines", lambda: transport.writelines(list_of_data=[b"five"])),
                ("transport.set_protocol", lambda: transport.set_protocol(protocol=protocol)),
                ("limits", lambda: transport.set_write_buffer_limits(high=9, low=3)),
                ("limits", lambda: transport.set_write_buffer_limits(low=1, high=2)),
                ("limits", transport.get_write_buffer_limits),
                ("extra", lambda: writer.get_extra_info(name="no such name", default=7)),
                ("extra", lambda: transport.get_extra_info(default=8, name="no such name")),
                ("data_received", lambda: protocol.data_received(data=b"a line\nmore.and;the end")),
                ("pause_reading", lambda: transport.pause_reading(now=True)),
            ):
                told(note, name, call)
            for name, coroutine in (
                ("readuntil", lambda: reader.readuntil(separator=b"\n")),
                ("read", lambda: reader.read(n=4)),
                ("readexactly", lambda: reader.readexactly(n=1)),
                ("readuntil", lambda: reader.readuntil(separator=b";")),
            ):
                note(name, await coroutine())
            await writer.drain()
            theirs.setblocking(False)
            note(await asyncio.get_running_loop().sock_recv(theirs, 100))
            writer.close()
            await writer.wait_closed()
        other = aio.StreamReader(limit=9, loop=asyncio.get_running_loop())
        told(note, "feed_data", lambda: other.feed_data(data=b"x"))
        told(note, "feed_eof", lambda: other.feed_eof(now=True))
        told(note, "set_exception", lambda: other.set_exception(exc=OSError("broken")))
        told(note, "exception", lambda: str(other.exception()))

    compare_native(body)


def test_of_groups_time_outs_locks_and_queues(compare_native):
    async def body(note: Any, aio: Any) -> None:
        loop = asyncio.get_running_loop()
        async with aio.timeout(delay=5) as limit:
            told(note, "reschedule", lambda: limit.reschedule(when=loop.time() + 9))
            told(note, "reschedule", lambda: limit.reschedule(deadline=1))
            told(note, "reschedule", limit.reschedule)
        async with aio.timeout_at(when=None):
            pass
        async with aio.TaskGroup() as group:
            task = group.create_task(coro=aio.sleep(delay=0, result="slept"), name="a member")
            note(task.get_name())
            told(note, "create_task", lambda: group.create_task())
            told(note, "create_task", lambda: group.create_task(coroutine=None))
        note(task.result())
        queue: Any = aio.Queue(maxsize=2)
        await queue.put(item="soup")
        told(note, "put_nowait", lambda: queue.put_nowait(item="roast"))
        told(note, "put_nowait", lambda: queue.put_nowait(thing="roast"))
        note(await queue.get(), queue.get_nowait())
        semaphore = aio.Semaphore(value=2)
        note(await semaphore.acquire(), semaphore.release())
        condition = aio.Condition(lock=None)
        async with condition:
            note(await condition.wait_for(predicate=lambda: True))
            told(note, "notify", lambda: condition.notify(n=2))
            told(note, "notify", lambda: condition.notify(count=2))
        told(note, "Event.set", lambda: aio.Event().set(now=True))
        note(await aio.Barrier(parties=1).wait())
        note(await aio.wait_for(fut=aio.sleep(0, "in time"), timeout=5))
        note(await aio.gather(aio.sleep(0, 1), return_exceptions=True))
        done, _ = await aio.wait(fs=[asyncio.ensure_future(aio.sleep(0))], timeout=5, return_when=asyncio.ALL_COMPLETED)
        note(len(done), await aio.shield(arg=aio.sleep(0, "kept")), await aio.to_thread(os.getpid) == os.getpid())

    compare_native(body)


def test_of_futures_and_handles(compare):
    async def body(note: Any) -> None:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        for name, call in (
            ("cancel", lambda: future.cancel(msg="enough")),
            ("add_done_callback", lambda: future.add_done_callback(fn=print)),
        ):
            told(note, name, call)
        handle = loop.call_later(delay=9, callback=print)
        told(note, "cancel", lambda: handle.cancel(now=True))
        told(note, "cancel", handle.cancel)
        task = asyncio.ensure_future(asyncio.sleep(9))
        for name, call in (
            ("set_name", lambda: task.set_name("a name")),
            ("set_name", lambda: task.set_name(value="a name")),
            ("get_stack", lambda: len(task.get_stack(limit=1))),
            ("cancel", lambda: task.cancel(msg="enough")),
        ):
            told(note, name, call)
        with pytest.raises(asyncio.CancelledError):
            await task

    compare(body)


@pytest.mark.parametrize("name", ["shield", "gather", "create_task", "wait_for", "sleep"])
def test_a_native_function_is_patched_as_asyncios_is(name, run):
    """`mock.patch` by name makes an AsyncMock of a coroutine function, on each Python."""
    from unittest import mock

    with mock.patch(f"rondeau.{name}") as ours, mock.patch(f"asyncio.{name}") as theirs:
        assert isinstance(ours, mock.AsyncMock) == isinstance(theirs, mock.AsyncMock)
    assert getattr(rondeau, name) is native.form(name)


def test_mocks_of_the_native_classes(run):
    from unittest import mock

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await mock.MagicMock(spec=rondeau.StreamWriter).drain()
        await mock.create_autospec(rondeau.StreamReader, instance=True).readline()
        await mock.MagicMock(spec=rondeau.Queue).get()
        with mock.patch.object(rondeau.StreamReader, "readline", return_value=b"line\n"):
            assert await rondeau.StreamReader(loop=loop).readline() == b"line\n"
        for kind in (rondeau.TaskGroup, rondeau.Timeout):
            async with mock.create_autospec(kind, instance=True):
                pass
        with mock.patch.object(loop, "sock_recv", return_value=b"x"):
            assert await loop.sock_recv(None, 1) == b"x"

    run(main())
