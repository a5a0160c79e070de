"""`loop._ready` and `loop._scheduled`: what waits, as programs look at it and change it. On both loops alike."""

import asyncio
import collections
import heapq

import pytest


@pytest.fixture(params=["asyncio's names", "rondeau's names"])
def both(request, compare, compare_native):
    """Compares a body `(note, aio)` on both loops, or with the native names as well."""
    if request.param == "rondeau's names":
        return compare_native
    return lambda body: compare(lambda note: body(note, asyncio))


def test_the_queues_show_what_waits(compare):
    async def body(note):
        loop = asyncio.get_running_loop()
        assert isinstance(loop._ready, collections.deque)
        assert isinstance(loop._scheduled, list)
        future = loop.create_future()

        async def waiter():
            return await future

        tasks = [loop.create_task(waiter()) for _ in range(2)]
        await asyncio.sleep(0)
        note(len(loop._ready), bool(loop._ready), len(loop._scheduled))
        soon = loop.call_soon(note, "soon")
        later = loop.call_later(1000, note, "later")
        much = loop.call_later(2000, note, "much later")
        tasks.append(loop.create_task(waiter()))
        note(len(loop._ready), len(loop._scheduled))
        note([handle is soon for handle in loop._ready], soon in loop._ready, loop._ready.index(soon))
        note([handle is later for handle in sorted(loop._scheduled)], later in loop._scheduled)
        note([repr(handle)[:8] for handle in loop._ready], len(list(loop._ready)), len(loop._ready.copy()))
        note(loop._scheduled[0] is later, loop._scheduled[0].when() == later.when())
        loop._ready.remove(soon)
        note(len(loop._ready))
        loop._ready.appendleft(soon)
        note(loop._ready[0] is soon)
        heapq.heapify(loop._scheduled)
        note(heapq.heappop(loop._scheduled) is later, len(loop._scheduled))
        heapq.heappush(loop._scheduled, later)
        note(len(loop._scheduled), heapq.nsmallest(1, loop._scheduled)[0] is later)
        much.cancel()
        later.cancel()
        future.set_result("set")
        note(await asyncio.gather(*tasks))

    compare(body)


def test_what_is_put_into_the_queues_runs(compare):
    async def body(note):
        loop = asyncio.get_running_loop()
        handle = asyncio.Handle(note, ("a handle",), loop)
        loop._ready.append(handle)
        loop._ready.extend([asyncio.Handle(note, ("another",), loop)])
        await asyncio.sleep(0)
        heapq.heappush(loop._scheduled, asyncio.TimerHandle(loop.time(), note, ("a timer",), loop))
        await asyncio.sleep(0.001)
        timer = loop.call_later(1000, note, "earlier than it thought")
        loop._scheduled.remove(timer)
        loop._ready.append(timer)
        await asyncio.sleep(0)
        lost = loop.call_later(0, note, "never")
        loop._scheduled.remove(lost)
        await asyncio.sleep(0.001)
        first, second = loop.call_soon(note, "first"), loop.call_soon(note, "second")
        note(loop._ready.popleft() is first, loop._ready.pop() is second)
        loop._ready.extendleft([first, second])
        await asyncio.sleep(0)
        loop.call_soon(note, "cleared")
        loop._ready.clear()
        loop.call_soon(note, "stays")
        loop._ready.rotate(1)
        await asyncio.sleep(0)

    compare(body)


def test_a_sleeper_is_moved_by_its_handle(both):
    async def body(note, aio):
        loop = asyncio.get_running_loop()
        sleeping = loop.create_task(aio.sleep(1000, "woken"))
        await asyncio.sleep(0)
        handle = heapq.heappop(loop._scheduled)
        note(round(handle.when() - loop.time(), -2))
        loop._ready.append(handle)
        del handle
        note(await sleeping)

    both(body)


def test_looking_changes_nothing(both):
    """A monitor looks at all that waits between any two steps."""

    async def body(note, aio):
        loop = asyncio.get_running_loop()

        def look():
            len(loop._ready), len(loop._scheduled), repr(loop._ready), repr(loop._scheduled)
            list(loop._ready), list(loop._scheduled)
            loop._selector.get_map()
            if not stop:
                loop.call_soon(look)

        stop = []
        look()

        async def worker(number):
            async with lock:
                order.append(number)
                await aio.sleep(0)
            await aio.gather(aio.sleep(0), aio.sleep(0.001))
            with pytest.raises(TimeoutError):
                async with aio.timeout(0.001):
                    await aio.sleep(1000)
            await aio.shield(aio.wait_for(aio.sleep(0, number), 10))
            return number

        lock, order = aio.Lock(), []
        note(await aio.gather(*map(worker, range(5))), order)
        note(await aio.to_thread(len, "thread"))
        stop.append(True)
        await asyncio.sleep(0)

    both(body)


def test_a_handle_from_another_thread_runs_by_its_own_method(compare):
    async def body(note):
        loop = asyncio.get_running_loop()
        handle = loop.call_soon_threadsafe(note, "by the loop, if it is not taken out")
        loop._ready.remove(handle)
        handle._run()
        handle = loop.call_soon_threadsafe(note, "by the loop")
        note(handle._run())
        await asyncio.sleep(0)
        handle.cancel()
        note(handle.cancelled())

    compare(body)
