"""The native `timeout`, `timeout_at`, `Timeout` and `wait_for`: asyncio's states, errors and causes, and no timer left."""

import asyncio
import gc
import inspect
import weakref

import pytest

import rondeau


async def give(aio, value):
    await aio.sleep(0)
    return value


async def overdue(note, awaitable):
    """Notes what a time-out raised, with cause and context."""
    try:
        note("result", await awaitable)
    except (Exception, asyncio.CancelledError) as error:
        note(error, error.__cause__, error.__context__, error.__suppress_context__)
    note(asyncio.current_task().cancelling())


def test_a_timeout_that_does_not_strike(compare_native):
    async def body(note, aio):
        for delay in (3600, 3600.5, None, float("inf")):
            async with aio.timeout(delay) as timeout:
                note(timeout.expired(), timeout.when() is None, repr(timeout).split(" when=")[0])
                await aio.sleep(0)
            note(timeout.expired(), repr(timeout))
        async with aio.timeout_at(aio.get_running_loop().time() + 3600) as timeout:
            note(timeout.expired())

    compare_native(body)


def test_a_timeout_that_strikes(compare_native):
    async def body(note, aio):
        async def late(delay):
            async with aio.timeout(delay) as timeout:
                try:
                    await aio.sleep(3600)
                finally:
                    note(repr(timeout), timeout.expired(), aio.current_task().cancelling())

        for delay in (0.001, 0, -1):
            await overdue(note, late(delay))

        async def never_waits():
            async with aio.timeout(-1) as timeout:
                pass
            note(repr(timeout))
            await aio.sleep(0)
            await aio.sleep(0)

        await overdue(note, never_waits())

    assert compare_native(body)[1][0] == ("TimeoutError", ())


def test_other_errors_keep_the_timeout_in_their_context(compare_native):
    async def body(note, aio):
        async def fails(error):
            async with aio.timeout(0.001):
                try:
                    await aio.sleep(3600)
                except aio.CancelledError:
                    raise error from None

        for error in (KeyError("mine"), ExceptionGroup("group", [ValueError("one")])):
            try:
                await fails(error)
            except Exception as raised:
                note(raised, raised.__context__, raised.__cause__)

    compare_native(body)


def test_only_its_own_cancellation_becomes_a_timeout(compare_native):
    async def body(note, aio):
        async def waits():
            async with aio.timeout(3600):
                await aio.sleep(3600)

        task = aio.create_task(waits())
        await aio.sleep(0)
        await aio.sleep(0)
        task.cancel("outside")
        await overdue(note, task)

        async def both():
            async with aio.timeout(0) as timeout:
                aio.current_task().cancel("outside")
                try:
                    await aio.sleep(3600)
                finally:
                    note(timeout.expired())

        await overdue(note, aio.create_task(both()))

    compare_native(body)


def test_nested_timeouts_strike_each_for_itself(compare_native):
    async def body(note, aio):
        try:
            async with aio.timeout(3600) as outer:
                try:
                    async with aio.timeout(0.001) as inner:
                        await aio.sleep(3600)
                except TimeoutError:
                    note("inner", inner.expired(), outer.expired())
                outer.reschedule(aio.get_running_loop().time())
                await aio.sleep(3600)
        except TimeoutError:
            note("outer", outer.expired())

    assert compare_native(body) == [("inner", True, False), ("outer", True)]


def test_rescheduling(compare_native):
    async def body(note, aio):
        time = aio.get_running_loop().time

        async def moves():
            async with aio.timeout_at(time() - 1) as timeout:
                timeout.reschedule(time() + 3600)
                await aio.sleep(0)
                await aio.sleep(0)
                timeout.reschedule(None)
                note(timeout.when(), repr(timeout))
                timeout.reschedule(time() - 1)
                timeout.reschedule(time() + 3600)
                await aio.sleep(0)
                await aio.sleep(0)
                note("still here")
                timeout.reschedule(time() - 1)
                await aio.sleep(3600)

        await overdue(note, moves())

    assert "still here" in compare_native(body)


def test_what_a_timeout_refuses(compare_native):
    async def body(note, aio):
        def refused(call, *arguments, **options):
            try:
                note(call(*arguments, **options))
            except Exception as error:
                note(error)

        timeout = aio.timeout(3600)
        refused(timeout.reschedule, 1)
        async with timeout:
            refused(timeout.reschedule, "text")
        refused(timeout.reschedule, 1)
        for again in (timeout,):
            try:
                async with again:
                    note("entered twice")
            except (RuntimeError, TypeError) as error:  # 3.11.2 enters it again, and fails at its "text".
                note(error)
        refused(aio.timeout)
        refused(aio.timeout, "text")
        refused(aio.timeout, 1, 2)
        refused(aio.timeout, late=1)
        coroutine = aio.timeout(1).__aexit__(None, None, None)
        with pytest.raises(AssertionError):
            await coroutine

    compare_native(body)


def test_outside_of_a_task_it_is_refused(compare_native):
    async def body(note, aio):
        loop = aio.get_running_loop()
        done = loop.create_future()

        def callback():
            try:
                aio.timeout(1).__aenter__().send(None)
            except RuntimeError as error:
                done.set_result(str(error))

        loop.call_soon(callback)
        note(await done)

    compare_native(body)
    with pytest.raises(RuntimeError, match="no running event loop"):
        rondeau.timeout(1)


def test_wait_for_passes_results_and_errors_on(compare_native):
    async def body(note, aio):
        async def fails():
            await aio.sleep(0)
            raise ValueError("mine")

        done = aio.get_running_loop().create_future()
        done.set_result("done")
        for timeout in (3600, None, 3600.5):
            await overdue(note, aio.wait_for(give(aio, "given"), timeout))
            await overdue(note, aio.wait_for(fails(), timeout=timeout))
            await overdue(note, aio.wait_for(fut=aio.create_task(give(aio, "task")), timeout=timeout))
            await overdue(note, aio.wait_for(done, timeout))
            await overdue(note, aio.wait_for(aio.gather(give(aio, 1), give(aio, 2)), timeout))
            await overdue(note, aio.create_task(aio.wait_for(aio.sleep(0, "slept"), timeout)))
            await overdue(note, aio.wait_for(aio.wait_for(give(aio, "inner"), timeout), timeout))

    compare_native(body)


def test_wait_for_cancels_what_is_overdue(compare_native):
    async def body(note, aio):
        async def stubborn():
            try:
                await aio.sleep(3600)
            except aio.CancelledError as error:
                note("cancelled", error)
                return "stayed"

        async def fails():
            try:
                await aio.sleep(3600)
            except aio.CancelledError:
                raise ValueError("mine") from None

        for timeout in (0.001, 0, -1):
            future, task = aio.get_running_loop().create_future(), aio.create_task(aio.sleep(3600))
            await overdue(note, aio.wait_for(future, timeout))
            await overdue(note, aio.wait_for(task, timeout))
            await overdue(note, aio.wait_for(aio.sleep(3600), timeout))
            await overdue(note, aio.wait_for(stubborn(), timeout))
            note(future.cancelled(), task.cancelled())
        await overdue(note, aio.wait_for(aio.shield(aio.sleep(0.01)), 0.001))
        try:
            await aio.wait_for(fails(), 0.001)
        except ValueError as error:
            note(error, error.__cause__)

    compare_native(body)


def test_a_cancelled_wait_for_cancels_what_it_waits_for(compare_native):
    async def body(note, aio):
        inner = aio.create_task(aio.sleep(3600))
        outer = aio.create_task(aio.wait_for(inner, 3600))
        await aio.sleep(0)
        await aio.sleep(0)
        outer.cancel("outside")
        await overdue(note, outer)
        note(inner.cancelled(), outer.cancelling())

    compare_native(body)


def test_what_wait_for_refuses(compare_native):
    async def body(note, aio):
        async def refused(*arguments, **options):
            try:
                note(await aio.wait_for(*arguments, **options))
            except Exception as error:
                note(error)

        await refused(7, 1)
        await refused(aio.sleep(0, "slept"), "text")
        await refused(aio.sleep(0, "slept"), float("nan"))
        with pytest.raises(TypeError) as raised:
            aio.wait_for(1)
        note(raised.value)
        coroutine = give(aio, "shared")
        task = aio.create_task(coroutine)
        await aio.sleep(0)
        await refused(coroutine, 1)
        await task

    with pytest.warns(RuntimeWarning, match="never awaited"):
        compare_native(body)


def test_wait_for_wakes_in_asyncios_order(compare_native):
    async def body(note, aio):
        async def waits(name, times):
            async def inner():
                for _ in range(times):
                    await aio.sleep(0)

            await aio.wait_for(inner(), 3600)
            note(name)

        async def plain(name, times):
            for _ in range(times):
                await aio.sleep(0)
            note(name)

        await aio.gather(waits("a", 2), plain("b", 2), waits("c", 1), plain("d", 1), waits("e", 0), plain("f", 3))

    compare_native(body)


def test_one_that_is_dropped_while_it_waits_leaves_nothing(run):
    async def main():
        coroutine = rondeau.wait_for(rondeau.sleep(3600), 3600)
        task = asyncio.create_task(coroutine)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        reference = weakref.ref(coroutine)
        del coroutine, task
        gc.collect()
        assert reference() is None

        timeout = rondeau.timeout(3600)
        async with timeout:
            timeout.mine = "attributes as in asyncio"
        reference = weakref.ref(timeout)
        timeout.me = timeout
        del timeout
        gc.collect()
        assert reference() is None

    run(main())


@pytest.mark.skipif(not inspect.isfunction(rondeau.timeout), reason="3.11 has builtins there")
def test_the_functions_are_asyncios_to_look_at():
    assert inspect.signature(rondeau.wait_for) == inspect.signature(asyncio.wait_for)
    assert inspect.iscoroutinefunction(rondeau.wait_for)
    assert inspect.signature(rondeau.timeout) == inspect.signature(asyncio.timeout)
    assert not inspect.iscoroutinefunction(rondeau.timeout)


def test_the_class_can_be_made_and_subclassed():
    class Mine(rondeau.Timeout):
        pass

    async def main():
        loop = asyncio.get_running_loop()
        for kind in (rondeau.Timeout, Mine):
            with pytest.raises(TimeoutError):
                async with kind(loop.time() + 0.001) as timeout:
                    await rondeau.sleep(3600)
            assert timeout.expired()
            assert isinstance(timeout, rondeau.Timeout)
        assert isinstance(rondeau.timeout(1), rondeau.Timeout)

    rondeau.run(main())
