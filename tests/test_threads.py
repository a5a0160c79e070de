"""Other threads: call_soon_threadsafe wakes the loop, executors run what blocks, and debug mode tells on the rest."""

import asyncio
import concurrent.futures
import contextvars
import threading

import pytest

V = contextvars.ContextVar("V", default="outside")


def test_threadsafe_wakes_a_loop_that_sleeps_for_ever(loop):
    seen = []
    started = threading.Event()

    def other():
        started.wait()
        loop.call_soon_threadsafe(seen.append, threading.get_ident())
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=other)
    thread.start()
    loop.call_soon(started.set)
    loop.run_forever()  # Nothing else would ever end it.
    thread.join()
    assert seen == [thread.ident]


def test_threadsafe_before_run_and_from_the_loop_itself(loop):
    seen = []
    loop.call_soon_threadsafe(seen.append, "before")
    loop.call_soon(lambda: loop.call_soon_threadsafe(seen.append, "during"))
    loop.call_soon(lambda: loop.call_soon(lambda: loop.call_soon(loop.stop)))
    loop.run_forever()
    assert seen == ["before", "during"]


def test_threadsafe_keeps_each_threads_order(loop):
    seen = []
    each, threads = 2000, 4
    left = [threads * each]

    def receive(*what):
        seen.append(what)
        left[0] -= 1
        if not left[0]:
            loop.stop()

    def send(number):
        for message in range(each):
            loop.call_soon_threadsafe(receive, number, message)

    workers = [threading.Thread(target=send, args=[number]) for number in range(threads)]
    loop.call_soon(lambda: [worker.start() for worker in workers])
    loop.run_forever()
    for worker in workers:
        worker.join()
    for number in range(threads):
        assert [message for sender, message in seen if sender == number] == list(range(each))


def test_ping_pong_with_a_thread(run):
    """Each message needs one wake-up; a lost one would hang."""

    async def main():
        loop = asyncio.get_running_loop()
        to_thread: concurrent.futures.Future = concurrent.futures.Future()
        box = [to_thread]

        def thread_body(inbox):
            for _ in range(500):
                reply = inbox.result()
                inbox = concurrent.futures.Future()
                loop.call_soon_threadsafe(reply.set_result, inbox)

        thread = threading.Thread(target=thread_body, args=[to_thread])
        thread.start()
        for _ in range(500):
            reply = loop.create_future()
            box[0].set_result(reply)
            box[0] = await reply
        thread.join()

    run(main())


def test_cancel_a_threadsafe_handle_from_its_thread(loop):
    seen = []

    def other():
        handle = loop.call_soon_threadsafe(seen.append, "cancelled")
        handle.cancel()
        loop.call_soon_threadsafe(loop.stop)

    loop.call_soon(lambda: threads[0].start())
    threads = [threading.Thread(target=other)]
    # Both may have been taken off the inbox already: cancelling across threads is a race in asyncio too, so
    # the callback is held back by this one, which waits for the thread.
    loop.call_soon(lambda: threads[0].join())
    loop.run_forever()
    assert seen == []


def test_run_coroutine_threadsafe(run):
    async def main():
        loop = asyncio.get_running_loop()

        async def double(number):
            await asyncio.sleep(0)
            if number < 0:
                raise ValueError(number)
            return 2 * number

        def other():
            good = asyncio.run_coroutine_threadsafe(double(21), loop).result(10)
            bad = asyncio.run_coroutine_threadsafe(double(-1), loop).exception(10)
            endless = asyncio.run_coroutine_threadsafe(asyncio.sleep(3600), loop)
            endless.cancel()
            return good, bad.args, endless.cancelled()

        return await asyncio.to_thread(other)

    assert run(main()) == (42, (-1,), True)


def test_run_in_executor(run):
    async def main():
        loop = asyncio.get_running_loop()
        me = threading.get_ident()
        assert await loop.run_in_executor(None, threading.get_ident) != me
        assert await loop.run_in_executor(None, int, "101", 2) == 5
        with pytest.raises(ValueError, match="invalid literal"):
            await loop.run_in_executor(None, int, "soup")
        with concurrent.futures.ThreadPoolExecutor(1, "own") as pool:
            name = await loop.run_in_executor(pool, lambda: threading.current_thread().name)
        assert name.startswith("own")
        return await asyncio.gather(*(asyncio.to_thread(pow, 2, n) for n in range(50)))

    assert run(main()) == [2**n for n in range(50)]


def test_to_thread_takes_the_context_along(run):
    async def main():
        V.set("inside")
        return await asyncio.to_thread(V.get)

    assert run(main()) == "inside"


def test_set_default_executor(run, loop):
    async def main():
        loop = asyncio.get_running_loop()
        pool = concurrent.futures.ThreadPoolExecutor(1, "mine")
        loop.set_default_executor(pool)
        return await asyncio.to_thread(lambda: threading.current_thread().name)

    assert run(main()).startswith("mine")
    with pytest.raises(TypeError, match="executor must be ThreadPoolExecutor instance"):
        loop.set_default_executor("no pool")


def test_shutdown_default_executor(loop):
    async def main():
        await asyncio.to_thread(int)
        await loop.shutdown_default_executor()
        with pytest.raises(RuntimeError, match="^Executor shutdown has been called$"):
            await asyncio.to_thread(int)

    loop.run_until_complete(main())


def test_a_job_that_ends_after_its_loop_was_closed(loop_factory):
    release = threading.Event()
    loop = loop_factory()
    future = loop.run_in_executor(None, release.wait)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    release.set()
    del future, loop


def test_debug_notices_the_wrong_thread(run):
    async def main():
        loop = asyncio.get_running_loop()
        message = "^Non-thread-safe operation invoked on an event loop other than the current one$"

        def other():
            for call in [
                lambda: loop.call_soon(int),
                lambda: loop.call_later(0, int),
                lambda: loop.call_at(0, int),
            ]:
                with pytest.raises(RuntimeError, match=message):
                    call()
            with pytest.raises(RuntimeError, match=message):
                loop.create_future().add_done_callback(int) or done.add_done_callback(int)

        done = loop.create_future()
        done.set_result(None)
        await asyncio.to_thread(other)

    run(main(), debug=True)


def test_another_thread_has_no_running_loop(run):
    async def main():
        def other():
            with pytest.raises(RuntimeError, match="no running event loop"):
                asyncio.get_running_loop()

        await asyncio.to_thread(other)

    run(main())
