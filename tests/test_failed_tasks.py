"""`report_failed_tasks`: a task that fails unheard is reported at its end, once; one whose exception is taken is not."""

import asyncio
import contextlib
import contextvars
import gc
import os
import subprocess
import sys

import pytest

import rondeau

V = contextvars.ContextVar("V", default="outside")


async def fail(text="burnt"):
    raise ValueError(text)


async def turns(count):
    for _ in range(count):
        await asyncio.sleep(0)


def reports(main, *, report=True, **options):
    """What the exception handler was told while `main(seen)` ran, and after."""
    seen = []

    async def body():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context))
        await main(seen)

    rondeau.run(body(), report_failed_tasks=report, **options)
    gc.collect()
    return seen


def texts(seen):
    return [str(context["exception"]) for context in seen]


def test_a_task_that_nobody_waits_for_is_reported_four_turns_after_its_end_though_it_is_referred_to():
    async def main(seen):
        task = asyncio.create_task(fail())
        counts = []
        for _ in range(6):
            await asyncio.sleep(0)
            counts.append((task.done(), len(seen)))
        assert counts == [(True, 0), (True, 0), (True, 0), (True, 0), (True, 1), (True, 1)]
        assert seen[0]["future"] is task

    assert texts(reports(main)) == ["burnt"]


def test_the_report_is_what_asyncio_tells_at_a_collection():
    def keys(run, **options):
        seen = []

        async def main():
            asyncio.get_running_loop().set_exception_handler(
                lambda _, context: seen.append(
                    {key: type(value).__mro__[-2] for key, value in context.items()} | {"message": context["message"]}
                )
            )
            task = asyncio.create_task(fail())
            await turns(8)
            del task

        run(main(), **options)
        gc.collect()
        return seen

    for debug in (False, True):
        ours = keys(rondeau.run, debug=debug, report_failed_tasks=True)
        with asyncio.Runner(debug=debug, loop_factory=asyncio.SelectorEventLoop) as runner:
            theirs = keys(runner.run)
        assert ours == theirs
        assert len(ours) == 1
        assert ("source_traceback" in ours[0]) == debug


def test_off_it_is_reported_by_the_collector():
    async def main(seen):
        task = asyncio.create_task(fail())
        await turns(8)
        assert not seen
        del task
        gc.collect()
        assert len(seen) == 1

    assert texts(reports(main, report=False)) == ["burnt"]
    assert texts(reports(main, report=None)) == ["burnt"]


async def taken_by_await(task):
    with contextlib.suppress(ValueError):
        await task


async def taken_by_gather(task):
    await asyncio.gather(task, return_exceptions=True)


async def taken_by_wait(task):
    done, _ = await asyncio.wait([task])
    assert done.pop().exception()


async def taken_by_wait_for(task):
    with contextlib.suppress(ValueError):
        await asyncio.wait_for(task, 10)


async def taken_by_shield(task):
    with contextlib.suppress(ValueError):
        await asyncio.shield(task)


async def taken_by_as_completed(task):
    for ended in asyncio.as_completed([task]):
        with contextlib.suppress(ValueError):
            await ended


async def taken_by_rondeaus_gather(task):
    await rondeau.gather(task, return_exceptions=True)


async def taken_by_rondeaus_as_completed(task):
    for ended in rondeau.as_completed([task]):
        with contextlib.suppress(ValueError):
            await ended


TAKERS = [value for name, value in list(globals().items()) if name.startswith("taken_by")]


@pytest.mark.parametrize("late", range(3))
@pytest.mark.parametrize("take", TAKERS)
def test_whose_exception_somebody_takes_is_not_reported(take, late):
    """Also if they begin in the turn in which it ended (late 1), or in the next one."""

    async def main(seen):
        task = asyncio.create_task(fail())
        await turns(late)
        assert task.done() == (late > 0)
        await take(task)
        await turns(8)

    assert reports(main) == []


@pytest.mark.parametrize("group", [asyncio.TaskGroup, rondeau.TaskGroup])
def test_a_group_takes_its_tasks_exceptions(group):
    async def main(seen):
        with contextlib.suppress(ExceptionGroup):
            async with group() as tasks:
                tasks.create_task(fail())
                tasks.create_task(fail())
        await turns(8)

    assert reports(main) == []


@pytest.mark.parametrize("ask", ["exception", "result"])
def test_an_exception_that_was_asked_for_is_not_reported(ask):
    async def main(seen):
        task = asyncio.create_task(fail())
        await turns(2)
        with contextlib.suppress(ValueError):
            getattr(task, ask)()
        await turns(8)

    assert reports(main) == []


def test_with_a_done_callback_it_stays_with_the_collector():
    async def main(seen):
        task = asyncio.create_task(fail())
        task.add_done_callback(lambda _: None)
        await turns(8)
        assert not seen
        del task
        gc.collect()
        assert len(seen) == 1

    assert texts(reports(main)) == ["burnt"]


def test_results_and_cancellations_are_no_failures():
    async def main(seen):
        asyncio.create_task(asyncio.sleep(0))
        asyncio.create_task(asyncio.sleep(1000)).cancel()
        await turns(8)

    assert reports(main) == []


def test_it_is_told_in_the_tasks_context():
    async def cook():
        V.set("kitchen")
        raise ValueError("burnt")

    async def main(seen):
        told = []
        asyncio.get_running_loop().set_exception_handler(lambda *_: told.append(V.get()))
        asyncio.create_task(cook())
        await turns(8)
        assert told == ["kitchen"]
        assert V.get() == "outside"

    reports(main)


def test_who_comes_after_the_report_gets_the_exception_still():
    async def main(seen):
        task = asyncio.create_task(fail())
        await turns(8)
        assert len(seen) == 1
        with pytest.raises(ValueError, match="burnt"):
            await task

    assert len(reports(main)) == 1


@pytest.mark.parametrize("left", range(5))
def test_a_loop_that_ends_meanwhile_loses_no_report(left):
    async def main(seen):
        asyncio.create_task(fail())
        await turns(left)

    assert texts(reports(main)) == ["burnt"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in 3.12")
def test_an_eager_task_that_fails_at_once():
    async def main(seen):
        loop = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)
        lost = loop.create_task(fail("lost"))
        heard = loop.create_task(fail("heard"))
        with contextlib.suppress(ValueError):
            await heard
        await turns(8)
        assert lost.done()
        loop.set_task_factory(None)

    assert texts(reports(main)) == ["lost"]


def test_a_loop_of_a_class_with_a_call_soon_of_its_own():
    class Loop(rondeau.EventLoop):
        def call_soon(self, *args, **options):
            return super().call_soon(*args, **options)

    async def main(seen):
        task = asyncio.create_task(fail())
        await turns(8)
        assert len(seen) == 1
        del task

    assert texts(reports(main, loop_factory=Loop)) == ["burnt"]


def test_it_may_be_switched_while_the_loop_runs():
    async def main(seen):
        loop = asyncio.get_running_loop()
        assert loop.report_failed_tasks is False
        loop.report_failed_tasks = True
        task = asyncio.create_task(fail())
        await turns(8)
        assert len(seen) == 1
        del task

    reports(main, report=False)


def test_a_runner_takes_the_option_and_another_loop_refuses_it():
    with rondeau.Runner(report_failed_tasks=True, keep_tasks=False) as runner:
        assert runner.get_loop().report_failed_tasks is True
        assert runner.get_loop().keep_tasks is False
    with rondeau.Runner() as runner:
        assert runner.get_loop().report_failed_tasks is False
    coro = fail()
    with pytest.raises(TypeError, match="report_failed_tasks: for Rondeau's loops"):
        rondeau.run(coro, loop_factory=asyncio.SelectorEventLoop, report_failed_tasks=True)
    coro.close()


def test_an_exit_leaves_the_loop_as_ever():
    async def leave():
        raise SystemExit(3)

    async def main(seen):
        task = asyncio.create_task(leave())
        await turns(8)
        del task

    with pytest.raises(SystemExit):
        reports(main)
    gc.collect()


def test_the_environment_asks_for_it():
    program = """
import asyncio, rondeau

async def fail():
    raise ValueError("burnt")

async def main():
    loop = asyncio.get_running_loop()
    told = loop.create_future()
    loop.set_exception_handler(lambda _, context: told.set_result(str(context["exception"])))
    task = asyncio.create_task(fail())
    print(await told, loop.keep_tasks)

rondeau.run(main())
"""
    environment = {**os.environ, "RONDEAU_REPORT_FAILED_TASKS": "1", "RONDEAU_KEEP_TASKS": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=100)
    assert done.stdout == "burnt True\n", done.stderr
