"""A loop that is dropped without `close()` goes with all that waits on it, though the collector does not know every handle."""

import asyncio
import contextvars
import gc
import os
import sys
import warnings
import weakref

import pytest

import rondeau
from rondeau import _core


class Thing:
    """Something to watch the end of."""


async def sleeping(thing):
    await asyncio.sleep(3600, thing)


async def timed(thing):
    loop = asyncio.get_running_loop()
    thing.timer = loop.call_later(3600, print, thing)
    await loop.create_future()


async def soon(thing):
    asyncio.get_running_loop().call_soon(print, thing)
    await asyncio.sleep(3600)


@pytest.mark.parametrize("waiting", [sleeping, timed, soon])
def test_it_is_collected(loop_factory, waiting):
    def abandon():
        loop = loop_factory()
        thing = Thing()
        task = loop.create_task(waiting(thing))
        loop.call_soon(loop.stop)
        loop.run_forever()
        task._log_destroy_pending = False
        return [weakref.ref(loop), weakref.ref(task), weakref.ref(thing)]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gone = abandon()
        gc.collect()
        gc.collect()
    assert [reference() for reference in gone] == [None, None, None]


def test_sleepers_survive_a_collector_that_never_rests(run):
    async def main():
        variable = contextvars.ContextVar("variable", default="outside")

        async def sleeper(number):
            variable.set(number)
            result = await asyncio.sleep(number % 3 / 1000, [number])
            assert variable.get() == number
            return result

        tasks = [asyncio.create_task(sleeper(number)) for number in range(60)]
        await asyncio.sleep(0)
        for task in tasks[::7]:
            task.cancel()
        gc.collect()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        for number, result in enumerate(done):
            assert isinstance(result, asyncio.CancelledError) if number % 7 == 0 else result == [number]

    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        run(main())
    finally:
        gc.set_threshold(*before)


def test_a_sleepers_handle_that_somebody_got_hold_of(run):
    """Through the frame, which nobody should: it may be cancelled, and its future is not lost to the collector."""

    async def main():
        coroutine = asyncio.sleep(3600)
        task = asyncio.create_task(coroutine)
        await asyncio.sleep(0)
        handle = coroutine.cr_frame.f_locals["h"]
        gc.collect()
        assert not handle.cancelled()
        handle.cancel()
        assert handle.cancelled()
        assert handle._args is None
        task.cancel()
        gc.collect()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


@pytest.mark.parametrize("driver", ["ring", "threads"])
def test_a_cancelled_operation_holds_its_memory_until_its_loop_has_it_back(monkeypatch, driver):
    """Cancelled while the kernel has it, then garbage together with its loop, which nobody closes.

    The collector comes to the operation first. What is looked at is whether its memory is still borrowed when the loop lets go
    of a callback, which it does in between."""
    if driver == "threads":
        monkeypatch.setenv("RONDEAU_DRIVER", "epoll")
    data = bytearray(100)
    borrowed = []

    def look(told):
        if "scandir" not in str(told.exc_value):
            return
        try:
            data.append(0)
            borrowed.append(False)
        except BufferError:
            borrowed.append(True)

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, bytes(65536))
    except BlockingIOError:
        os.set_blocking(writer, True)

    def abandon():
        operation = _core.file_adopt(writer, False).write(data)
        loop = rondeau.new_event_loop()
        loop.call_soon(operation.send, None)
        loop.run_until_complete(asyncio.sleep(0))
        assert not operation.done()
        operation.cancel()
        # An iterator that the collector does not know: it warns when its last reference goes.
        folder = os.scandir("/")
        next(folder)
        loop.call_soon(print, folder)

    monkeypatch.setattr(sys, "unraisablehook", look)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)  # So that the loop's __del__ fails before it has closed the loop.
        abandon()
        gc.collect()
    assert borrowed == [True]
    data.append(0)
    os.close(reader)
    os.close(writer)
