"""`keep_tasks`: a loop keeps its tasks alive until they end; asyncio loses one that waits for what only itself knows."""

import asyncio
import contextlib
import gc
import sys
import weakref

import pytest

import rondeau
from rondeau import _core


class Counted:
    """What a task holds on to while it lives."""


async def forgotten(counted, begun):
    """Waits for a future that nobody else refers to."""
    future = asyncio.get_running_loop().create_future()
    begun.append(weakref.ref(future))
    await future
    return counted


async def start_forgotten(loop, make=None):
    begun = []
    counted = Counted()
    coro = forgotten(counted, begun)
    (make or loop.create_task)(coro)
    del coro
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return weakref.ref(counted), begun[0]


def told(loop):
    seen = []
    loop.set_exception_handler(lambda _, context: seen.append(context["message"]))
    return seen


def test_without_it_a_task_that_waits_for_what_only_itself_knows_is_lost():
    for factory in (asyncio.SelectorEventLoop, rondeau.new_event_loop):

        async def main():
            loop = asyncio.get_running_loop()
            seen = told(loop)
            alive, _ = await start_forgotten(loop)
            gc.collect()
            assert alive() is None
            return seen

        with asyncio.Runner(loop_factory=factory) as runner:
            assert runner.run(main()) == ["Task was destroyed but it is pending!"]


def test_with_it_the_task_survives_a_collection_and_ends():
    async def main():
        loop = asyncio.get_running_loop()
        seen = told(loop)
        alive, future = await start_forgotten(loop)
        gc.collect()
        assert alive() is not None
        assert len(asyncio.all_tasks()) == 2
        future().set_result(None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert alive() is None
        assert not seen

    rondeau.run(main(), keep_tasks=True)


@pytest.mark.parametrize("kind", [asyncio.Task, _core.Task])
def test_a_task_that_is_made_by_its_class(kind):
    async def main():
        loop = asyncio.get_running_loop()
        told(loop)
        alive, future = await start_forgotten(loop, lambda coro: kind(coro, loop=loop))
        gc.collect()
        assert (alive() is not None) == (kind is _core.Task)
        if alive():
            future().cancel()

    rondeau.run(main(), keep_tasks=True)


async def returns():
    await asyncio.sleep(0)


async def fails():
    await asyncio.sleep(0)
    raise ValueError


async def is_cancelled():
    await asyncio.sleep(0)
    asyncio.current_task().cancel()
    await asyncio.sleep(0)


async def cancels_itself_last():
    await asyncio.sleep(0)
    asyncio.current_task().cancel()


@pytest.mark.parametrize("end", [returns, fails, is_cancelled, cancels_itself_last])
@pytest.mark.parametrize("debug", [False, True])
def test_a_task_is_let_go_when_it_ends_however_it_ends(end, debug):
    async def main():
        task = asyncio.get_running_loop().create_task(end())
        alive = weakref.ref(task)
        with contextlib.suppress(ValueError, asyncio.CancelledError):
            await task
        await asyncio.sleep(0)  # The step that was woken has the exception still, whose traceback has the task.
        del task
        gc.collect()
        assert alive() is None

    rondeau.run(main(), keep_tasks=True, debug=debug)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in 3.12")
def test_eager_tasks():
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)
        ended = weakref.ref(loop.create_task(asyncio.sleep(0)))
        at_once = weakref.ref(loop.create_task(nothing()))
        assert at_once() is None
        alive, future = await start_forgotten(loop)
        gc.collect()
        assert ended() is None
        assert alive() is not None
        future().set_result(None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert alive() is None
        loop.set_task_factory(None)

    async def nothing():
        pass

    rondeau.run(main(), keep_tasks=True)


def test_the_end_of_run_cancels_what_was_kept():
    async def main():
        return await start_forgotten(asyncio.get_running_loop())

    alive, _ = rondeau.run(main(), keep_tasks=True)
    gc.collect()
    assert alive() is None


def drop(holder):
    holder.clear()
    gc.collect()


@pytest.mark.parametrize("close", [True, False])
def test_a_loop_that_is_closed_or_dropped_lets_go_of_all(close):
    loop = rondeau.new_event_loop()
    loop.keep_tasks = True
    seen = told(loop)
    alive, _ = loop.run_until_complete(start_forgotten(loop))
    gc.collect()
    assert alive() is not None
    if close:
        loop.close()
        gc.collect()
    else:
        holder = [loop]
        del loop
        with pytest.warns(ResourceWarning, match="unclosed event loop"):
            drop(holder)
    assert alive() is None
    assert seen == ["Task was destroyed but it is pending!"]


def test_switched_off_it_keeps_what_it_has_and_nothing_new():
    async def main():
        loop = asyncio.get_running_loop()
        seen = told(loop)
        kept, future = await start_forgotten(loop)
        loop.keep_tasks = False
        lost, _ = await start_forgotten(loop)
        gc.collect()
        assert kept() is not None
        assert lost() is None
        assert len(seen) == 1
        future().set_result(None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert kept() is None

    rondeau.run(main(), keep_tasks=True)
