"""The native `TaskGroup`: asyncio's errors, cancel counts and order, on its own loop and on any other."""

import asyncio
import gc
import sys
import weakref

import pytest

import rondeau


async def give(aio, value, turns=1):
    for _ in range(turns):
        await aio.sleep(0)
    return value


async def fail(aio, error, turns=1):
    for _ in range(turns):
        await aio.sleep(0)
    raise error


async def outcome(note, awaitable):
    try:
        note("returned", await awaitable)
    except BaseExceptionGroup as group:
        note(str(group), list(group.exceptions), group.__context__, group.__cause__)
    except (Exception, asyncio.CancelledError) as error:
        note(error, error.__context__)
    note("cancelling", asyncio.current_task().cancelling())


def test_it_waits_for_its_tasks(compare_native):
    async def body(note, aio):
        async with aio.TaskGroup() as group:
            note(repr(group))
            tasks = [group.create_task(give(aio, number, number)) for number in range(4)]
            named = group.create_task(aio.sleep(0, "slept"), name="named")
            note(repr(group), named.get_name(), [task.done() for task in tasks])
        note([task.result() for task in tasks], named.result(), repr(group).split(" err")[0])
        async with aio.TaskGroup() as group:
            pass
        async with aio.TaskGroup() as group:
            task = group.create_task(give(aio, "done before the end"))
            note(await task, len(group._tasks))

    compare_native(body)


def test_a_failure_cancels_the_others_and_comes_out_in_a_group(compare_native):
    async def body(note, aio):
        async def waits():
            try:
                await aio.sleep(3600)
            except aio.CancelledError as error:
                note(error)  # The order among the tasks is that of a set.
                raise

        async def group(in_body):
            async with aio.TaskGroup() as group:
                group.create_task(waits())
                group.create_task(fail(aio, ValueError("first")))
                group.create_task(fail(aio, KeyError("second")))
                group.create_task(waits())
                if in_body:
                    await waits()

        for in_body in (False, True):
            await outcome(note, group(in_body))
            await outcome(note, aio.create_task(group(in_body)))

    compare_native(body)


def test_a_body_that_raises_cancels_the_tasks(compare_native):
    async def body(note, aio):
        async def group(error):
            async with aio.TaskGroup() as group:
                task = group.create_task(aio.sleep(3600))
                task.add_done_callback(lambda task: note("task", task.cancelled()))
                await aio.sleep(0)
                raise error

        for error in (ValueError("body"), aio.CancelledError("body")):
            await outcome(note, group(error))

    compare_native(body)


def test_a_parent_that_is_cancelled_cancels_the_tasks(compare_native):
    async def body(note, aio):
        async def stubborn():
            try:
                await aio.sleep(3600)
            except aio.CancelledError:
                await aio.sleep(0)
                note("stayed")

        async def group(kind):
            async with aio.TaskGroup() as group:
                group.create_task(stubborn() if kind != "fails" else fail(aio, ValueError("too late"), 6))
                if kind == "in the body":
                    await aio.sleep(3600)

        for kind in ("in the body", "at the end", "fails"):
            for times in (1, 2):
                task = aio.create_task(group(kind))
                for _ in range(3):
                    await aio.sleep(0)
                for _ in range(times):
                    task.cancel("outside")
                    await aio.sleep(0)
                await outcome(note, task)
                note(kind, times, task.cancelling(), task.cancelled())

    compare_native(body)


def test_cancel_counts_stay_right(compare_native):
    async def body(note, aio):
        async def parent():
            try:
                async with aio.TaskGroup() as group:
                    group.create_task(fail(aio, ValueError("child")))
                    await aio.sleep(3600)
            except BaseExceptionGroup as error:
                note(list(error.exceptions), aio.current_task().cancelling())
            await aio.sleep(0)
            try:
                async with aio.TaskGroup() as group:
                    group.create_task(fail(aio, ValueError("child")))
            except BaseExceptionGroup as error:
                note(list(error.exceptions), aio.current_task().cancelling())
            try:
                async with aio.timeout(0):
                    async with aio.TaskGroup() as group:
                        group.create_task(aio.sleep(3600))
            except (TimeoutError, aio.CancelledError) as error:  # 3.11.2: a cancellation of the first group's is still counted.
                note(error, aio.current_task().cancelling())
            await aio.sleep(0)

        await outcome(note, aio.create_task(parent()))

    compare_native(body)


def test_what_a_group_refuses(compare_native):
    async def body(note, aio):
        def refused(group, *arguments, **options):
            try:
                group.create_task(*arguments, **options)
            except Exception as error:
                note(error)

        group = aio.TaskGroup()
        refused(group, give(aio, 1))
        async with group:
            refused(group, 7)
            refused(group)
            try:
                async with group:
                    pass
            except RuntimeError as error:
                note(error)
        refused(group, give(aio, 1))
        try:
            async with aio.TaskGroup() as group:
                group.create_task(fail(aio, ValueError(), 0))
                try:
                    await aio.sleep(3600)
                finally:
                    refused(group, give(aio, 1))
        except ExceptionGroup as error:
            note(list(error.exceptions))

    if sys.version_info < (3, 13):  # These leave the coroutine to be warned of.
        with pytest.warns(RuntimeWarning, match="never awaited"):
            compare_native(body)
    else:
        compare_native(body)


def test_it_wakes_in_asyncios_order(compare_native):
    async def body(note, aio):
        async def group(name, turns):
            async with aio.TaskGroup() as group:
                for number in turns:
                    group.create_task(give(aio, number, number))
            note(name)

        async def plain(name, turns):
            await give(aio, name, turns)
            note(name)

        await aio.gather(
            group("a", [0, 1]), plain("b", 3), group("c", [0]), plain("d", 2), group("e", []), plain("f", 4), plain("g", 1)
        )

    compare_native(body)


def test_tasks_have_the_context_that_they_are_given(compare_native):
    import contextvars

    variable = contextvars.ContextVar("variable", default="none")

    async def body(note, aio):
        async def look():
            return variable.get()

        variable.set("outer")
        context = contextvars.Context()
        async with aio.TaskGroup() as group:
            first, second = group.create_task(look()), group.create_task(look(), context=context)
        note(first.result(), second.result())

    assert compare_native(body) == [("outer", "none")]


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="3.12 has eager tasks first")
def test_eager_tasks(compare_native):
    async def body(note, aio):
        aio.get_running_loop().set_task_factory(aio.eager_task_factory)

        async def group(*coroutines):
            async with aio.TaskGroup() as group:
                tasks = [group.create_task(coroutine) for coroutine in coroutines]
                note([task.done() for task in tasks], len(group._tasks))
            return [task.result() for task in tasks]

        await outcome(note, group(give(aio, 1, 0), give(aio, 2, 1), aio.sleep(0, 3)))
        await outcome(note, group(give(aio, 1, 1), fail(aio, ValueError("eager"), 0)))
        await outcome(note, group(fail(aio, ValueError("later"), 1), give(aio, 2, 0)))

    compare_native(body)


def test_a_subclass_is_told_through_its_own_methods(compare_native):
    async def body(note, aio):
        class Mine(aio.TaskGroup):
            def __init__(self):
                super().__init__()
                self.made = 0

            def create_task(self, coro, **options):
                self.made += 1
                return super().create_task(coro, **options)

            def _on_task_done(self, task):
                note("done", task.get_name())
                super()._on_task_done(task)

        async with Mine() as group:
            group.create_task(give(aio, 1), name="one")
            group.create_task(give(aio, 2), name="two")
        note(group.made)

    assert compare_native(body)[-1] == 2


def test_the_callback_of_a_task_is_the_groups(compare_native):
    async def body(note, aio):
        async with aio.TaskGroup() as group:
            task = group.create_task(give(aio, 1))
            [(callback, _)] = task._callbacks
            note(callback == group._on_task_done, "cb=[TaskGroup._on_task_done()]" in repr(task))
            note(task.remove_done_callback(group._on_task_done))
            task.add_done_callback(group._on_task_done)

    assert compare_native(body) == [(True, True), 1]


@pytest.mark.skipif(sys.version_info < (3, 15), reason="3.15 has TaskGroup.cancel first")
def test_cancel(compare_native):
    async def body(note, aio):
        async with aio.TaskGroup() as group:
            task = group.create_task(aio.sleep(3600))
            group.cancel()
            await aio.sleep(3600)
        note(task.cancelled(), aio.current_task().cancelling())
        group = aio.TaskGroup()
        group.cancel()
        async with group:
            await aio.sleep(3600)
        note(aio.current_task().cancelling())
        async with aio.TaskGroup() as group:
            task = group.create_task(aio.sleep(3600))
            aio.get_running_loop().call_soon(group.cancel)
        note(task.cancelled(), aio.current_task().cancelling())

    compare_native(body)


def test_a_group_that_is_left_is_collected(run):
    async def main():
        group = rondeau.TaskGroup()
        async with group:
            group.create_task(rondeau.sleep(0))
            group.me = group
        reference = weakref.ref(group)
        del group
        gc.collect()
        assert reference() is None

    run(main())
