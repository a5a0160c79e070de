"""The native `sleep`: a coroutine in all that a program can ask of one, on its own loop and on any other."""

import asyncio
import collections.abc
import gc
import inspect
import pickle
import sys
import types
import weakref

import pytest

import rondeau


def test_its_result_comes_through(compare_native):
    async def body(note, aio):
        note(await aio.sleep(0), await aio.sleep(0, "now"), await aio.sleep(0.001, result="later"), await aio.sleep(-1, 3))
        note(await aio.create_task(aio.sleep(0.001, "task")), await aio.wait_for(aio.sleep(0, "timed"), 10))
        note(await aio.gather(aio.sleep(0.002, 1), aio.sleep(0, 2), aio.sleep(0.001, 3)))

    assert compare_native(body)[1] == ("task", "timed")


def test_bad_delays_fail_when_awaited(compare_native):
    async def body(note, aio):
        for delay in ("x", None, float("nan"), 1j, 10**400):
            coroutine = aio.sleep(delay)
            try:
                note(await coroutine)
            except Exception as error:
                note(error)
        for arguments in ((), (1, 2, 3)):
            with pytest.raises(TypeError) as raised:
                aio.sleep(*arguments)
            note(raised.value)
        with pytest.raises(TypeError) as raised:
            aio.sleep(1, result=2, more=3)
        note(raised.value)

    compare_native(body)


def test_sleepers_wake_in_order_of_time_and_then_of_call(compare_native):
    async def body(note, aio):
        async def sleeper(name, delay):
            await aio.sleep(delay)
            note(name)

        # Far enough apart for all of them to have begun before the first one ends, on a slow machine too.
        delays = [0.4, 0.2, 0, 0.2, 0.3, 0, 0.1]
        await aio.gather(*(sleeper(number, delay) for number, delay in enumerate(delays)))

    assert compare_native(body)[:2] == [2, 5]


def test_sleep_zero_gives_way_for_one_turn(compare_native):
    async def body(note, aio):
        async def other():
            for turn in range(3):
                note("other", turn)
                await aio.sleep(0)

        task = aio.create_task(other())
        for turn in range(3):
            note("first", turn)
            await aio.sleep(0)
        await task

    compare_native(body)


def test_a_cancelled_sleep_leaves_no_timer(compare_native):
    async def body(note, aio):
        task = aio.create_task(aio.sleep(3600))
        await aio.sleep(0)
        note(isinstance(task._fut_waiter, asyncio.Future), task._fut_waiter.done())
        note(task.cancel("enough"))
        try:
            await task
        except aio.CancelledError as error:
            note(error, task.cancelled())

    compare_native(body)


def test_the_waiter_can_be_ended_by_somebody_else(compare_native):
    async def body(note, aio):
        for end in ("result", "exception", "cancel"):
            task = aio.create_task(aio.sleep(3600, "slept"))
            await aio.sleep(0)
            waiter = task._fut_waiter
            if end == "result":
                waiter.set_result("early")
            elif end == "exception":
                waiter.set_exception(OSError("early"))
            else:
                waiter.cancel("early")
            try:
                note(end, type(await task).__name__)
            except (OSError, aio.CancelledError) as error:
                note(end, error)

    compare_native(body)


def test_it_is_a_coroutine():
    coroutine = rondeau.sleep(0)
    assert asyncio.iscoroutine(coroutine)
    assert inspect.isawaitable(coroutine)
    assert isinstance(coroutine, collections.abc.Coroutine)
    assert not isinstance(coroutine, collections.abc.Iterator)
    assert coroutine.__name__ == coroutine.__qualname__ == "sleep"
    assert not coroutine.cr_running
    assert repr(coroutine).startswith("<coroutine object sleep at 0x")
    with pytest.raises(TypeError, match="can't send non-None value to a just-started coroutine"):
        coroutine.send(1)
    assert not isinstance(coroutine, collections.abc.Iterable)
    assert coroutine.send(None) is None
    with pytest.raises(RuntimeError, match="coroutine is being awaited already"):
        coroutine.__await__()
    with pytest.raises(KeyError, match="thrown"):
        coroutine.throw(KeyError("thrown"))
    for again in (coroutine.send, coroutine.throw):
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            again(None if again == coroutine.send else KeyError())
    assert coroutine.close() is None


def test_a_generator_based_coroutine_yields_from_it(compare_native):
    async def body(note, aio):
        @types.coroutine
        def generator():
            return (yield from aio.sleep(0, "slept"))

        note(await generator())

    assert compare_native(body) == ["slept"]


def test_one_that_is_thrown_into_before_it_started_is_over():
    coroutine = rondeau.sleep(1)
    with pytest.raises(ZeroDivisionError):
        coroutine.throw(ZeroDivisionError)
    with pytest.raises(RuntimeError, match="cannot reuse"):
        coroutine.send(None)


def test_one_that_nobody_awaits_is_warned_of(recwarn):
    rondeau.sleep(1)
    gc.collect()
    assert [str(warning.message) for warning in recwarn] == ["coroutine 'sleep' was never awaited"]
    assert recwarn[0].filename == __file__  # The line that dropped it, as asyncio's has.


def test_a_closed_one_is_not_warned_of(recwarn):
    coroutine = rondeau.sleep(1)
    reference = weakref.ref(coroutine)
    coroutine.close()
    del coroutine
    assert reference() is None
    assert not list(recwarn)


FROM_3_12 = pytest.mark.skipif(sys.version_info < (3, 12), reason="3.11's interpreter runs functions without asking them")


@FROM_3_12
def test_the_function_is_asyncios_to_look_at():
    assert inspect.signature(rondeau.sleep) == inspect.signature(asyncio.sleep)
    assert inspect.iscoroutinefunction(rondeau.sleep)
    assert rondeau.sleep.__name__ == "sleep"
    assert rondeau.sleep.__module__ == "rondeau"
    assert pickle.loads(pickle.dumps(rondeau.sleep)) is rondeau.sleep


@FROM_3_12
def test_mock_patches_it_with_an_async_mock():
    from unittest import mock

    with mock.patch("rondeau.sleep") as patched:
        assert isinstance(patched, mock.AsyncMock)
        assert inspect.iscoroutinefunction(rondeau.sleep)


def test_without_a_running_loop_it_says_so():
    with pytest.raises(RuntimeError, match="no running event loop"):
        rondeau.sleep(1).send(None)


def test_a_loop_with_a_call_later_of_its_own_is_asked():
    class Fast(rondeau.EventLoop):
        def call_later(self, delay, callback, *args, context=None):
            self.asked = delay
            return super().call_later(0, callback, *args, context=context)

    with asyncio.Runner(loop_factory=Fast) as runner:
        runner.run(rondeau.sleep(3600))
        assert runner.get_loop().asked == 3600
