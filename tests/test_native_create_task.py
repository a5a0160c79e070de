"""The native `create_task` and `ensure_future`: names, contexts, factories, and what they refuse."""

import asyncio
import contextvars
import inspect

import pytest

import rondeau


async def give(value):
    return value


def test_names_and_contexts(compare_native):
    variable = contextvars.ContextVar("variable", default="none")

    async def body(note, aio):
        async def look():
            return variable.get()

        variable.set("outer")
        named = aio.create_task(give(1), name="named")
        numbered = aio.create_task(give(2), name=7)
        empty = aio.create_task(look(), context=contextvars.Context(), name=None)
        note(named.get_name(), numbered.get_name(), await named, await numbered, await empty, await aio.create_task(look()))
        note(aio.current_task() in aio.all_tasks(), named in aio.all_tasks(), isinstance(named, aio.Task))

    compare_native(body)


def test_ensure_future_passes_futures_through(compare_native):
    async def body(note, aio):
        loop = aio.get_running_loop()
        future, task = loop.create_future(), aio.create_task(give(1))
        note(aio.ensure_future(future) is future, aio.ensure_future(task, loop=loop) is task)
        note(await aio.ensure_future(give(2)), await aio.ensure_future(give(3), loop=loop))

        class Awaitable:
            def __await__(self):
                return (yield from give(4).__await__())

        note(await aio.ensure_future(Awaitable()))
        other = asyncio.SelectorEventLoop()
        with pytest.raises(ValueError, match="different loop") as raised:
            aio.ensure_future(future, loop=other)
        note(raised.value)
        other.close()

    compare_native(body)


def test_what_is_refused(compare_native):
    async def body(note, aio):
        for call in (aio.create_task, aio.ensure_future):
            for arguments, options in (((7,), {}), ((), {}), ((1, 2), {}), ((7,), {"more": 1})):
                try:
                    call(*arguments, **options)
                except TypeError as error:
                    note(error)

    compare_native(body)


def test_without_a_running_loop_create_task_says_so():
    coroutine = give(1)
    with pytest.raises(RuntimeError, match="no running event loop"):
        rondeau.create_task(coroutine)
    coroutine.close()


def test_a_task_factory_makes_them(compare_native):
    async def body(note, aio):
        class Mine(asyncio.Task):
            pass

        loop = aio.get_running_loop()
        loop.set_task_factory(lambda loop, coro, **options: Mine(coro, loop=loop, **options))
        for task in (aio.create_task(give(1)), aio.create_task(give(2), name="named"), aio.ensure_future(give(3))):
            note(type(task).__name__, await task)
        loop.set_task_factory(None)

    compare_native(body)


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="3.12 has eager tasks first")
def test_eager_tasks_end_inside_the_call(compare_native):
    async def body(note, aio):
        loop = aio.get_running_loop()
        loop.set_task_factory(aio.eager_task_factory)

        async def looks():
            note(aio.current_task() is not outer, aio.current_task() in aio.all_tasks())
            await aio.sleep(0)
            note(aio.current_task().get_name())
            return 1

        async def fails():
            raise ValueError("eager")

        outer = aio.current_task()
        task = aio.create_task(give(1))
        note(task.done(), await task, aio.current_task() is outer)
        task = aio.create_task(looks(), name="named")
        note(task.done(), aio.current_task() is outer, await task)
        task = aio.ensure_future(fails())
        note(task.done(), task.exception())

    compare_native(body)


@pytest.mark.skipif(not inspect.isfunction(rondeau.create_task), reason="3.11 has builtins there")
def test_the_functions_are_asyncios_to_look_at():
    for name in ("create_task", "ensure_future"):
        assert inspect.signature(getattr(rondeau, name)) == inspect.signature(getattr(asyncio, name))
