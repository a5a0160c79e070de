"""Tasks: results, cancellation, names, contexts, current_task, factories, and everything a coroutine may await."""

import asyncio
import contextvars
import gc
import io
import subprocess
import sys
import textwrap
import types
import weakref
from collections.abc import Coroutine

import pytest

V = contextvars.ContextVar("V", default="outside")


class OwnCoroutine(Coroutine):
    """A coroutine by hand, as Cython's are. Not local to the test: asyncio keeps the types it has seen."""

    def __init__(self, note, future):
        self.note = note
        self.steps = iter([None, future, None])

    def send(self, sent):
        self.note("send", sent)
        try:
            step = next(self.steps)
        except StopIteration:
            raise StopIteration("own") from None
        if step is not None:
            step._asyncio_future_blocking = True
        return step

    def throw(self, *error):
        self.note("throw", type(error[0]).__name__)
        raise error[0]

    def close(self):
        self.note("close")

    def __await__(self):
        return self


async def value(result):
    await asyncio.sleep(0)
    return result


def test_steps_interleave(compare):
    async def body(note):
        async def cook(name, steps):
            for step in range(steps):
                note(name, step)
                await asyncio.sleep(0)
            return name

        tasks = [asyncio.create_task(cook(name, steps)) for name, steps in [("a", 3), ("b", 1), ("c", 2)]]
        note("created")
        for task in tasks:
            note(await task, task.done(), task.result())

    assert compare(body)[0] == "created"


def test_results_and_exceptions(compare):
    async def body(note):
        async def ends(how):
            await asyncio.sleep(0)
            if isinstance(how, BaseException):
                raise how
            return how

        for how in [
            None,
            1,
            (1, 2),
            ValueError("v"),
            StopAsyncIteration("s"),
            asyncio.CancelledError("inner"),
        ]:
            task = asyncio.create_task(ends(how))
            await asyncio.wait([task])
            note(task.done(), task.cancelled(), task._state)
            for ask in [task.result, task.exception]:
                try:
                    note(ask())
                except BaseException as error:
                    note("raised", error)

        async def stop():
            raise StopIteration(1)

        try:
            await asyncio.create_task(stop())
        except RuntimeError as error:
            note(error, type(error.__cause__).__name__)

    compare(body)


def test_a_task_cannot_be_set(compare):
    async def body(note):
        task = asyncio.create_task(value(1))
        for change in [lambda: task.set_result(1), lambda: task.set_exception(ValueError())]:
            try:
                change()
            except RuntimeError as error:
                note(error)
        await task

    compare(body)


def test_cancel_at_each_stage(compare):
    async def body(note):
        async def guest(events):
            note(events, "starts")
            try:
                for _ in range(events):
                    await asyncio.sleep(0)
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError as error:
                note(events, "cancelled", error)
                raise
            finally:
                note(events, "leaves")

        for turns in range(5):
            task = asyncio.create_task(guest(2))
            for _ in range(turns):
                await asyncio.sleep(0)
            note(task.cancel("closing time"), task.cancelling(), task.cancelled(), task.done())
            try:
                await task
            except asyncio.CancelledError as error:
                note("awaited", error, task.cancelled(), task.cancelling())
            note(task.cancel(), task.uncancel())

    compare(body)


def test_a_task_may_refuse_to_be_cancelled(compare):
    async def body(note):
        async def stubborn():
            for _ in range(3):
                try:
                    await asyncio.sleep(10)
                except asyncio.CancelledError:
                    note("no", asyncio.current_task().cancelling(), asyncio.current_task().uncancel())
            return "stayed"

        task = asyncio.create_task(stubborn())
        for _ in range(3):
            await asyncio.sleep(0)
            task.cancel()
        note(await task, task.cancelled(), task.cancelling())

    compare(body)


def test_cancel_and_uncancel_before_the_next_step(compare):
    async def body(note):
        async def guest():
            await asyncio.sleep(0)
            note("came through")

        task = asyncio.create_task(guest())
        await asyncio.sleep(0)
        task.cancel()
        task.cancel("twice")
        note(task.cancelling(), task.uncancel(), task.uncancel(), task.uncancel(), task.cancelling())
        try:
            await task
        except asyncio.CancelledError as error:
            note(error)

    compare(body)


def test_cancel_oneself(compare):
    async def body(note):
        async def guest():
            asyncio.current_task().cancel("enough")
            note("still here")
            await asyncio.sleep(0)
            note("not reached")

        task = asyncio.create_task(guest())
        try:
            await task
        except asyncio.CancelledError as error:
            note(error)

        async def returns():
            asyncio.current_task().cancel("at the end")
            return 1

        task = asyncio.create_task(returns())
        try:
            note(await task)
        except asyncio.CancelledError as error:
            note(error)

    compare(body)


def test_cancel_goes_down_a_chain_of_tasks(compare):
    async def body(note):
        async def chain(depth):
            try:
                if depth:
                    await asyncio.create_task(chain(depth - 1))
                else:
                    await asyncio.sleep(10)
            except asyncio.CancelledError as error:
                note(depth, error)
                raise

        task = asyncio.create_task(chain(3))
        for _ in range(6):
            await asyncio.sleep(0)
        task.cancel("all of you")
        try:
            await task
        except asyncio.CancelledError as error:
            note("top", error)

    compare(body)


def test_cancel_a_task_whose_future_is_done_already(compare):
    async def body(note):
        future = asyncio.get_running_loop().create_future()

        async def guest():
            try:
                note(await future)
            except asyncio.CancelledError:
                note("cancelled though the future was done")
                raise

        task = asyncio.create_task(guest())
        await asyncio.sleep(0)
        future.set_result("done")
        note(task.cancel())
        note(await asyncio.gather(task, return_exceptions=True))

    compare(body)


def test_names(compare):
    async def body(note):
        task = asyncio.create_task(value(1), name="chef")
        note(task.get_name(), repr(task))
        task.set_name(42)
        note(task.get_name(), type(task.get_name()).__name__)
        unnamed = asyncio.create_task(value(1))
        number = int(unnamed.get_name().removeprefix("Task-"))
        note(unnamed.get_name())
        assert number > 0
        another = asyncio.create_task(value(1))
        assert int(another.get_name().removeprefix("Task-")) > number
        await asyncio.gather(task, unnamed, another)
        note(task.get_name())

    compare(body)


def test_current_task_and_all_tasks(compare):
    async def body(note):
        loop = asyncio.get_running_loop()
        main = asyncio.current_task()
        note(asyncio.all_tasks() == {main})

        async def guest():
            note(asyncio.current_task() is task, asyncio.current_task(loop) is task)
            await asyncio.sleep(0)
            note(asyncio.current_task() is task)
            loop.call_soon(lambda: note("in a callback", asyncio.current_task() is None))
            await asyncio.sleep(0)

        task = asyncio.create_task(guest())
        note(asyncio.all_tasks() == {main, task}, asyncio.all_tasks(loop) == {main, task})
        await task
        note(asyncio.all_tasks() == {main}, asyncio.current_task() is main)

    compare(body)


def test_no_current_task_outside(loop):
    assert asyncio.current_task(loop) is None
    assert asyncio.all_tasks(loop) == set()
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.current_task()
    loop.run_until_complete(value(1))
    assert asyncio.current_task(loop) is None


def test_all_tasks_of_several_loops(loop_factory):
    loops = [loop_factory() for _ in range(3)]
    tasks = [loop.create_task(value(n)) for n, loop in enumerate(loops)]
    for task, loop in zip(tasks, loops, strict=True):
        assert asyncio.all_tasks(loop) == {task}
    for task, loop in zip(tasks, loops, strict=True):
        loop.run_until_complete(task)
        loop.close()


def test_context(compare):
    async def body(note):
        V.set("creator")

        async def guest():
            note(V.get())
            V.set("guest")
            await asyncio.sleep(0)
            note(V.get())

        await asyncio.create_task(guest())
        note(V.get())
        context = contextvars.copy_context()
        context.run(V.set, "given")
        await asyncio.create_task(guest(), context=context)
        note(V.get(), context[V])
        task = asyncio.get_running_loop().create_task(guest(), name="n", context=context)
        if sys.version_info >= (3, 12):
            note(task.get_context() is context)
        await task
        note(context[V])

    compare(body)


def test_awaits_of_every_kind(compare):
    async def body(note):
        class Awaitable:
            def __await__(self):
                note("__await__")
                result = yield from asyncio.sleep(0, "slept").__await__()
                return result

        @types.coroutine
        def generator():
            yield
            return "generator"

        class Iterator:
            """An __await__ that is neither generator nor coroutine."""

            def __init__(self):
                self.left = 2

            def __await__(self):
                return self

            def __iter__(self):
                return self

            def __next__(self):
                if self.left == 0:
                    raise StopIteration("iterator")
                self.left -= 1

        async def everything():
            note(await Awaitable())
            note(await generator())
            note(await Iterator())
            note(await value("coroutine"))
            note(await asyncio.create_task(value("task")))
            note(await asyncio.wait_for(value("timeout"), 10))
            note(await asyncio.shield(value("shield")))
            return "end"

        note(await asyncio.create_task(everything()))
        note(await asyncio.ensure_future(Awaitable()))
        note(await asyncio.gather(Awaitable(), value(3)))

    compare(body)


def test_foreign_coroutine_objects(compare):
    async def body(note):
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.001, future.set_result, "ignored by send")
        note(await asyncio.create_task(OwnCoroutine(note, future)))
        future = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(OwnCoroutine(note, future))
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        note(await asyncio.gather(task, return_exceptions=True))

    compare(body)


def test_wrong_yields(compare):
    async def body(note):
        @types.coroutine
        def yields(what):
            try:
                yield what
            except RuntimeError as error:
                note(error)
                raise

        async def awaits(what):
            await what

        future = asyncio.get_running_loop().create_future()
        made_by_hand = (number for number in range(2))
        for what in [42, "text", [], future, made_by_hand, object]:
            try:
                await asyncio.create_task(awaits(yields(what)))
            except RuntimeError as error:
                note("raised", error)
        future.cancel()

        async def awaits_itself():
            await task

        task = asyncio.create_task(awaits_itself())
        try:
            await task
        except RuntimeError as error:
            note(error)

    compare(body)


def test_only_coroutines_become_tasks(compare):
    async def body(note):
        for wrong in [None, 1, print, (n for n in range(1)) if sys.version_info >= (3, 12) else int]:
            try:
                asyncio.create_task(wrong)
            except TypeError as error:
                note(error)

    compare(body)


def test_representation(compare):
    async def body(note):
        async def guest():
            await asyncio.sleep(0)
            await future

        def callback(_):
            pass

        future = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(guest(), name="guest")
        note(repr(task))
        await asyncio.sleep(0)
        task.add_done_callback(callback)
        note(repr(task))
        await asyncio.sleep(0)
        note(repr(task))
        waiter = asyncio.create_task(asyncio.wait([task]))
        await asyncio.sleep(0)
        note(repr(task))
        task.cancel("msg")
        note(repr(task))
        await waiter
        note(repr(task), str(task))
        done = asyncio.create_task(value("x"), name="done")
        await done
        note(repr(done))

        async def fail():
            raise ValueError("v")

        failed = asyncio.create_task(fail(), name="failed")
        await asyncio.wait([failed])
        note(repr(failed), failed.exception())

    compare(body)
    compare(body, debug=True)


def test_stacks(compare):
    async def body(note):
        async def inner():
            await asyncio.get_running_loop().create_future()

        async def outer():
            await inner()

        def look(task):
            note([frame.f_code.co_name for frame in task.get_stack()])
            note([frame.f_code.co_name for frame in task.get_stack(limit=1)])
            text = io.StringIO()
            task.print_stack(file=text)
            task.print_stack(limit=1, file=text)
            note(text.getvalue())

        task = asyncio.create_task(outer(), name="stacked")
        look(task)
        await asyncio.sleep(0)
        look(task)
        note(task.get_coro().__name__)
        task.cancel()
        await asyncio.wait([task])
        look(task)

        async def fail():
            raise ValueError("v")

        failed = asyncio.create_task(fail(), name="failed")
        await asyncio.wait([failed])
        look(failed)
        note(failed.exception())

    compare(body)


def test_attributes(compare):
    async def body(note):
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(value(1))
        note(isinstance(task, asyncio.Task), isinstance(task, asyncio.Future), asyncio.isfuture(task))
        note(task.get_loop() is loop, task._loop is loop, task._fut_waiter, task._must_cancel)
        note(task._log_destroy_pending, asyncio.iscoroutine(task.get_coro()), task._coro is task.get_coro())
        task.extra = 1
        note(task.extra)
        await asyncio.sleep(0)
        note(task._fut_waiter)
        task._log_destroy_pending = False
        note(task._log_destroy_pending)
        task._log_destroy_pending = True
        await task
        note(task._fut_waiter, task._state, task._result)
        assert task in {task}
        assert task == task

    compare(body)


def test_fut_waiter_is_what_it_waits_for(compare):
    async def body(note):
        future = asyncio.get_running_loop().create_future()

        async def guest():
            await future

        task = asyncio.create_task(guest())
        await asyncio.sleep(0)
        note(task._fut_waiter is future, isinstance(task._fut_waiter, asyncio.Future))
        future.set_result(1)
        await task

    assert compare(body) == [(True, True)]


def test_task_factory(compare):
    async def body(note):
        loop = asyncio.get_running_loop()

        class Own(asyncio.Task):
            def add_done_callback(self, *args, **kwargs):
                note("own add_done_callback")
                super().add_done_callback(*args, **kwargs)

        def factory(loop, coroutine, **kwargs):
            note("made", sorted(key for key, given in kwargs.items() if given is not None))
            return Own(coroutine, loop=loop, **kwargs)

        note(loop.get_task_factory())
        loop.set_task_factory(factory)
        note(loop.get_task_factory() is factory)
        task = asyncio.create_task(value(1), name="own")
        note(type(task) is Own, await task)
        note(await asyncio.gather(value(2), value(3)))
        task = asyncio.create_task(value(1), context=contextvars.copy_context())
        note(await task)
        loop.set_task_factory(None)
        note(type(asyncio.create_task(value(1))) is Own)
        try:
            loop.set_task_factory(42)
        except TypeError as error:
            note(error)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    compare(body)


def test_subclasses_of_the_task_that_create_task_gives(compare):
    async def body(note):
        loop = asyncio.get_running_loop()
        kind = type(asyncio.current_task())

        class Own(kind):
            def cancel(self, msg=None):
                note("own cancel", msg)
                return super().cancel(msg)

        task = Own(value(5), loop=loop, name="own")
        note(await task, task.get_name())
        task = Own(asyncio.sleep(10), loop=loop)
        await asyncio.sleep(0)
        task.cancel("m")
        note(await asyncio.gather(task, return_exceptions=True))
        outer = asyncio.create_task(asyncio.wait_for(Own(asyncio.sleep(10), loop=loop), 0.001))
        note(await asyncio.gather(outer, return_exceptions=True))

    compare(body)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_eager(compare):
    async def body(note):
        loop = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)

        async def at_once(result):
            note("runs", asyncio.current_task().get_name() if result == "named" else "")
            return result

        async def later():
            note("before")
            await asyncio.sleep(0)
            note("after", asyncio.current_task() is task)
            return "later"

        async def fail():
            raise ValueError("eager")

        main = asyncio.current_task()
        done = asyncio.create_task(at_once("named"), name="eager")
        note(done.done(), done.result(), asyncio.current_task() is main, done in asyncio.all_tasks())
        task = asyncio.create_task(later())
        note(task.done(), task in asyncio.all_tasks())
        note(await task)
        failed = asyncio.create_task(fail())
        note(failed.done(), failed.exception())
        note(await asyncio.gather(at_once(1), at_once(2)))
        async with asyncio.TaskGroup() as group:
            group.create_task(later() if False else at_once("grouped"))
        note(repr(done))

    compare(body)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="eager_start of create_task came with 3.14")
def test_eager_start_of_one_task(compare):
    async def body(note):
        async def guest():
            note("runs")

        eager = asyncio.create_task(guest(), eager_start=True)
        note(eager.done())
        lazy = asyncio.create_task(guest(), eager_start=False)
        note(lazy.done())
        await lazy

    assert compare(body) == ["runs", True, False, "runs"]


def test_a_pending_task_that_is_dropped(compare, logged):
    async def body(note):
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: note(context["message"], sorted(context)))

        async def forgotten():
            await loop.create_future()

        task = asyncio.create_task(forgotten())
        await asyncio.sleep(0)
        del task
        gc.collect()
        await asyncio.sleep(0)

    assert compare(body)[0][0] == "Task was destroyed but it is pending!"


def test_a_coroutine_never_awaited(compare):
    async def body(note):
        with pytest.warns(RuntimeWarning, match="coroutine 'value' was never awaited"):
            value(1)  # CPython frees it at once.
        note("warned")

    compare(body)


def test_never_retrieved(compare, logged):
    async def body(note):
        async def fail():
            raise ValueError("lost")

        task = asyncio.create_task(fail(), name="lost")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task
        gc.collect()

    compare(body)
    assert len(logged) == 2
    assert logged[0] == logged[1]
    assert logged[0].startswith("ERROR Task exception was never retrieved\nfuture: <Task finished name='lost' coro=")
    assert logged[0].endswith("ValueError: lost")


def test_cycles_are_collected(run):
    async def main():
        class Thing:
            pass

        async def guest(thing):
            thing.task = asyncio.current_task()
            await asyncio.sleep(0)
            return thing

        thing = Thing()
        gone = weakref.ref(thing)
        await asyncio.create_task(guest(thing))
        del thing
        await asyncio.sleep(0)  # Now no wake-up holds the task either.
        gc.collect()
        assert gone() is None

    run(main())


def test_under_a_collector_that_never_rests(run):
    async def main():
        async def guest(number):
            me = asyncio.current_task()
            me.me = me
            future = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(future.set_result, (me, number))
            try:
                await future
                await asyncio.sleep(0)
                if number % 3 == 0:
                    raise ValueError(me)
                if number % 3 == 1:
                    me.cancel()
                    await asyncio.sleep(0)
            finally:
                future = None
            return me

        for _ in range(10):
            results = await asyncio.gather(*(guest(number) for number in range(15)), return_exceptions=True)
            kinds = [type(result).__name__ for result in results]
            assert kinds[:2] == ["ValueError", "CancelledError"]
            assert results[2] is not None
            del results

    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        run(main())
    finally:
        gc.set_threshold(*before)


def test_deep_chains(run):
    async def chain(depth):
        if depth:
            return 1 + await chain(depth - 1)
        await asyncio.sleep(0)
        return 0

    async def tasks(depth):
        if depth:
            return 1 + await asyncio.create_task(tasks(depth - 1))
        return 0

    assert run(chain(150)) == 150
    assert run(tasks(2000)) == 2000


def test_many_tasks(run):
    async def main():
        return sum(await asyncio.gather(*(value(number) for number in range(10_000))))

    assert run(main()) == 49_995_000


def test_group_wait_and_timeouts(compare):
    async def body(note):
        async def fail(after):
            for _ in range(after):
                await asyncio.sleep(0)
            raise ValueError(after)

        async def stays():
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError as error:
                note("stays was cancelled", error)
                raise

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(stays())
                group.create_task(fail(2))
                group.create_task(fail(3))
        except* ValueError as several:
            note([error.args for error in several.exceptions])

        try:
            async with asyncio.timeout(0.001):
                await stays()
        except (TimeoutError, asyncio.CancelledError) as error:  # 3.11.2: a cancellation of the group's is still counted.
            note(error, asyncio.current_task().cancelling())

        done, pending = await asyncio.wait(
            [asyncio.create_task(value("quick")), asyncio.create_task(stays())],
            return_when=asyncio.FIRST_COMPLETED,
        )
        note([task.result() for task in done], len(pending))
        for task in pending:
            task.cancel()
        note(await asyncio.gather(*pending, return_exceptions=True))
        try:
            await asyncio.gather(value(1), fail(1), value(2))
        except ValueError as error:
            note(error)
        note([await next_done for next_done in asyncio.as_completed([value(1)])])
        shielded = asyncio.ensure_future(value("survives"))
        outer = asyncio.create_task(asyncio.wait_for(asyncio.shield(shielded), 10))
        await asyncio.sleep(0)
        outer.cancel()
        note(await asyncio.gather(outer, shielded, return_exceptions=True))

    compare(body)


@pytest.mark.skipif(sys.version_info >= (3, 15), reason="Python 3.15 refuses a second __init__")
def test_a_future_that_is_made_anew_knows_nobody_who_waited(run):
    async def waits(future):
        await future

    async def main():
        future = asyncio.get_running_loop().create_future()
        task = asyncio.get_running_loop().create_task(waits(future))
        await asyncio.sleep(0)
        future.__init__(loop=asyncio.get_running_loop())
        assert not getattr(future, "_asyncio_awaited_by", None)
        task._log_destroy_pending = False
        task.cancel()
        return weakref.ref(task)

    task = run(main())
    assert task() is None


def test_a_task_may_be_taken_out_of_the_list(run):
    async def main():
        me = asyncio.current_task()
        assert me in asyncio.all_tasks()
        asyncio._unregister_task(me)
        assert me not in asyncio.all_tasks()
        asyncio._unregister_task(me)
        asyncio._register_task(me)
        assert me in asyncio.all_tasks()

    run(main())


def test_an_open_loop_at_the_interpreters_end_only_warns():
    program = """
        import asyncio, warnings
        import rondeau
        loop = rondeau.new_event_loop()
        loop.call_soon(print)
        loop.call_later(10, print)
        loop.run_until_complete(asyncio.sleep(0))
        loop.call_soon(print)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
