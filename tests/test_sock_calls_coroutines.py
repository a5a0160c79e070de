"""What `loop.sock_*` return are coroutines: begun by the first await, cancelled at any point, awaited once."""

import asyncio
import collections.abc
import contextlib
import gc
import inspect
import socket
import ssl
import warnings
import weakref

import pytest


@contextlib.contextmanager
def pair(kind=socket.SOCK_STREAM):
    ours, theirs = socket.socketpair(type=kind)
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        yield ours, theirs


def every_call(loop, a, listener):
    """One of each, none of them begun."""
    return [
        loop.sock_recv(a, 10),
        loop.sock_recv_into(a, bytearray(10)),
        loop.sock_recvfrom(a, 10),
        loop.sock_recvfrom_into(a, bytearray(10)),
        loop.sock_sendall(a, b"x"),
        loop.sock_sendto(a, b"x", "/no/such/name"),
        loop.sock_accept(listener),
        loop.sock_connect(listener, ("127.0.0.1", 1)),
    ]


def test_they_are_coroutines_to_whoever_asks(compare):
    async def body(note):
        loop = asyncio.get_running_loop()
        with pair() as (a, _), socket.create_server(("127.0.0.1", 0)) as listener:
            for call in every_call(loop, a, listener):
                note(asyncio.iscoroutine(call), inspect.isawaitable(call), asyncio.isfuture(call))
                note(isinstance(call, collections.abc.Coroutine), isinstance(call, collections.abc.Iterator))
                note(call.__name__, hasattr(call, "__next__"), hasattr(call, "__iter__"), call.cr_running, call.cr_origin)
                note(weakref.ref(call)() is call)
                call.close()
                call.close()

    compare(body)


def test_everything_that_takes_a_coroutine_takes_them(run):
    async def main():
        loop = asyncio.get_running_loop()
        with pair() as (a, b):

            async def given(wrap):
                a.send(b"soup")
                return await wrap(loop.sock_recv(b, 10))

            async def later(wrap):
                waiting = asyncio.ensure_future(wrap(loop.sock_recv(b, 10)))
                for _ in range(3):
                    await asyncio.sleep(0)
                a.send(b"soup")
                return await waiting

            async def awaited(call):
                return await call

            async def group(call):
                async with asyncio.TaskGroup() as tasks:
                    task = tasks.create_task(call)
                return task.result()

            async def gathered(call):
                return (await asyncio.gather(call, asyncio.sleep(0)))[0]

            async def waited(call):
                done, _ = await asyncio.wait([asyncio.ensure_future(call)])
                return done.pop().result()

            class Awaitable:
                def __init__(self, call):
                    self.call = call

                def __await__(self):
                    return self.call.__await__()

            wraps = [
                awaited,
                asyncio.create_task,
                asyncio.ensure_future,
                asyncio.shield,
                group,
                gathered,
                waited,
                lambda call: asyncio.wait_for(call, 60),
                lambda call: asyncio.wait_for(call, None),
                lambda call: awaited(Awaitable(call)),
                lambda call: asyncio.to_thread(asyncio.run_coroutine_threadsafe(call, loop).result),
            ]
            for wrap in wraps:
                assert await given(wrap) == b"soup"
                assert await later(wrap) == b"soup"

    run(main())


def test_run_until_complete_takes_one(loop):
    with pair() as (a, b):
        loop.call_soon(a.send, b"soup")
        assert loop.run_until_complete(loop.sock_recv(b, 10)) == b"soup"


def test_nothing_is_done_before_the_first_await(run):
    async def main():
        loop = asyncio.get_running_loop()
        with pair() as (a, b):
            a.send(b"soup")
            loop.sock_recv(b, 10).close()
            task = asyncio.create_task(loop.sock_recv(b, 10))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(loop.sock_recv(a, 10), 0)
            assert await loop.sock_recv(b, 10) == b"soup"

    run(main())


def test_one_that_is_never_awaited_warns(run):
    async def main():
        loop = asyncio.get_running_loop()
        with pair() as (a, _), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            loop.sock_recv(a, 10)
            loop.sock_recv(a, 10).close()
            gc.collect()
        (warning,) = caught
        assert warning.category is RuntimeWarning
        assert str(warning.message).endswith("EventLoop.sock_recv' was never awaited")

    run(main())


def test_misuse_as_a_coroutine(compare):
    async def body(note):
        loop = asyncio.get_running_loop()

        def tried(function, *arguments):
            try:
                note(function(*arguments))
            except BaseException as error:
                note(type(error).__name__, str(error))

        with pair() as (a, b):
            a.send(b"x")
            call = loop.sock_recv(b, 10)
            tried(call.send, 1)
            note(await call)
            tried(call.send, None)
            tried(call.throw, ValueError())
            tried(call.close)
            try:
                await call
            except RuntimeError as error:
                note(error)
            fresh = loop.sock_recv(b, 10)
            tried(fresh.throw, ValueError("soup"))
            tried(fresh.send, None)
            other = loop.sock_recv(b, 10)
            tried(other.throw)
            with pytest.raises(TypeError, match="exceptions must be classes"):
                other.throw(1)
            other.close()
            waiting = loop.sock_recv(b, 10)
            future = waiting.send(None)
            note(isinstance(future, asyncio.Future), future.done(), future._asyncio_future_blocking)
            tried(waiting.throw, ValueError, "thrown")
            waiting.close()
            loop.remove_reader(b)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # throw() with two arguments
        compare(body)


@pytest.mark.parametrize("turns", range(6))
@pytest.mark.parametrize("sent_first", [True, False])
def test_cancelling_at_any_turn_loses_no_data(run, turns, sent_first):
    async def main():
        loop = asyncio.get_running_loop()
        with pair() as (a, b):
            received = []

            async def receive():
                received.append(await loop.sock_recv(b, 10))

            task = asyncio.create_task(receive())
            if sent_first:
                a.send(b"soup")
            for _ in range(turns):
                await asyncio.sleep(0)
            if not sent_first:
                a.send(b"soup")
            task.cancel()
            await asyncio.wait([task])
            if not received:
                assert task.cancelled()
                received.append(await loop.sock_recv(b, 10))
            assert received == [b"soup"]
            assert not loop.remove_reader(b)

    run(main())


def test_an_ssl_socket_is_refused(compare):
    async def body(note):
        loop = asyncio.get_running_loop()
        context = ssl.create_default_context()
        with socket.socket() as plain, context.wrap_socket(plain, server_hostname="kitchen") as sock:
            for call in every_call(loop, sock, sock):
                try:
                    await call
                except TypeError as error:
                    note(str(error))

    compare(body)
