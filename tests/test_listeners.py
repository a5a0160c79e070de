"""`rondeau.subscribe`: each event is told once, in order, however a task begins and ends; a listener's faults stay its own."""

import asyncio
import contextlib
import contextvars
import gc
import sys
import threading
import time
import weakref

import pytest

import rondeau
from rondeau import _core, _listeners, loop

V = contextvars.ContextVar("V", default="outside")


@contextlib.contextmanager
def subscribed(listener, *loops):
    rondeau.subscribe(listener, *loops)
    try:
        yield listener
    finally:
        rondeau.unsubscribe(listener)
    assert _listeners._run_changed not in loop.run_hooks
    assert not any(_listeners._listening.values())


class Tasks:
    def __init__(self):
        self.told = []

    def task_created(self, task):
        self.told.append(("created", task.get_name(), task.done()))

    def task_done(self, task):
        how = "cancelled" if task.cancelled() else "failed" if task.exception() else "done"
        self.told.append((how, task.get_name(), asyncio.current_task() is task))


async def returns():
    await asyncio.sleep(0)


async def fails():
    await asyncio.sleep(0)
    raise ValueError("burnt")


async def ends_at_once():
    pass


def of(told, name):
    return [(event, more) for event, called, more in told if called == name]


@pytest.mark.parametrize("debug", [False, True])
def test_tasks_are_told_of_when_they_are_made_and_when_they_end(debug):
    async def main():
        make = asyncio.get_running_loop().create_task
        tasks = [
            make(returns(), name="r"),
            make(fails(), name="f"),
            make(ends_at_once(), name="e"),
            make(asyncio.sleep(9), name="c"),
        ]
        await asyncio.sleep(0)
        tasks[-1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    with subscribed(Tasks()) as listener:
        rondeau.run(main(), debug=debug)
        gc.collect()
    for name, how in [("r", "done"), ("f", "failed"), ("e", "done"), ("c", "cancelled")]:
        assert of(listener.told, name) == [("created", False), (how, True)], name
    order = [name for event, name, _ in listener.told if event != "created"]
    assert order[:4] == ["e", "r", "f", "c"]


def test_the_end_is_told_before_the_done_callbacks_and_in_the_tasks_context():
    told = []

    class Listener:
        def task_done(self, task):
            told.append(("listener", V.get()))

    async def cook():
        V.set("kitchen")

    async def main():
        task = asyncio.create_task(cook())
        task.add_done_callback(lambda _: told.append(("callback", V.get())))
        await asyncio.wait([task])

    with subscribed(Listener()):
        rondeau.run(main())
    assert told[:2] == [("listener", "kitchen"), ("callback", "outside")]


def test_while_the_recorder_is_on():
    async def main():
        await asyncio.get_running_loop().create_task(returns(), name="r")

    with rondeau.record() as record, subscribed(Tasks()) as listener:
        rondeau.run(main())
    assert of(listener.told, "r") == [("created", False), ("done", True)]
    assert "r" in [task.name for task in record.recording().tasks.values()]
    assert not _core.record_stop()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in 3.12")
@pytest.mark.parametrize("coro", [returns, ends_at_once])
def test_eager_tasks(coro):
    async def main():
        running = asyncio.get_running_loop()
        running.set_task_factory(asyncio.eager_task_factory)
        task = running.create_task(coro())
        assert type(task) is _core.Task
        await task
        running.set_task_factory(None)
        return of(listener.told, task.get_name())

    with subscribed(Tasks()) as listener:
        assert rondeau.run(main()) == [("created", False), ("done", True)]


def test_tasks_of_another_class_that_a_factory_makes():
    def factory(running, coro, **options):
        return asyncio.Task(coro, loop=running, **options)

    async def main():
        running = asyncio.get_running_loop()
        running.set_task_factory(factory)
        task = running.create_task(fails(), name="other")
        assert not isinstance(task, _core.Task)
        await asyncio.gather(task, return_exceptions=True)
        running.set_task_factory(None)

    with subscribed(Tasks()) as listener:
        rondeau.run(main())
    assert of(listener.told, "other") == [("created", False), ("failed", False)]


def test_a_step_through_another_loops_callable_is_told_once():
    """On asyncio's loop a native task is stepped by a callable of Python's."""

    async def main():
        running = asyncio.get_running_loop()
        await asyncio.gather(_core.Task(fails(), loop=running, name="f"), return_exceptions=True)
        await _core.Task(returns(), loop=running, name="r")

    with subscribed(Tasks()) as listener, asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main())
    assert of(listener.told, "f") == [("created", False), ("failed", True)]
    assert of(listener.told, "r") == [("created", False), ("done", True)]


@pytest.mark.parametrize("report", [False, True])
def test_that_a_listener_asks_for_an_exception_does_not_hide_it(report):
    async def main():
        seen = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context["message"]))
        task = asyncio.create_task(fails())
        for _ in range(8):
            await asyncio.sleep(0)
        assert len(seen) == report
        del task
        gc.collect()
        return seen

    with subscribed(Tasks()):
        assert rondeau.run(main(), report_failed_tasks=report) == ["Task exception was never retrieved"]


def test_an_exit_is_told_and_leaves_the_loop():
    async def leave():
        raise SystemExit(3)

    async def main():
        await asyncio.gather(asyncio.get_running_loop().create_task(leave(), name="leave"))

    with subscribed(Tasks()) as listener, pytest.raises(SystemExit):
        rondeau.run(main())
    assert of(listener.told, "leave") == [("created", False), ("failed", True)]


def test_a_listener_may_cancel_a_new_task_and_add_callbacks():
    ended = []

    class Listener:
        def task_created(self, task):
            if task.get_name() == "unwanted":
                task.add_done_callback(lambda task: ended.append(task.cancelled()))
                task.cancel()

    async def main():
        coro = returns()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().create_task(coro, name="unwanted")

    with subscribed(Listener()):
        rondeau.run(main())
    assert ended == [True]


def test_events_that_a_listener_causes_are_not_told_to_it():
    class Listener:
        made = 0

        def task_created(self, task):
            self.made += 1
            if self.made < 100:
                self.task = asyncio.get_running_loop().create_task(ends_at_once())

    async def main():
        before = listener.made
        await asyncio.create_task(ends_at_once())
        await listener.task
        return listener.made - before

    listener = Listener()
    running = rondeau.new_event_loop()
    try:
        main_task = running.create_task(main())
        with subscribed(listener):
            assert running.run_until_complete(main_task) == 1
    finally:
        running.close()


class Faulty:
    def __init__(self, error):
        self.error, self.calls, self.ends = error, 0, 0

    def task_created(self, task):
        self.calls += 1
        raise self.error

    def task_done(self, task):
        self.ends += 1


@pytest.mark.parametrize("kind", [ValueError, asyncio.CancelledError, GeneratorExit])
def test_an_exception_of_a_listener_is_reported_once_and_that_method_left_out(kind):
    async def main():
        seen = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context))
        listener = Faulty(kind("listener"))
        with subscribed(listener):
            for _ in range(3):
                await asyncio.create_task(ends_at_once())
        assert (listener.calls, listener.ends) == (1, 3)
        [report] = seen
        assert report["exception"] is listener.error
        assert report["listener"] is listener
        assert report["message"] == "Exception in Faulty.task_created, a listener's method; it is not called again"

    rondeau.run(main())


@pytest.mark.parametrize("event", ["task_created", "task_done", "slow_callback", "loop_started", "loop_stopped"])
def test_no_event_breaks_the_loop_when_its_listener_fails(event, logged):
    def method(*_):
        raise ValueError("listener")

    async def main():
        asyncio.get_running_loop().slow_callback_duration = 0
        return await asyncio.create_task(asyncio.sleep(0, "served"))

    listener = type("Listener", (), {event: method})()
    with subscribed(listener):
        assert rondeau.run(main()) == "served"
    assert [line.splitlines()[0] for line in logged] == [
        f"ERROR Exception in Listener.{event}, a listener's method; it is not called again"
    ]


@pytest.mark.parametrize("event", ["task_created", "task_done", "slow_callback"])
def test_an_interrupt_within_a_listener_leaves_the_loop(event):
    def method(*_):
        if asyncio.events._get_running_loop() is running:
            raise KeyboardInterrupt

    async def main():
        running.slow_callback_duration = 0
        coro = ends_at_once()
        try:
            task = running.create_task(coro)
        except KeyboardInterrupt:
            coro.close()
            raise
        await task

    running = rondeau.new_event_loop()
    running.set_exception_handler(lambda *_: None)
    coro = main()
    try:
        with subscribed(type("Listener", (), {event: method})()), pytest.raises(KeyboardInterrupt):
            running.run_until_complete(coro)
        for task in asyncio.all_tasks(running):
            task.cancel()
        running.run_until_complete(asyncio.sleep(0))
    finally:
        running.close()


class Slow:
    def __init__(self):
        self.told = []

    def slow_callback(self, running, what, seconds):
        self.told.append((running, what, seconds))


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("record", [False, True])
def test_what_holds_the_loop_is_told_with_how_long(debug, record, logged):
    def hold():
        time.sleep(0.03)

    async def cook():
        await asyncio.sleep(0)
        time.sleep(0.03)

    async def main():
        running = asyncio.get_running_loop()
        running.slow_callback_duration = 0.02
        task = running.create_task(cook())
        handle = running.call_soon(hold)
        await task
        await asyncio.sleep(0)
        tasks = [(what, seconds) for loop, what, seconds in listener.told if what is task and loop is running]
        handles = [(what, seconds) for loop, what, seconds in listener.told if what is handle and loop is running]
        assert len(tasks) == len(handles) == 1
        assert tasks[0][1] >= 0.03
        assert handles[0][1] >= 0.03

    with rondeau.record() if record else contextlib.nullcontext(), subscribed(Slow()) as listener:
        rondeau.run(main(), debug=debug)
    assert bool(logged) == debug


def test_what_is_quick_is_not_told():
    async def main():
        asyncio.get_running_loop().slow_callback_duration = 3600
        await asyncio.gather(*(asyncio.create_task(returns()) for _ in range(10)))

    with subscribed(Slow()) as listener:
        rondeau.run(main())
    assert listener.told == []


class Loops:
    def __init__(self):
        self.told = []

    def loop_started(self, running):
        self.told.append(
            ("started", running, running.is_running(), asyncio.get_running_loop() is running, threading.get_ident())
        )

    def loop_stopped(self, running):
        self.told.append(("stopped", running, running.is_running(), asyncio._get_running_loop() is None, threading.get_ident()))


def test_a_loop_that_starts_and_stops():
    running = rondeau.new_event_loop()
    with subscribed(Loops()) as listener:
        running.run_until_complete(asyncio.sleep(0))
        with pytest.raises(ValueError, match="burnt"):
            running.run_until_complete(fails())
        running.close()
        with pytest.raises(RuntimeError):
            running.run_forever()
    here = threading.get_ident()
    assert listener.told == [("started", running, True, True, here), ("stopped", running, False, True, here)] * 2


def test_a_listener_to_one_loop_hears_of_no_other():
    first, second = rondeau.new_event_loop(), rondeau.new_event_loop()

    class Both(Tasks, Loops):
        pass

    listener = Both()
    with subscribed(listener, first):
        rondeau.subscribe(listener, second)
        with pytest.raises(ValueError, match="already"):
            rondeau.subscribe(listener, second)
        with pytest.raises(ValueError, match="already"):
            rondeau.subscribe(listener)
    with subscribed(listener, first):
        with pytest.raises(ValueError, match="already"):
            rondeau.subscribe(listener, first)
        second.run_until_complete(returns())
        assert listener.told == []
        first.run_until_complete(returns())
        assert [event for event, *_ in listener.told] == ["created", "started", "done", "stopped"]
    listener.told.clear()
    first.run_until_complete(returns())
    assert listener.told == []
    first.close()
    second.close()


def test_a_subscription_keeps_no_loop_alive():
    running = rondeau.new_event_loop()
    alive = weakref.ref(running)
    listener = Tasks()
    rondeau.subscribe(listener, running)
    running.close()
    del running
    gc.collect()
    assert alive() is None
    rondeau.unsubscribe(listener)


def test_loops_in_several_threads_are_told_of_each_in_its_own():
    all_run = threading.Barrier(4)

    def work():
        rondeau.run(returns())
        all_run.wait()

    with subscribed(Loops()) as listener:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len({thread for *_, thread in listener.told}) == len({told[1] for told in listener.told}) == 4
    for one in {told[1] for told in listener.told}:
        events = [event for event, of, *_ in listener.told if of is one]
        assert events == ["started", "stopped"] * (len(events) // 2)
    listener.told.clear()


def test_who_unsubscribes_within_an_event_hears_no_more_and_the_others_do():
    class Once:
        calls = 0

        def task_created(self, task):
            self.calls += 1
            rondeau.unsubscribe(self)
            with contextlib.suppress(ValueError):
                rondeau.unsubscribe(other)

    class Other(Tasks):
        pass

    async def main():
        await asyncio.create_task(ends_at_once())
        await asyncio.create_task(ends_at_once())

    once, other = Once(), Other()
    rondeau.subscribe(once)
    rondeau.subscribe(other)
    rondeau.run(main())
    assert once.calls == 1
    assert other.told == []


@pytest.mark.parametrize("listener", [object(), type("Wrong", (), {"task_done": 5})()])
def test_what_is_no_listener_is_refused(listener):
    with pytest.raises(TypeError):
        rondeau.subscribe(listener)
    with pytest.raises(ValueError, match="not subscribed"):
        rondeau.unsubscribe(listener)


def test_a_loop_of_another_kind_is_refused():
    loop = asyncio.SelectorEventLoop()
    with pytest.raises(TypeError, match="Rondeau's loops"):
        rondeau.subscribe(Tasks(), loop)
    loop.close()


def test_the_methods_are_looked_up_once():
    listener = Tasks()
    with subscribed(listener):
        listener.task_created = None
        rondeau.run(returns())
    assert any(event == "created" for event, *_ in listener.told)
