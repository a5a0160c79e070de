"""The loop's own thread pool: results, errors, cancellation, names and the end of its threads as with ThreadPoolExecutor."""

import asyncio
import concurrent.futures
import contextvars
import gc
import queue
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

import rondeau
from rondeau.executor import ThreadPool


def give(*values):
    return values


async def outcome(awaitable):
    try:
        return await awaitable
    except (Exception, asyncio.CancelledError) as error:
        return error


def test_results_and_errors_come_back(compare_native):
    async def body(note, aio):
        loop = aio.get_running_loop()

        def fail(error):
            raise error

        note(await loop.run_in_executor(None, give), await loop.run_in_executor(None, give, 1, 2))
        for error in (
            ValueError("mine"),
            concurrent.futures.CancelledError("theirs"),
            concurrent.futures.InvalidStateError("theirs"),
            TimeoutError(),
            aio.CancelledError(),
        ):
            note(await outcome(loop.run_in_executor(None, fail, error)))
        note(await outcome(loop.run_in_executor(None, 7)))
        note(await aio.to_thread(dict, [("a", 1)], b=2), await outcome(aio.to_thread(fail, KeyError("k"))))

    compare_native(body)


def test_threads_have_asyncios_names_and_number(compare_native):
    async def body(note, aio):
        loop = aio.get_running_loop()
        note(await loop.run_in_executor(None, lambda: threading.current_thread().name))
        pool = loop._default_executor
        note(isinstance(pool, concurrent.futures.ThreadPoolExecutor), pool._max_workers)
        gate = threading.Barrier(pool._max_workers)  # Passed only if so many threads run at once.
        names = await aio.gather(
            *(
                loop.run_in_executor(None, lambda: (gate.wait(), threading.current_thread().name)[1])
                for _ in range(pool._max_workers)
            )
        )
        note(sorted(names))
        await aio.gather(*(loop.run_in_executor(None, give, number) for number in range(100)))
        note(len(pool._threads))
        note(pool.submit(pow, 2, 3).result(), list(pool.map(abs, [-1, 2])))

    compare_native(body)


def test_a_call_that_is_cancelled_before_it_runs_does_not_run(compare_native):
    async def body(note, aio):
        loop = aio.get_running_loop()
        count = (await loop.run_in_executor(None, lambda: loop._default_executor))._max_workers
        gate, ran = threading.Event(), []
        busy = [loop.run_in_executor(None, gate.wait) for _ in range(count)]
        queued = loop.run_in_executor(None, ran.append, "ran")
        note(queued.cancel(), await outcome(queued))
        # A running one is let go of: its result goes nowhere.
        note(busy[0].cancel(), await outcome(busy[0]))
        await aio.sleep(0)
        gate.set()
        note(await aio.gather(*busy[1:]), ran)
        note(await loop.run_in_executor(None, give, "after"), ran)

    compare_native(body)


def test_context_variables_reach_to_thread(compare_native):
    variable = contextvars.ContextVar("variable", default="none")

    async def body(note, aio):
        variable.set("mine")
        loop = aio.get_running_loop()
        note(await aio.to_thread(variable.get))
        note(await aio.to_thread(variable.set, "thread's own") is not None, variable.get())
        await loop.run_in_executor(None, variable.set, "not seen")
        note(variable.get())

    compare_native(body)


def test_order_of_wake_ups(compare_native):
    async def body(note, aio):
        loop = aio.get_running_loop()
        gate = threading.Event()
        future = loop.run_in_executor(None, gate.wait)
        loop.call_soon(gate.set)
        future.add_done_callback(lambda _: (note("callback"), loop.call_soon(note, "one turn later")))
        await future
        note("task")
        await aio.sleep(0)

    compare_native(body)


def test_after_the_shutdown_calls_are_refused(compare_native):
    async def body(note, aio):
        loop = aio.get_running_loop()
        await loop.run_in_executor(None, give)
        await loop.shutdown_default_executor()
        note([thread.name for thread in threading.enumerate() if thread.name.startswith("asyncio_")])
        for call in (loop.run_in_executor, loop._default_executor.submit):
            try:
                call(*(None, give) if call == loop.run_in_executor else (give,))
            except RuntimeError as error:
                note(error)

    compare_native(body)


def test_the_shutdown_waits_for_what_was_queued(compare_native):
    async def body(note, aio):
        loop = aio.get_running_loop()
        count = (await loop.run_in_executor(None, lambda: loop._default_executor))._max_workers
        gate, ran = threading.Event(), []
        for _ in range(count):
            loop.run_in_executor(None, gate.wait)
        future = loop.run_in_executor(None, ran.append, 1)
        shutdown = aio.create_task(loop.shutdown_default_executor())
        await aio.sleep(0)
        gate.set()
        await shutdown
        note(ran, await outcome(future))

    compare_native(body)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="3.12.1 has the timeout, and waits for the threads all the same")
def test_a_shutdown_gives_up_after_its_timeout(compare_native):
    async def body(note, aio):
        loop = aio.get_running_loop()
        gate = threading.Event()
        future = loop.run_in_executor(None, gate.wait)
        with pytest.warns(RuntimeWarning, match="did not finishing joining its threads within 0.01 seconds"):
            await loop.shutdown_default_executor(0.01)
        gate.set()
        note(await future)
        for thread in loop._default_executor._threads:
            thread.join()

    compare_native(body)


def test_cancel_futures_empties_the_queue():
    gate = threading.Event()
    with ThreadPool() as pool:
        busy = [pool.submit(gate.wait) for _ in range(pool._max_workers)]
        queued = pool.submit(give)
        pool.shutdown(wait=False, cancel_futures=True)
        assert queued.cancelled()
        gate.set()
        assert all(future.result() for future in busy)


def test_an_executor_of_the_programs_own_is_used(compare_native):
    async def body(note, aio):
        loop = aio.get_running_loop()
        mine = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="mine")
        name = await loop.run_in_executor(mine, lambda: threading.current_thread().name)
        loop.set_default_executor(mine)
        note(name, await loop.run_in_executor(None, lambda: threading.current_thread().name), await aio.to_thread(give, 1))

    assert compare_native(body)[0][0] == "mine_0"


def test_on_a_closed_loop_calls_are_refused(loop_factory):
    loop = loop_factory()
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.run_in_executor(None, give)


def test_a_result_that_comes_after_the_loop_was_closed_is_dropped():
    gate = threading.Event()
    loop = rondeau.new_event_loop()
    future = loop.run_in_executor(None, gate.wait)
    threads = list(loop._default_executor._threads)
    loop.close()
    gate.set()
    for thread in threads:
        thread.join()
    assert not future.done()


def test_a_pool_that_is_dropped_ends_its_threads():
    pool = ThreadPool()
    assert pool.submit(give, 1).result() == (1,)
    threads = list(pool._threads)
    del pool
    gc.collect()
    for thread in threads:
        thread.join()


def test_the_interpreters_end_joins_the_threads():
    program = """
        import asyncio, rondeau, time
        loop = rondeau.new_event_loop()
        async def main():
            loop.run_in_executor(None, lambda: (time.sleep(0.05), print("ended", flush=True)))
        loop.run_until_complete(main())
        print("left", flush=True)
    """
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60)
    assert (ran.stdout, ran.returncode) == ("left\nended\n", 0)


def test_debug_mode_refuses_coroutines(compare_native):
    async def body(note, aio):
        async def coroutine():
            pass

        try:
            aio.get_running_loop().run_in_executor(None, coroutine)
        except TypeError as error:
            note(error)

    compare_native(body, debug=True)


def test_the_pools_queue_answers_who_counts_it(loop):
    async def main():
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, int)
        pool, release = loop._default_executor, threading.Event()
        queue_ = pool._work_queue
        assert (queue_.qsize(), queue_.empty()) == (0, True)
        jobs = [loop.run_in_executor(None, release.wait) for _ in range(pool._max_workers + 3)]
        while queue_.qsize() > 3:  # Each thread takes one.
            await asyncio.sleep(0.001)
        assert (queue_.qsize(), queue_.empty()) == (3, False)
        release.set()
        await asyncio.gather(*jobs)
        for how in ({"block": False}, {"timeout": 0.01}, {"block": True, "timeout": 0}):
            if pool._idle_semaphore is not None:  # The threads wait for items as well.
                with pytest.raises(queue.Empty):
                    queue_.get(**how)
        with pytest.raises(queue.Empty):
            queue_.get_nowait()
        with pytest.raises(ValueError, match="'timeout' must be a non-negative number"):
            queue_.get(timeout=-1)

    loop.run_until_complete(main())


def test_a_wait_at_the_pools_queue_is_interrupted_by_a_signal():
    pool = ThreadPool()

    def late(number, frame):
        raise InterruptedError("a signal")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        with pytest.raises(InterruptedError, match="a signal"):
            pool._work_queue.get()
    finally:
        signal.signal(signal.SIGALRM, before)
        pool.shutdown()
