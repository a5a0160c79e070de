"""loop.create_future and asyncio.Future: states, callbacks, awaiting, messages, representation, collection."""

import asyncio
import contextvars
import copy
import gc
import pickle
import sys
import weakref

import pytest

V = contextvars.ContextVar("V", default="outside")


def test_states(compare):
    async def body(note):
        future = asyncio.get_running_loop().create_future()
        note(future.done(), future.cancelled())
        for ask in [future.result, future.exception]:
            try:
                ask()
            except asyncio.InvalidStateError as error:
                note(error)
        future.set_result("soup")
        note(future.done(), future.cancelled(), future.result(), future.exception(), await future)
        for change in [
            lambda: future.set_result(1),
            lambda: future.set_exception(ValueError()),
        ]:
            try:
                change()
            except asyncio.InvalidStateError as error:
                note(error)
        note(future.cancel())

    compare(body)


def test_exceptions(compare):
    async def body(note):
        loop = asyncio.get_running_loop()
        for given in [ValueError("v"), ValueError, KeyError("k"), type("Own", (Exception,), {})]:
            future = loop.create_future()
            future.set_exception(given)
            note(type(future.exception()).__name__, future.exception().args)
            try:
                await future
            except Exception as error:
                note("raised", error, error is future.exception())
            for change in [lambda f=future: f.set_result(1), lambda f=future: f.set_exception(ValueError())]:
                try:
                    change()
                except asyncio.InvalidStateError as error:
                    note(error)
        for wrong in [1, "text", None, int, StopIteration, StopIteration()]:
            future = loop.create_future()
            try:
                future.set_exception(wrong)
            except TypeError as error:
                note("refused", error)
            else:
                note("accepted", type(future.exception()).__name__, str(future.exception()))
            note(future.done())

    compare(body)


def test_cancel_messages(compare):
    async def body(note):
        for message in [(), (None,), ("too slow",), (42,)]:
            future = asyncio.get_running_loop().create_future()
            note(future.cancel(*message), future.cancelled(), future.done(), future.cancel())
            for ask in [future.result, future.exception]:
                try:
                    ask()
                except asyncio.CancelledError as error:
                    note(error)
            try:
                await future
            except asyncio.CancelledError as error:
                note("awaited", error)

    compare(body)


def test_callbacks_run_in_order_on_the_loop(compare):
    async def body(note):
        future = asyncio.get_running_loop().create_future()

        def callback(name):
            return lambda done: note(name, done is future, done.result())

        third = callback("third")
        future.add_done_callback(callback("first"))
        future.add_done_callback(callback("second"))
        for _ in range(3):
            future.add_done_callback(third)
        note(future.remove_done_callback(third), future.remove_done_callback(third))
        future.add_done_callback(third)
        future.set_result(1)
        note("set")
        future.add_done_callback(callback("late"))
        note("added")
        await asyncio.sleep(0)
        note("turn")
        note(future.remove_done_callback(third))

    assert compare(body)[:3] == [(3, 0), "set", "added"]


def test_callbacks_have_their_context(loop):
    seen = []
    given = contextvars.copy_context()
    given.run(V.set, "given")
    future = loop.create_future()
    V.set("when added")
    future.add_done_callback(lambda _: seen.append(V.get()))
    V.set("outside")
    future.add_done_callback(lambda _: seen.append(V.get()), context=given)
    future.set_result(None)
    future.add_done_callback(lambda _: seen.append(V.get()), context=given)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert seen == ["when added", "given", "given"]


def test_a_callback_removed_by_another_does_not_come_back(compare):
    async def body(note):
        future = asyncio.get_running_loop().create_future()

        def second(_):
            note("second")

        def first(_):
            note("first", future.remove_done_callback(second))

        future.add_done_callback(first)
        future.add_done_callback(second)
        future.cancel()
        await asyncio.sleep(0)

    compare(body)


def test_removing_compares_by_equality_even_when_that_changes_the_list(compare):
    async def body(note):
        future = asyncio.get_running_loop().create_future()

        class Odd:
            asked = False

            def __eq__(self, other):
                if not Odd.asked:
                    Odd.asked = True
                    note("removed meanwhile", future.remove_done_callback(int))
                return False

            __hash__ = None

            def __call__(self, _):
                note("odd called")

        future.add_done_callback(int)
        future.add_done_callback(int)
        future.add_done_callback(Odd())
        future.add_done_callback(str)
        note(future.remove_done_callback(Odd()))

        class Raises:
            def __eq__(self, other):
                raise ValueError("cannot compare")

            __hash__ = None

        try:
            note(future.remove_done_callback(Raises()))
        except ValueError as error:
            note(error)
        future.cancel()
        await asyncio.sleep(0)

    compare(body)


def test_waiters_wake_in_order(compare):
    async def body(note):
        future = asyncio.get_running_loop().create_future()

        async def guest(number):
            note(number, await future)

        async with asyncio.TaskGroup() as group:
            for number in range(5):
                group.create_task(guest(number))
            await asyncio.sleep(0)
            future.set_result("dinner")
            note("set")

    compare(body)


def test_awaiting_by_hand(compare):
    async def body(note):
        loop = asyncio.get_running_loop()

        def step(what, *arguments):
            try:
                note(what(*arguments) is future, future._asyncio_future_blocking)
            except StopIteration as stop:
                note("stop", stop.value)
            except (RuntimeError, ValueError) as error:
                note(error)

        for make in [iter, lambda future: future.__await__()]:
            future = loop.create_future()
            waiter = make(future)
            step(next, waiter)
            step(waiter.send, None)  # It is still blocking: the loop did not take notice.
            future._asyncio_future_blocking = False
            step(waiter.send, None)
            future.set_result("result")
            step(waiter.send, None)
            step(next, waiter)
            step(next, make(future))

            future = loop.create_future()
            waiter = make(future)
            step(next, waiter)
            step(waiter.throw, ValueError("thrown"))
            step(waiter.close)
            future.cancel()

            future = loop.create_future()
            waiter = make(future)
            step(next, waiter)
            waiter.close()
            future.set_exception(ValueError("v"))
            step(next, make(future))
            for wrong in [42, "text"]:
                try:
                    make(future).throw(wrong)
                except TypeError:
                    note("a TypeError")

    compare(body)


@pytest.mark.parametrize("value", [None, (), (1,), (1, 2), StopIteration, ValueError("value"), [], {}], ids=repr)
def test_any_value_comes_through(run, value):
    async def main():
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, value)
        return await future

    assert run(main()) is value


def test_the_result_of_an_iterator_by_hand_may_be_a_tuple_or_an_exception(compare):
    # StopIteration(value) unpacks tuples and adopts exceptions when it is made carelessly.
    async def body(note):
        for value in [(1, 2), (), StopIteration(3)]:
            future = asyncio.get_running_loop().create_future()
            future.set_result(value)
            try:
                next(iter(future))
            except StopIteration as stop:
                note(stop.value is value)

    assert compare(body) == [True] * 3


def test_representation(compare):
    async def body(note):
        loop = asyncio.get_running_loop()

        def callback(_):
            pass

        future = loop.create_future()
        note(repr(future), str(future))
        for _ in range(4):
            future.add_done_callback(callback)
            note(repr(future))
        future.set_result("x" * 200)
        note(repr(future))
        await asyncio.sleep(0)
        note(repr(future))
        future = loop.create_future()
        future.set_exception(ValueError("v"))
        note(repr(future), future.exception())
        future = loop.create_future()
        future.cancel("because")
        note(repr(future))

    compare(body)
    compare(body, debug=True)


def test_attributes(compare):
    async def body(note):
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        note(future.get_loop() is loop, isinstance(future, asyncio.Future), asyncio.isfuture(future))
        note(future._asyncio_future_blocking, future._state, future._callbacks, future._log_traceback)
        note(future._loop is loop, future._result, future._exception, future._cancel_message)
        future.extra = "anything"
        note(future.extra)
        future._asyncio_future_blocking = True
        note(future._asyncio_future_blocking)
        for name, value in [("_log_traceback", True), ("_log_traceback", False)]:
            try:
                setattr(future, name, value)
            except ValueError as error:
                note(error)
        future.add_done_callback(print)
        note(len(future._callbacks), future._callbacks[0][0] is print)
        future.remove_done_callback(print)
        note(future._callbacks)
        future.set_result(5)
        note(future._state, future._result)
        note(bool(future), hash(future) == hash(future), future == future, future != loop.create_future())
        for what in [copy.copy, pickle.dumps]:
            try:
                what(future)
            except TypeError as error:
                note(type(error).__name__)
        try:
            note(future._no_such_thing)
        except AttributeError as error:
            note(type(error).__name__)

    compare(body)


def test_weak_references(run):
    async def main():
        future = asyncio.get_running_loop().create_future()
        reference = weakref.ref(future)
        assert reference() is future
        del future
        gc.collect()
        assert reference() is None

    run(main())


def test_a_cycle_through_a_future_is_collected(run):
    async def main():
        loop = asyncio.get_running_loop()

        class Thing:
            pass

        for make in [
            lambda future, thing: future.add_done_callback(lambda _, t=thing: t),
            lambda future, thing: setattr(future, "thing", thing),
            lambda future, thing: future.set_result(thing),
            lambda future, thing: future.set_result([future, thing]),
        ]:
            thing = Thing()
            future = loop.create_future()
            thing.future = future
            make(future, thing)
            gone = weakref.ref(thing)
            del thing, future
            gc.collect()
            assert gone() is None, make

        # A failed future that nobody asked is a cycle too: exception, traceback, frame.
        async def fail(future):
            try:
                raise ValueError
            except ValueError as error:
                future.set_exception(error)
                future.exception()

        future = loop.create_future()
        await fail(future)
        gone = weakref.ref(future)
        del future
        gc.collect()
        assert gone() is None

    run(main())


def test_under_a_collector_that_never_rests(run):
    async def main():
        loop = asyncio.get_running_loop()
        for number in range(300):
            future = loop.create_future()
            future.me = future
            future.add_done_callback(lambda _, n=number: None)
            loop.call_soon(future.set_result, [future])
            assert (await future)[0] is future
            failed = loop.create_future()
            failed.set_exception(ValueError(failed))
            with pytest.raises(ValueError):
                await failed

    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        run(main())
    finally:
        gc.set_threshold(*before)


def test_never_retrieved(compare, logged):
    reports = []

    async def body(note):
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reports.append(sorted(context)) or note(context["message"]))
        future = loop.create_future()
        future.set_exception(ValueError("lost"))
        del future
        gc.collect()
        for look in [lambda f: f.exception(), lambda f: f.cancel(), repr]:
            future = loop.create_future()
            future.set_exception(ValueError("seen"))
            note(look(future) is None)
            del future
            gc.collect()

    notes = compare(body)
    assert notes[0] == "Future exception was never retrieved"
    assert reports[0] == ["exception", "future", "message"]
    assert len(reports) % 2 == 0


def test_never_retrieved_is_logged_by_default(compare, logged):
    async def body(note):
        future = asyncio.get_running_loop().create_future()
        future.set_exception(ValueError("lost"))
        del future
        gc.collect()

    compare(body)
    assert len(logged) == 2
    assert logged[0] == logged[1]
    assert logged[0].startswith("ERROR Future exception was never retrieved\nfuture: <Future finished exception=")


def test_a_future_of_another_loop(compare, loop_factory):
    other = loop_factory()

    async def body(note):
        foreign = other.create_future()

        async def wait():
            await foreign

        try:
            await asyncio.get_running_loop().create_task(wait())
        except RuntimeError as error:
            note(type(error).__name__, str(error).split(" got ")[-1].split(" attached ")[-1])

    compare(body)
    other.close()


def test_ensure_and_wrap(compare):
    async def body(note):
        import concurrent.futures

        loop = asyncio.get_running_loop()
        future = loop.create_future()
        note(asyncio.ensure_future(future) is future, asyncio.wrap_future(future) is future)
        threads = concurrent.futures.Future()
        wrapped = asyncio.wrap_future(threads)
        note(isinstance(wrapped, asyncio.Future))
        threads.set_result("from a thread")
        note(await wrapped)
        threads = concurrent.futures.Future()
        wrapped = asyncio.wrap_future(threads)
        wrapped.cancel()
        await asyncio.sleep(0)
        note(threads.cancelled())
        future.cancel()

    compare(body)


def test_asyncio_future_class_itself_works_on_the_loop(compare):
    async def body(note):
        future = asyncio.Future()
        note(future.get_loop() is asyncio.get_running_loop())
        asyncio.get_running_loop().call_soon(future.set_result, 7)
        note(await future)

        class Own(asyncio.Future):
            def __iter__(self):
                note("own __iter__ counts")
                return super().__iter__()

            __await__ = __iter__

        own = Own()
        asyncio.get_running_loop().call_soon(own.set_result, 8)
        note(await own)

    compare(body)


def test_subclasses_of_the_future_that_create_future_gives(compare):
    async def body(note):
        kind = type(asyncio.get_running_loop().create_future())

        class Own(kind):
            def set_result(self, value):
                note("own set_result")
                super().set_result(value)

            def cancel(self, msg=None):
                note("own cancel")
                return super().cancel(msg)

        future = Own()
        asyncio.get_running_loop().call_soon(future.set_result, 1)
        note(await future)
        future = Own()
        task = asyncio.create_task(asyncio.wait_for(future, 10))
        await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            note("cancelled")

    compare(body)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="the call graph came with 3.14")
def test_awaited_by(compare):
    async def body(note):
        future = asyncio.get_running_loop().create_future()

        async def guest():
            await future

        tasks = [asyncio.create_task(guest(), name=f"guest {n}") for n in range(2)]
        await asyncio.sleep(0)
        graph = asyncio.capture_call_graph(future)
        note(sorted(entry.future.get_name() for entry in graph.awaited_by))
        future.set_result(None)
        await asyncio.gather(*tasks)
        note(asyncio.capture_call_graph(future).awaited_by)

    compare(body)
