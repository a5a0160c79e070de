"""`as_completed`: native and asyncio's own do the same, in each Python's form of it."""

import asyncio
import gc
import sys
import weakref

import pytest

import rondeau

ASYNCHRONOUS = sys.version_info >= (3, 13)
NAMES = pytest.mark.parametrize("aio", [asyncio, rondeau], ids=["asyncio", "native"])


async def after(turns, result=None, error=None):
    for _ in range(turns):
        await asyncio.sleep(0)
    if error:
        raise error
    return result


@NAMES
def test_coroutines_are_yielded_in_the_order_of_completion(run, aio):
    async def main():
        seen = []
        for each in aio.as_completed([after(3, "slow"), after(1, "fast"), after(2, error=ValueError("bad"))]):
            try:
                seen.append(await each)
            except ValueError as error:
                seen.append(str(error))
        return seen

    assert run(main()) == ["fast", "bad", "slow"]


@NAMES
@pytest.mark.skipif(not ASYNCHRONOUS, reason="an asynchronous iterator since 3.13")
def test_asynchronous_iteration_yields_the_futures_themselves(run, aio):
    async def main():
        tasks = [aio.create_task(after(5 - number)) for number in range(5)]
        completed = aio.as_completed(tasks)
        assert aiter(completed) is completed
        assert iter(completed) is completed
        seen = [tasks.index(task) async for task in completed]
        with pytest.raises(StopAsyncIteration):
            await anext(completed)
        return seen

    assert run(main()) == [4, 3, 2, 1, 0]


@NAMES
def test_what_is_left_when_the_time_is_over_raises_for_each(run, aio):
    async def main():
        loop = asyncio.get_running_loop()
        done, *never = [loop.create_future() for _ in range(3)]
        done.set_result("done")
        seen = []
        for each in aio.as_completed([done, *never], timeout=0):
            try:
                seen.append(await each)
            except TimeoutError as error:
                seen.append(error.args)
        assert all("cb=" not in repr(future) for future in never)
        return seen

    assert run(main()) == ["done", (), ()]


@NAMES
def test_the_time_is_forgotten_once_all_are_done(run, aio):
    async def main():
        task = aio.create_task(after(1, "done"))
        completed = aio.as_completed([task], timeout=10_000)
        assert [await each for each in completed] == ["done"]
        gone = weakref.ref(task)
        del task, completed
        gc.collect()
        return gone()

    assert run(main()) is None


@NAMES
def test_cancelling_a_step_leaves_the_others(run, aio):
    async def main():
        completed = aio.as_completed([after(1, "first"), after(2, "second")])
        step = aio.create_task(next(iter(completed)))
        await asyncio.sleep(0)
        step.cancel()
        with pytest.raises(asyncio.CancelledError):
            await step
        return [await each for each in completed]

    # From 3.14 on the step that was cancelled is yielded anew.
    assert run(main()) == (["first", "second"] if sys.version_info >= (3, 14) else ["first"])


@NAMES
def test_the_same_twice_is_waited_for_once(run, aio):
    async def main():
        task = aio.create_task(after(1, "done"))
        return [await each for each in aio.as_completed((task, task))]

    assert run(main()) == ["done"]


@NAMES
def test_nothing_yields_nothing(run, aio):
    async def main():
        return list(aio.as_completed([])), list(aio.as_completed(set(), timeout=1))

    assert run(main()) == ([], [])


@NAMES
def test_any_iterable_and_any_awaitable_will_do(run, aio):
    class Awaitable:
        def __await__(self):
            yield from after(1, "awaitable").__await__()
            return "awaitable"

    async def main():
        return [await each for each in aio.as_completed(iter([Awaitable()]))]

    assert run(main()) == ["awaitable"]


@pytest.mark.parametrize("wrong", ["a coroutine", [1], 5, None])
def test_wrong_arguments_fail_alike(run, wrong):
    async def main(aio):
        given = after(1) if wrong == "a coroutine" else wrong
        try:
            return len(list(aio.as_completed(given)))
        except TypeError as error:
            return str(error)
        finally:
            if given is not wrong:
                given.close()

    assert run(main(rondeau)) == run(main(asyncio))


@NAMES
def test_a_pending_future_shows_who_observes_it(run, aio):
    async def main():
        future = asyncio.get_running_loop().create_future()
        completed = aio.as_completed([future])
        step = next(iter(completed))
        shown = "_completion" in repr(future)
        future.set_result(1)
        return shown, await step

    assert run(main()) == (True, 1)


@NAMES
@pytest.mark.skipif(ASYNCHRONOUS, reason="a generator before 3.13")
def test_before_3_13_it_begins_when_first_asked_and_can_be_closed(run, aio):
    async def main():
        seen = []

        async def note():
            seen.append("ran")
            return 1

        unused = note()
        aio.as_completed([unused])
        await asyncio.sleep(0)
        assert not seen
        unused.close()

        completed = aio.as_completed([note(), note()])
        with pytest.raises(TypeError, match="just-started generator"):
            completed.send(1)
        step = completed.send(None)
        completed.close()
        assert list(completed) == []
        thrown = aio.as_completed([])
        with pytest.raises(KeyError):
            thrown.throw(KeyError("k"))
        assert repr(thrown).startswith("<generator object as_completed at 0x")
        return await step, seen

    assert run(main()) == (1, ["ran", "ran"])


def test_it_is_collected_in_a_cycle_with_its_future():
    async def main():
        future = asyncio.get_running_loop().create_future()
        completed = rondeau.as_completed([future], timeout=None)
        if not ASYNCHRONOUS:
            next(completed).close()
        future.cycle = completed
        gone = weakref.ref(future)
        del future, completed
        gc.collect()
        return gone()

    assert rondeau.run(main()) is None
