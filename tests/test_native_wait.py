"""The native `wait` and `shield`: who is done when, and what a cancellation reaches."""

import asyncio
import gc
import inspect
import weakref

import pytest

import rondeau


async def give(aio, value, turns=1):
    for _ in range(turns):
        await aio.sleep(0)
    return value


async def fail(aio, error, turns=1):
    await give(aio, None, turns)
    raise error


async def outcome(awaitable):
    try:
        return await awaitable
    except (Exception, asyncio.CancelledError) as error:
        return error


def shown(sets):
    done, pending = sets
    return (
        type(done).__name__,
        sorted(str(task.result() if not task.cancelled() and not task.exception() else "-") for task in done),
        len(pending),
    )


@pytest.mark.parametrize("when", ["ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"])
def test_it_ends_when_it_is_told_to(compare_native, when):
    async def body(note, aio):
        which = getattr(aio, when)
        for turns in ((0, 2), (3, 1, 2)):
            tasks = [aio.create_task(give(aio, number, number)) for number in turns]
            note(shown(await aio.wait(tasks, return_when=which)), [task.done() for task in tasks])
            note(shown(await aio.wait(set(tasks))), shown(await aio.wait(tuple(tasks), return_when=which)))
        tasks = [aio.create_task(fail(aio, ValueError("first"), 1)), aio.create_task(give(aio, 1, 4))]
        note(shown(await aio.wait(tasks, return_when=which)), [task.done() for task in tasks])
        note(shown(await aio.wait(tasks)))
        tasks = [aio.create_task(aio.sleep(3600)), aio.create_task(give(aio, 1, 3))]
        aio.get_running_loop().call_soon(tasks[0].cancel)
        note(shown(await aio.wait(tasks, return_when=which)), [task.done() for task in tasks])
        note(shown(await aio.wait(tasks)))

    compare_native(body)


def test_a_timeout_ends_the_wait_and_cancels_nothing(compare_native):
    async def body(note, aio):
        for timeout in (0.001, 0, -1):
            task, quick = aio.create_task(aio.sleep(3600)), aio.create_task(give(aio, 1, 0))
            note(shown(await aio.wait([task, quick], timeout=timeout)), task.done())
            task.cancel()
            note(shown(await aio.wait([task], timeout=3600)), task.cancelled())

    compare_native(body)


def test_a_cancelled_wait_lets_go_of_its_futures(compare_native):
    async def body(note, aio):
        future = aio.get_running_loop().create_future()
        waiting = aio.create_task(aio.wait([future], timeout=3600))
        await aio.sleep(0)
        await aio.sleep(0)
        note(len(future._callbacks), waiting.cancel("enough"))
        note(await outcome(waiting), future._callbacks, future.done())

    assert compare_native(body)[0][0] == 1


def test_futures_have_several_waits_and_keep_their_own_callbacks(compare_native):
    async def body(note, aio):
        loop = aio.get_running_loop()
        future = loop.create_future()
        future.add_done_callback(lambda _: note("first"))
        waits = [aio.create_task(aio.wait([future])) for _ in range(3)]
        await aio.sleep(0)
        await aio.sleep(0)
        future.add_done_callback(lambda _: note("last"))
        waits[1].cancel()
        await aio.sleep(0)
        await aio.sleep(0)
        note(len(future._callbacks))
        future.set_result("done")
        note(shown(await waits[0]), shown(await waits[2]))

    compare_native(body)


def test_what_wait_refuses(compare_native):
    async def body(note, aio):
        async def refused(*arguments, **options):
            try:
                note(await aio.wait(*arguments, **options))
            except Exception as error:
                note(type(error).__name__, str(error))

        future = aio.get_running_loop().create_future()
        coroutine = give(aio, 1)
        for arguments in (([],), (future,), (coroutine,), ([coroutine],), (7,), ([future, 7],)):
            await refused(*arguments)
        await refused([future], return_when="SOMETIMES")
        await refused([future], return_when=[])
        with pytest.raises(TypeError) as raised:
            aio.wait()
        note(raised.value)
        coroutine.close()
        note(shown(await aio.wait(iter([aio.create_task(give(aio, 2))]))))

    compare_native(body)


def test_it_wakes_in_asyncios_order(compare_native):
    async def body(note, aio):
        async def waits(name, turns, **options):
            await aio.wait([aio.create_task(give(aio, 1, number)) for number in turns], **options)
            note(name)

        async def plain(name, turns):
            await give(aio, 1, turns)
            note(name)

        await aio.gather(
            waits("a", [0, 1]),
            plain("b", 3),
            waits("c", [0, 2], return_when=aio.FIRST_COMPLETED),
            plain("d", 2),
            waits("e", [1], timeout=3600),
            plain("f", 4),
            plain("g", 1),
        )
        await aio.sleep(0)

    compare_native(body)


def test_a_wait_that_is_dropped_is_collected(run):
    async def main():
        async def waits():
            await rondeau.wait([asyncio.get_running_loop().create_future()])

        coroutine = waits()
        coroutine.send(None)
        reference = weakref.ref(coroutine)
        del coroutine
        gc.collect()
        assert reference() is None

    run(main())


def test_a_shield_keeps_the_inside_from_being_cancelled(compare_native):
    async def body(note, aio):
        for inside in (lambda: aio.create_task(give(aio, "done", 4)), lambda: give(aio, "done", 4)):
            inner = inside()
            shield = aio.shield(inner)
            waiting = aio.create_task(outcome(shield))
            await aio.sleep(0)
            await aio.sleep(0)
            waiting.cancel("outside")
            note(await waiting, shield.cancelled())
            if aio.isfuture(inner):
                note(await inner, inner._callbacks)
            for _ in range(5):
                await aio.sleep(0)

    compare_native(body)


def test_a_shield_passes_outcomes_on(compare_native):
    async def body(note, aio):
        loop = aio.get_running_loop()
        note(await aio.shield(give(aio, 1)), await outcome(aio.shield(fail(aio, ValueError("inside")))))
        done = loop.create_future()
        done.set_result(2)
        note(aio.shield(done) is done, await aio.shield(aio.gather(give(aio, 1), give(aio, 2))))
        inner = loop.create_future()
        shield = aio.shield(inner)
        inner.cancel("inside")
        note(await outcome(shield), shield.cancelled())
        inner = loop.create_future()
        shield = aio.shield(inner)
        shield.set_result("mine")
        await aio.sleep(0)
        inner.set_result("too late")
        note(await shield, await inner)
        try:
            aio.shield(7)
        except TypeError as error:
            note(error)

    compare_native(body)


def test_a_shield_wakes_in_asyncios_order(compare_native):
    async def body(note, aio):
        async def shielded(name, turns):
            await aio.shield(give(aio, 1, turns))
            note(name)

        async def plain(name, turns):
            await give(aio, 1, turns)
            note(name)

        await aio.gather(shielded("a", 0), plain("b", 2), shielded("c", 1), plain("d", 3), plain("e", 1))

    compare_native(body)


@pytest.mark.skipif(not inspect.isfunction(rondeau.wait), reason="3.11 has builtins there")
def test_the_functions_are_asyncios_to_look_at():
    for name in ("wait", "shield"):
        assert inspect.signature(getattr(rondeau, name)) == inspect.signature(getattr(asyncio, name))
    assert inspect.iscoroutinefunction(rondeau.wait)
