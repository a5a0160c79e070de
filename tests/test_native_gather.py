"""The native `gather`: results, failures, cancellation and order as asyncio has them."""

import asyncio
import gc
import weakref

import pytest

import rondeau


async def give(value):
    return value


async def fail(error):
    raise error


async def outcome(awaitable):
    try:
        return await awaitable
    except (Exception, asyncio.CancelledError) as error:
        return error


def test_results_come_in_the_order_of_the_arguments(compare_native):
    async def body(note, aio):
        done = aio.get_running_loop().create_future()
        done.set_result("done")
        task = aio.create_task(give("task"))
        note(await aio.gather(give(1), aio.sleep(0.001, 2), task, done))
        note(await aio.gather(done), await aio.gather(done, task))
        note(await aio.gather())
        note(await aio.gather(aio.gather(give(1), give(2)), give(3)))

    assert compare_native(body)[0] == [1, 2, "task", "done"]


def test_what_is_given_twice_runs_once(compare_native):
    async def body(note, aio):
        coroutine = give("once")
        future = aio.get_running_loop().create_future()
        aio.get_running_loop().call_soon(future.set_result, "future")
        note(await aio.gather(coroutine, future, coroutine, future))
        many = [give(number) for number in range(40)]
        note(await aio.gather(*many, many[7]))

    compare_native(body)


def test_the_first_failure_is_raised_and_the_others_go_on(compare_native):
    async def body(note, aio):
        later = aio.create_task(aio.sleep(0.002, "later"))
        note(await outcome(aio.gather(give(1), fail(ValueError("a")), fail(KeyError("b")), later)))
        note(later.done(), await later)
        note(await outcome(aio.gather(give(1), fail(ValueError("a")), fail(KeyError("b")), return_exceptions=True)))

    compare_native(body)


@pytest.mark.parametrize("return_exceptions", [False, True])
def test_a_cancelled_gather_cancels_its_children(compare_native, return_exceptions):
    async def body(note, aio):
        async def child(name):
            try:
                await aio.sleep(3600)
            except aio.CancelledError as error:
                note(name, error)
                raise

        gathering = aio.gather(child("a"), child("b"), give("c"), return_exceptions=return_exceptions)
        await aio.sleep(0)
        note(gathering.cancel("enough"), gathering.done(), gathering._cancel_requested)
        note(await outcome(gathering), gathering.cancelled(), gathering.cancel())

        task = aio.create_task(outcome(aio.gather(child("d"), return_exceptions=return_exceptions)))
        await aio.sleep(0)
        await aio.sleep(0)
        task.cancel("outer")
        note(await task)

    compare_native(body)


@pytest.mark.parametrize("return_exceptions", [False, True])
def test_a_cancelled_child_counts_as_a_failure(compare_native, return_exceptions):
    async def body(note, aio):
        for message in (None, "why"):
            first, second = aio.create_task(aio.sleep(3600)), aio.create_task(aio.sleep(0.001))
            gathering = aio.gather(first, second, return_exceptions=return_exceptions)
            await aio.sleep(0)
            first.cancel(message)
            note(await outcome(gathering), gathering.cancelled())
            await second

    compare_native(body)


def test_a_child_that_swallows_the_cancellation_does_not_swallow_the_gathers(compare_native):
    async def body(note, aio):
        async def stubborn():
            try:
                await aio.sleep(3600)
            except aio.CancelledError:
                return "stayed"

        gathering = aio.gather(stubborn(), return_exceptions=True)
        await aio.sleep(0)
        gathering.cancel()
        note(await outcome(gathering))

    compare_native(body)


def test_children_are_counted_in_the_turn_in_which_asyncio_counts_them(compare_native):
    async def body(note, aio):
        turn = 0

        def count():
            nonlocal turn
            turn += 1
            if turn < 12:
                aio.get_running_loop().call_soon(count)

        async def yields(times):
            for _ in range(times):
                await aio.sleep(0)

        count()
        for times in ((0,), (0, 0), (2, 1), (0, 3)):
            await aio.gather(*map(yields, times))
            note(turn)
        gathering = aio.gather(yields(0), fail(ValueError()))
        gathering.add_done_callback(lambda _: note("done", turn))
        await outcome(gathering)
        note(turn)

    compare_native(body)


def test_context_variables_are_each_childs_own(compare_native):
    import contextvars

    variable = contextvars.ContextVar("variable", default="none")

    async def body(note, aio):
        async def child(value):
            before = variable.get()
            variable.set(value)
            await aio.sleep(0)
            return before, variable.get()

        variable.set("outer")
        note(await aio.gather(child(1), child(2)), variable.get())

    assert compare_native(body) == [([("outer", 1), ("outer", 2)], "outer")]


def test_eager_tasks_end_inside_the_call(compare_native):
    if not hasattr(asyncio, "eager_task_factory"):
        pytest.skip("3.12 has eager tasks first")

    async def body(note, aio):
        loop = aio.get_running_loop()
        loop.set_task_factory(aio.eager_task_factory)
        gathering = aio.gather(give(1), give(2))
        note(gathering.done(), await gathering)
        gathering = aio.gather(give(1), aio.sleep(0, 2), fail(ValueError("eager")))
        note(gathering.done(), await outcome(gathering))

    assert compare_native(body)[0] == (True, [1, 2])


def test_another_task_factory_makes_the_tasks(compare_native):
    async def body(note, aio):
        loop = aio.get_running_loop()
        loop.set_task_factory(lambda loop, coro, **options: (note("made"), asyncio.Task(coro, loop=loop, **options))[1])
        note(await aio.gather(give(1), give(2)))
        loop.set_task_factory(None)

    assert compare_native(body) == ["made", "made", [1, 2]]


def test_bad_arguments_are_refused_as_in_asyncio(compare_native):
    async def body(note, aio):
        for arguments in ((1,), (None,), ("text",)):
            with pytest.raises(TypeError) as raised:
                aio.gather(*arguments)
            note(raised.value)
        with pytest.raises(TypeError) as raised:
            aio.gather(more=1)
        note(raised.value)

    compare_native(body)


def test_a_future_of_another_loop_is_refused(compare_native):
    async def body(note, aio):
        other = asyncio.SelectorEventLoop()
        try:
            with pytest.raises(ValueError) as raised:
                aio.gather(aio.get_running_loop().create_future(), other.create_future())
            note(raised.value)
        finally:
            other.close()

    compare_native(body)


def test_a_failure_that_nobody_takes_is_reported(run, logged):
    async def main():
        gathering = rondeau.gather(fail(ValueError("lost")), fail(KeyError("second")))
        for _ in range(3):
            await asyncio.sleep(0)
        del gathering
        gc.collect()

    run(main())
    assert len(logged) == 1
    assert "_GatheringFuture exception was never retrieved" in logged[0]


def test_a_gather_that_is_dropped_with_its_children_is_collected(run):
    async def main():
        async def child(waited_for):
            await waited_for

        gathering = rondeau.gather(child(asyncio.get_running_loop().create_future()))
        await asyncio.sleep(0)
        reference = weakref.ref(gathering)
        assert gathering._children[0]._callbacks is not None
        del gathering
        gc.collect()
        assert reference() is None

    run(main())


def test_libraries_take_it_for_a_future():
    async def main():
        gathering = rondeau.gather(give(1))
        assert asyncio.isfuture(gathering)
        assert isinstance(gathering, asyncio.Future)
        assert type(gathering).__name__ == "_GatheringFuture"
        assert repr(gathering).startswith("<_GatheringFuture pending")
        assert len(gathering._children) == 1
        assert asyncio.ensure_future(gathering) is gathering
        await gathering

    rondeau.run(main())
