"""`to_thread` and `run_coroutine_threadsafe`: native and asyncio's own do the same."""

import asyncio
import concurrent.futures
import contextvars
import threading

import pytest

import rondeau

NAMES = pytest.mark.parametrize("aio", [asyncio, rondeau], ids=["asyncio", "native"])
KIND = contextvars.ContextVar("KIND", default="none")


@NAMES
def test_to_thread_passes_arguments_and_the_context(run, aio):
    def call(*args, **kwargs):
        return args, kwargs, KIND.get(), threading.current_thread() is threading.main_thread()

    async def main():
        KIND.set("cake")
        made = aio.to_thread(call, 1, 2, spoon=3)
        # The context is that of the first step.
        KIND.set("pie")
        assert asyncio.iscoroutine(made)
        return await made, await aio.to_thread(call)

    assert run(main()) == (((1, 2), {"spoon": 3}, "pie", False), ((), {}, "pie", False))


@NAMES
def test_to_thread_raises_what_the_function_raises(run, aio):
    async def main():
        with pytest.raises(ZeroDivisionError):
            await aio.to_thread(lambda: 1 / 0)
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'func'"):
            await aio.to_thread(func=print)

    run(main())


@NAMES
def test_to_thread_can_be_cancelled_while_the_thread_works(run, aio):
    async def main():
        go = threading.Event()
        task = aio.create_task(aio.to_thread(go.wait))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel("enough")
        go.set()
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task

    run(main())


@NAMES
def test_to_thread_uses_the_executor_that_was_set(run, aio):
    async def main():
        with concurrent.futures.ThreadPoolExecutor(1, "mine") as pool:
            asyncio.get_running_loop().set_default_executor(pool)
            return await aio.to_thread(lambda: threading.current_thread().name)

    assert run(main()) == "mine_0"


def in_thread(run, aio, work):
    """What `work(loop)`, called in a thread, returns while the loop runs here."""

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_debug(False)
        return await loop.run_in_executor(None, contextvars.copy_context().run, work, loop)

    return run(main())


@NAMES
def test_a_coroutine_from_another_thread_runs_in_that_threads_context(run, aio):
    async def kind():
        await asyncio.sleep(0)
        return KIND.get()

    def work(loop):
        KIND.set("cake")
        future = aio.run_coroutine_threadsafe(kind(), loop)
        assert type(future) is concurrent.futures.Future
        return future.result()

    assert in_thread(run, aio, work) == "cake"


@NAMES
@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, TimeoutError])
def test_its_error_comes_back(run, aio, error):
    async def fail():
        await asyncio.sleep(0)
        raise error("why")

    def work(loop):
        with pytest.raises((ValueError, concurrent.futures.CancelledError, TimeoutError)) as raised:
            aio.run_coroutine_threadsafe(fail(), loop).result()
        return raised.type, str(raised.value)

    cancelled = error is asyncio.CancelledError
    assert in_thread(run, aio, work) == ((concurrent.futures.CancelledError, "") if cancelled else (error, "why"))


@NAMES
def test_cancelling_the_future_cancels_the_task(run, aio):
    def work(loop):
        began, ended = threading.Event(), threading.Event()

        async def wait():
            began.set()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                ended.set()

        future = aio.run_coroutine_threadsafe(wait(), loop)
        assert began.wait(60)
        assert future.cancel()
        assert ended.wait(60)
        return future.cancelled()

    assert in_thread(run, aio, work)


def test_a_future_that_was_cancelled_before_its_task_was_made_cancels_it(run):
    async def main(aio):
        loop = asyncio.get_running_loop()
        loop.set_debug(False)
        seen = []

        async def wait():
            seen.append("began")
            try:
                await loop.create_future()
            finally:
                seen.append("ended")

        # Called on the loop's own thread: the loop cannot have made the task yet.
        future = aio.run_coroutine_threadsafe(wait(), loop)
        seen.append(future.cancel())
        for _ in range(5):
            await asyncio.sleep(0)
        return seen

    seen = run(main(rondeau))
    assert seen == run(main(asyncio))
    # Newer releases cancel the task at once, before its first step.
    assert seen in ([True, "began", "ended"], [True])


@pytest.mark.parametrize("wrong", [5, None, print])
def test_what_is_no_coroutine_is_refused(run, wrong):
    async def main(aio):
        with pytest.raises(TypeError) as raised:
            aio.run_coroutine_threadsafe(wrong, asyncio.get_running_loop())
        return str(raised.value)

    assert run(main(rondeau)) == run(main(asyncio)) == "A coroutine object is required"


def test_a_closed_loop_refuses_it():
    loop = rondeau.new_event_loop()
    loop.close()
    coroutine = asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        rondeau.run_coroutine_threadsafe(coroutine, loop)
    coroutine.close()


def test_a_task_factory_of_the_programs_is_obeyed():
    made = []

    async def main():
        loop = asyncio.get_running_loop()

        def factory(loop, coro, **options):
            made.append(coro.__name__)
            return asyncio.Task(coro, loop=loop, **options)

        async def two():
            return 2

        # One factory is set before the call, one between the call and the turn that makes the task.
        later = rondeau.run_coroutine_threadsafe(two(), loop)
        loop.set_task_factory(factory)
        now = rondeau.run_coroutine_threadsafe(two(), loop)
        results = await asyncio.wrap_future(later), await asyncio.wrap_future(now)
        loop.set_task_factory(None)
        return results

    assert rondeau.run(main()) == (2, 2)
    assert made == ["two", "two"]
