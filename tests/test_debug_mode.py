"""Debug mode: what is slow is named, what is forgotten is told, where things were made is known."""

import asyncio
import gc
import re
import sys
import threading
import time
import traceback
import warnings

import pytest


def block():
    """Holds the loop for longer than the limit that the tests set, by the clock that measures it."""
    end = time.monotonic() + 0.02
    while time.monotonic() < end:
        pass


@pytest.fixture
def slow(loop, logged):
    loop.set_debug(True)
    loop.slow_callback_duration = 0.01
    return loop


def lines(logged):
    """What was logged of slow things, without the seconds."""
    return [re.sub(r"took \d+\.\d{3} seconds", "took N seconds", line) for line in logged if "Executing" in line]


def test_a_slow_task_is_named_with_its_coroutine(slow, logged):
    async def stir():
        block()

    slow.run_until_complete(slow.create_task(stir(), name="the cook"))
    (line,) = lines(logged)
    assert line.startswith("WARNING Executing <Task finished name='the cook' coro=<")
    assert "stir() done, defined at " in line
    assert re.search(r"test_debug_mode\.py:\d+> result=None created at ", line)
    assert line.endswith("took N seconds")
    assert re.search(r"took 0\.0[2-9]\d seconds|took 0\.[1-9]\d\d seconds|took [1-9]", next(iter(logged)))


def test_a_slow_step_of_a_task_that_goes_on(slow, logged):
    async def stir():
        block()
        await asyncio.sleep(0)

    slow.run_until_complete(slow.create_task(stir(), name="the cook"))
    (line,) = lines(logged)
    assert line.startswith("WARNING Executing <Task pending name='the cook' coro=<")
    assert "stir() running at " in line


@pytest.mark.parametrize("how", ["call_soon", "call_later", "threadsafe", "reader"])
def test_a_slow_callback_is_named(slow, logged, how):
    import socket

    ours, theirs = socket.socketpair()

    def chop(*_):
        block()
        slow.remove_reader(ours)
        slow.stop()

    with ours, theirs:
        if how == "call_soon":
            slow.call_soon(chop, "onion")
        elif how == "call_later":
            slow.call_later(0.001, chop, "onion")
        elif how == "threadsafe":
            slow.call_soon_threadsafe(chop, "onion")
        else:
            slow.add_reader(ours, chop, "onion")
            theirs.send(b"x")
        slow.run_forever()
    (line,) = lines(logged)
    assert re.search(r"Executing <(Timer|_ThreadSafe)?Handle ", line)
    if how != "reader":  # Its handle was cancelled, which drops what it called.
        assert "chop('onion') at " in line
        assert "created at " in line


def test_what_is_quick_is_not_told(slow, logged):
    slow.slow_callback_duration = 60
    slow.run_until_complete(asyncio.sleep(0))
    assert lines(logged) == []


def test_without_debug_mode_nothing_is_told(loop, logged):
    loop.slow_callback_duration = 0.000_001
    loop.call_soon(block)
    loop.run_until_complete(asyncio.sleep(0))
    assert lines(logged) == []


def test_a_slow_read_of_a_connection_is_named(slow, logged):
    import socket

    class Chewer(asyncio.Protocol):
        def data_received(self, data):
            block()
            slow.stop()

    ours, theirs = socket.socketpair()
    with theirs:
        transport, _ = slow.run_until_complete(slow.create_connection(Chewer, sock=ours))
        theirs.send(b"x")
        slow.run_forever()
        transport.close()
        slow.run_until_complete(asyncio.sleep(0))
    assert any("SocketTransport" in line and "took N seconds" in line for line in lines(logged))


@pytest.mark.parametrize("method", ["call_soon", "call_later", "call_at"])
def test_another_thread_is_refused(loop, method):
    loop.set_debug(True)
    seen = []

    def from_outside():
        arguments = {"call_soon": (print,), "call_later": (1, print), "call_at": (loop.time(), print)}[method]
        try:
            getattr(loop, method)(*arguments)
        except RuntimeError as error:
            seen.append(str(error))
        finally:
            loop.call_soon_threadsafe(loop.stop)

    async def main():
        thread = threading.Thread(target=from_outside)
        thread.start()
        await asyncio.to_thread(thread.join)

    loop.call_soon(lambda: threading.Thread(target=from_outside).start())
    loop.run_forever()
    assert seen == ["Non-thread-safe operation invoked on an event loop other than the current one"]


def test_another_thread_may_not_end_a_future_with_callbacks(loop):
    loop.set_debug(True)
    seen = []

    def from_outside(future):
        try:
            future.set_result(None)
        except RuntimeError as error:
            seen.append(str(error))
        finally:
            loop.call_soon_threadsafe(loop.stop)

    future = loop.create_future()
    future.add_done_callback(lambda _: None)
    loop.call_soon(lambda: threading.Thread(target=from_outside, args=(future,)).start())
    loop.run_forever()
    assert seen == ["Non-thread-safe operation invoked on an event loop other than the current one"]


def test_coroutines_and_odd_things_are_no_callbacks(compare):
    async def body(note):
        loop = asyncio.get_running_loop()

        async def coroutine():
            pass

        given = coroutine()
        for callback in (coroutine, given, 7, None):
            for call in (
                lambda callback: loop.call_soon(callback),
                lambda callback: loop.call_soon_threadsafe(callback),
                lambda callback: loop.call_later(1, callback),
                lambda callback: loop.call_at(1, callback),
                lambda callback: loop.run_in_executor(None, callback),
            ):
                try:
                    call(callback)
                except TypeError as error:
                    note(error)
        given.close()

    compare(body, debug=True)


def test_where_things_were_made(loop):
    loop.set_debug(True)

    async def nothing():
        pass

    handle = loop.call_soon(print)
    timer = loop.call_later(1, print)
    future = loop.create_future()
    task = loop.create_task(nothing())
    for made in (handle, timer, future, task):
        stack = made._source_traceback
        assert isinstance(stack, traceback.StackSummary)
        assert any(frame.name == "test_where_things_were_made" for frame in stack)
        assert f"created at {__file__}" in repr(made) or "created at " in repr(made)
    handle.cancel()
    timer.cancel()
    future.cancel()
    loop.run_until_complete(task)
    loop.set_debug(False)
    assert not loop.create_future()._source_traceback
    handle = loop.call_soon(print)
    handle.cancel()
    assert not handle._source_traceback


def test_the_report_of_a_failed_callback_says_where_it_was_scheduled(loop, logged):
    loop.set_debug(True)
    contexts = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))

    def burn():
        raise ValueError("burnt")

    loop.call_soon(burn)
    loop.run_until_complete(asyncio.sleep(0))
    (context,) = contexts
    names = [frame.name for frame in context["source_traceback"]]
    assert "test_the_report_of_a_failed_callback_says_where_it_was_scheduled" in names
    loop.set_exception_handler(None)
    loop.call_soon(burn)
    loop.run_until_complete(asyncio.sleep(0))
    assert "Object created at (most recent call last):" in logged[0]
    contexts.clear()
    del context


def test_coroutines_never_awaited_say_where_they_were_made(loop):
    async def forgotten():
        pass

    async def main():
        assert sys.get_coroutine_origin_tracking_depth() > 0
        forgotten()

    loop.set_debug(True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loop.run_until_complete(main())
        gc.collect()
    (warning,) = [warning for warning in caught if issubclass(warning.category, RuntimeWarning)]
    text = str(warning.message)
    assert "forgotten' was never awaited" in text
    assert "Coroutine created at (most recent call last)" in text
    assert "in main" in text
    assert sys.get_coroutine_origin_tracking_depth() == 0


def test_origin_tracking_follows_set_debug(loop):
    async def main():
        depths = [sys.get_coroutine_origin_tracking_depth()]
        for enabled in (True, False, True):
            loop.set_debug(enabled)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            depths.append(sys.get_coroutine_origin_tracking_depth() > 0)
        loop.set_debug(False)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return depths

    assert loop.run_until_complete(main()) == [0, True, False, True]
    assert sys.get_coroutine_origin_tracking_depth() == 0


def test_an_exception_nobody_saw_says_where_its_future_was_made(loop, logged):
    loop.set_debug(True)

    async def main():
        future = loop.create_future()
        future.set_exception(ValueError("spilt"))
        del future
        gc.collect()

    loop.run_until_complete(main())
    (report,) = logged
    assert "Future exception was never retrieved" in report
    assert "source_traceback: Object created at (most recent call last):" in report
    assert "in main" in report


def test_debug_from_the_environment_and_by_run(run):
    async def main():
        return asyncio.get_running_loop().get_debug()

    assert run(main(), debug=True) is True
    assert run(main(), debug=False) is False
