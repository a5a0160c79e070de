"""A loop starts, stops, starts again and closes; each misuse has asyncio's own exception and message."""

import asyncio
import gc
import threading
import warnings
import weakref

import pytest


async def double(number):
    await asyncio.sleep(0)
    return 2 * number


def test_run_until_complete_returns_the_result(loop):
    assert loop.run_until_complete(double(21)) == 42
    assert loop.run_until_complete(asyncio.ensure_future(double(4), loop=loop)) == 8


def test_run_until_complete_raises_what_the_coroutine_raises(loop):
    async def fail():
        raise ValueError("burnt")

    with pytest.raises(ValueError, match="burnt"):
        loop.run_until_complete(fail())


def test_run_until_complete_takes_awaitables_and_nothing_else(loop):
    class Awaitable:
        def __await__(self):
            yield
            return "done"

    assert loop.run_until_complete(Awaitable()) == "done"
    with pytest.raises(TypeError):
        loop.run_until_complete(42)


class Deputy:
    """A task of the program's own kind, which has another do its work."""

    def __init__(self, task):
        self._task = task

    _asyncio_future_blocking = False

    def __getattr__(self, name):
        return getattr(self._task, name)


def test_run_until_complete_waits_for_what_stands_for_a_task(loop):
    loop.set_task_factory(lambda loop, coro, **options: Deputy(asyncio.Task(coro, loop=loop, **options)))
    assert loop.run_until_complete(double(4)) == 8


def test_stop_before_run_runs_one_turn(loop):
    seen = []
    loop.stop()
    loop.call_soon(seen.append, "first turn")
    loop.call_soon(lambda: loop.call_soon(seen.append, "second turn"))
    loop.run_forever()
    assert seen == ["first turn"]
    loop.stop()
    loop.run_forever()
    assert seen == ["first turn", "second turn"]


def test_stop_finishes_the_turn(loop):
    seen = []
    loop.call_soon(loop.stop)
    loop.call_soon(seen.append, "same turn")
    loop.call_soon(lambda: loop.call_soon(seen.append, "next turn"))
    loop.run_forever()
    assert seen == ["same turn"]
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert seen == ["same turn", "next turn"]


def test_stopped_before_the_future_is_done(loop):
    future = loop.create_future()
    loop.call_soon(loop.stop)
    with pytest.raises(RuntimeError, match="^Event loop stopped before Future completed.$"):
        loop.run_until_complete(future)
    # The left-over callback of that run must not stop the next one.
    future.set_result(None)
    assert loop.run_until_complete(double(1)) == 2


def test_running_loop_is_known_only_while_it_runs(loop):
    seen = []
    loop.call_soon(lambda: seen.append((asyncio.get_running_loop() is loop, loop.is_running())))
    loop.call_soon(loop.stop)
    assert not loop.is_running()
    loop.run_forever()
    assert seen == [(True, True)]
    assert not loop.is_running()
    assert asyncio._get_running_loop() is None


def test_a_running_loop_cannot_run_again(loop):
    async def nested(run):
        coroutine = double(1)
        try:
            run(coroutine)
        finally:
            coroutine.close()

    with pytest.raises(RuntimeError, match="^This event loop is already running$"):
        loop.run_until_complete(nested(loop.run_until_complete))
    with pytest.raises(RuntimeError, match="^This event loop is already running$"):
        loop.run_until_complete(nested(lambda _: loop.run_forever()))


def test_another_loop_cannot_run_in_a_running_one(loop, loop_factory):
    other = loop_factory()

    async def nested():
        other.run_forever()

    with pytest.raises(RuntimeError, match="^Cannot run the event loop while another loop is running$"):
        loop.run_until_complete(nested())
    other.close()


def test_a_running_loop_cannot_be_closed(loop):
    async def close():
        loop.close()

    with pytest.raises(RuntimeError, match="^Cannot close a running event loop$"):
        loop.run_until_complete(close())


CLOSED = {
    "call_soon": lambda loop: loop.call_soon(print),
    "call_soon_threadsafe": lambda loop: loop.call_soon_threadsafe(print),
    "call_later": lambda loop: loop.call_later(1, print),
    "call_at": lambda loop: loop.call_at(loop.time() + 1, print),
    "run_forever": lambda loop: loop.run_forever(),
    "run_in_executor": lambda loop: loop.run_in_executor(None, print),
}


@pytest.mark.parametrize("call", CLOSED.values(), ids=CLOSED)
def test_closed(loop, call):
    loop.close()
    assert loop.is_closed()
    with pytest.raises(RuntimeError, match="^Event loop is closed$"):
        call(loop)


def test_closed_for_coroutines(loop):
    loop.close()
    for run in [loop.run_until_complete, loop.create_task]:
        coroutine = double(1)
        with pytest.raises(RuntimeError, match="^Event loop is closed$"):
            run(coroutine)
        coroutine.close()


def test_close_twice_and_what_works_afterwards(loop):
    loop.close()
    loop.close()
    assert loop.time() > 0
    assert loop.get_debug() is False
    assert "closed=True" in repr(loop)
    loop.stop()


def test_close_drops_callbacks(loop):
    class Thing:
        def method(self):
            raise AssertionError("never called")

    thing = Thing()
    gone = weakref.ref(thing)
    loop.call_soon(thing.method)
    loop.call_later(3600, thing.method)
    loop.call_soon_threadsafe(thing.method)
    del thing
    loop.close()
    gc.collect()
    assert gone() is None


def test_dropping_an_open_loop_warns(loop_factory):
    loop = loop_factory()
    loop.set_debug(False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del loop
        gc.collect()
    assert [w.category for w in caught if "unclosed event loop" in str(w.message)] == [ResourceWarning]


def test_exception_from_a_system_exit_leaves_the_loop_usable(loop):
    def leave():
        raise SystemExit(3)

    loop.call_soon(leave)
    with pytest.raises(SystemExit):
        loop.run_forever()
    assert not loop.is_running()
    assert loop.run_until_complete(double(5)) == 10


def test_base_exception_in_a_task(loop, logged):
    async def leave():
        raise KeyboardInterrupt

    task = loop.create_task(leave())
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert task.done()
    with pytest.raises(KeyboardInterrupt):
        task.result()
    # Its wake-up is still on the agenda, as in asyncio; the loop goes on.
    assert loop.run_until_complete(double(5)) == 10


def test_debug_flag(loop):
    assert loop.get_debug() is False
    loop.set_debug(True)
    assert loop.get_debug() is True
    assert "debug=True" in repr(loop)


def test_time_is_monotonic_seconds(loop):
    first = loop.time()
    assert isinstance(first, float)
    assert first <= loop.time()


def test_one_loop_in_each_thread(loop_factory):
    results = []

    def work(number):
        loop = loop_factory()
        results.append(loop.run_until_complete(double(number)))
        loop.close()

    threads = [threading.Thread(target=work, args=[number]) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [0, 2, 4, 6, 8]


def test_a_loop_moves_to_another_thread_between_runs(loop):
    assert loop.run_until_complete(double(1)) == 2
    results = []
    thread = threading.Thread(target=lambda: results.append(loop.run_until_complete(double(2))))
    thread.start()
    thread.join()
    assert results == [4]
    assert loop.run_until_complete(double(3)) == 6


def test_many_loops_one_after_another(loop_factory):
    for number in range(50):
        loop = loop_factory()
        assert loop.run_until_complete(double(number)) == 2 * number
        loop.close()
