"""What programs do to asyncio's loop from outside: its queues, its selector, its turn. On both loops alike."""

import asyncio
import heapq
import os
import selectors
import socket
import threading
from unittest import mock

import pytest

import rondeau


def turn(loop):
    """One turn of a running loop, as those programs have it that make one re-entrant."""
    ready, scheduled = loop._ready, loop._scheduled
    while scheduled and scheduled[0]._cancelled:
        heapq.heappop(scheduled)
    if ready or loop._stopping:
        timeout = 0
    elif scheduled:
        timeout = min(max(scheduled[0]._when - loop.time(), 0), 86400)
    else:
        timeout = None
    loop._process_events(loop._selector.select(timeout))
    end = loop.time() + loop._clock_resolution
    while scheduled and scheduled[0]._when < end:
        ready.append(heapq.heappop(scheduled))
    for _ in range(len(ready)):
        if not ready:
            break
        handle = ready.popleft()
        if not handle._cancelled:
            with aside(loop):
                handle._run()


class aside:
    """Nobody is the current task of a loop meanwhile."""

    def __init__(self, loop):
        self.loop = loop
        self.task = None

    def __enter__(self):
        if (task := asyncio.current_task(self.loop)) is not None:
            asyncio.tasks._leave_task(self.loop, task)
            self.task = task

    def __exit__(self, *_):
        if self.task is not None:
            asyncio.tasks._enter_task(self.loop, self.task)


def until(future):
    """`run_until_complete` within a running loop."""
    loop = asyncio.get_running_loop()
    future = asyncio.ensure_future(future, loop=loop)
    while not future.done():
        turn(loop)
    return future.result()


@pytest.fixture(params=["asyncio's names", "rondeau's names"])
def both(request, compare, compare_native):
    """Compares a body `(note, aio)` on both loops, or with the native names as well."""
    if request.param == "rondeau's names":
        return compare_native
    return lambda body: compare(lambda note: body(note, asyncio))


def test_a_loop_is_turned_from_within(both):
    async def sleeper(aio, seconds, what):
        await aio.sleep(seconds)
        return what

    async def failing(aio):
        await aio.sleep(0)
        raise ValueError("burnt")

    async def deep(aio, depth):
        await aio.sleep(0.001)
        return until(deep(aio, depth - 1)) + 1 if depth else 0

    async def body(note, aio):
        loop = asyncio.get_running_loop()
        me = asyncio.current_task()
        note(until(deep(aio, 3)), asyncio.current_task() is me)
        note(until(aio.gather(sleeper(aio, 0.002, "a"), sleeper(aio, 0.001, "b"))))
        note(until(aio.wait_for(aio.to_thread(lambda: "thread"), 10)))
        with pytest.raises(TimeoutError):
            until(aio.wait_for(aio.sleep(1000), 0.001))
        with pytest.raises(ValueError, match="burnt"):
            until(failing(aio))

        async def group():
            async with aio.TaskGroup() as group:
                tasks = [group.create_task(sleeper(aio, 0.001 * number, number)) for number in range(3)]
            return [task.result() for task in tasks]

        note(until(group()))
        queue, event, seen = aio.Queue(1), aio.Event(), []

        async def producer():
            for number in range(4):
                await queue.put(number)
            event.set()

        async def consumer():
            for _ in range(4):
                seen.append(await queue.get())
            await event.wait()
            return seen

        task = loop.create_task(producer())
        note(until(consumer()))
        await task
        done, pending = until(
            aio.wait(
                [loop.create_task(sleeper(aio, 0.001, 1)), loop.create_task(sleeper(aio, 1000, 2))],
                return_when=asyncio.FIRST_COMPLETED,
            )
        )
        note(len(done), len(pending))
        for task in pending:
            task.cancel()
        await asyncio.wait(pending)
        note(asyncio.current_task() is me)
        await aio.sleep(0.001)
        note(asyncio.current_task() is me, len(asyncio.all_tasks()))
        loop.call_soon(lambda: seen.append(asyncio.current_task()))
        await aio.sleep(0)
        note(seen[-1])

    both(body)


def test_connections_are_served_by_turns_from_within(both):
    async def body(note, aio):
        async def serve(reader, writer):
            while line := await reader.readline():
                writer.write(line.upper())
            writer.close()

        async def talk():
            server = await aio.start_server(serve, "127.0.0.1", 0)
            reader, writer = await aio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"soup\nroast\n")
            lines = [await reader.readline(), await reader.readline()]
            writer.close()
            await writer.wait_closed()
            server.close()
            await server.wait_closed()
            return lines

        note(until(talk()))
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)

        async def calls():
            asking = loop.create_task(loop.sock_recv(ours, 100))
            await asyncio.sleep(0)
            await loop.sock_sendall(theirs, b"data")
            return await asking

        note(until(loop.create_task(calls())))
        ours.close()
        theirs.close()

    both(body)


def test_a_loop_is_turned_from_outside(loop):
    """Without `run_forever` at all."""
    seen = []

    async def main():
        seen.append("begun")
        await asyncio.sleep(0.001)
        seen.append("done")

    asyncio._set_running_loop(loop)
    try:
        task = loop.create_task(main())
        while not task.done():
            turn(loop)
    finally:
        asyncio._set_running_loop(None)
    assert seen == ["begun", "done"]


def test_run_once_is_one_turn(loop):
    seen = []

    def again(number):
        seen.append(number)
        if number < 3:
            loop.call_soon(again, number + 1)

    loop.call_soon(again, 0)
    loop.call_soon(seen.append, "other")
    loop._run_once()
    assert seen == [0, "other"]
    loop.call_later(0, seen.append, "timer")
    loop._run_once()
    assert seen == [0, "other", 1, "timer"]
    loop._run_once()
    loop._run_once()
    assert seen[4:] == [2, 3]


class Turns:
    """Counts the turns of a loop of its class."""

    def _run_once(self):
        self.turns = getattr(self, "turns", 0) + 1
        super()._run_once()

    def _process_events(self, events):
        self.reported = [*getattr(self, "reported", []), *(mask for key, mask in events if key.fileobj == self.asked)]
        super()._process_events(events)

    asked = None


def test_a_subclass_overrides_the_turn(loop_factory):
    theirs = loop_factory()
    theirs.close()
    loop = type("Turning", (Turns, type(theirs)), {})()
    loop.run_until_complete(asyncio.sleep(0))
    assert loop.turns >= 2
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    loop.asked = ours.fileno() if isinstance(loop, rondeau.EventLoop) else ours
    theirs.send(b"data")
    assert loop.run_until_complete(loop.sock_recv(ours, 10)) == b"data"
    ours.close()
    theirs.close()
    loop.close()


@pytest.mark.parametrize("when", ["before", "while it runs"])
def test_a_patched_select_is_called_in_each_turn_with_the_timeout(compare, when):
    class Patch:
        def __init__(self, loop):
            self.original, self.timeouts, self.loop = loop._selector.select, [], loop

        def __call__(self, timeout=None):
            self.timeouts.append(timeout)
            return self.original(timeout)

    async def body(note):
        loop = asyncio.get_running_loop()
        patch = Patch(loop)
        with mock.patch.object(loop._selector, "select", patch):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            note(patch.timeouts)
            patch.timeouts.clear()
            await asyncio.sleep(0.01)
            waits = [timeout for timeout in patch.timeouts if timeout]
            note(len(waits), 0 < waits[0] <= 0.01)
            patch.timeouts.clear()
            future = loop.create_future()
            threading.Timer(0.01, lambda: loop.call_soon_threadsafe(future.set_result, None)).start()
            await future
            note(None in patch.timeouts)
            ours, theirs = socket.socketpair()
            reader, writer = await asyncio.open_connection(sock=ours)
            theirs.send(b"line\n")
            note(await reader.readline())
            writer.close()
            await writer.wait_closed()
            theirs.close()
        patch.timeouts.clear()
        await asyncio.sleep(0.001)
        note(patch.timeouts)

    compare(body)
    del when


def test_what_select_gives_is_processed(loop):
    ours, theirs = os.pipe()
    seen = []

    def read():
        seen.append(os.read(ours, 10))
        loop.stop()

    loop.add_reader(ours, read)
    os.write(theirs, b"there")
    held = []

    def select(timeout, original=loop._selector.select):
        if not held:
            held.append(original(timeout))
            loop.call_soon(seen.append, "a turn without it")
            return []
        return held.pop() if held[0] else original(timeout)

    loop._selector.select = select
    loop.run_forever()
    assert seen == ["a turn without it", b"there"]
    loop.remove_reader(ours)
    os.close(ours)
    os.close(theirs)
    del loop._selector.select


@pytest.mark.parametrize("where", ["class", "subclass", "object"])
def test_a_test_clock_moves_the_time(loop_factory, where):
    """What asynctest's ClockedTestCase and looptime do: `time` is theirs, and `select` moves it instead of waiting."""
    now = [0.0]
    loop = loop_factory()
    if where == "subclass":
        loop.close()
        loop = type("Clocked", (type(loop),), {"time": lambda self: now[0]})()
    elif where == "class":
        loop.__class__ = type("Clocked", (type(loop),), {"time": lambda self: now[0]})
    else:
        loop.time = lambda: now[0]
    original = loop._selector.select

    def select(timeout):
        events = original(0)
        if not events and timeout:
            now[0] += timeout
        return events

    loop._selector.select = select
    seen = []

    async def main():
        loop.call_later(3600, seen.append, "an hour")
        await asyncio.sleep(60)
        seen.append(loop.time())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(86400):
                await asyncio.Event().wait()
        seen.append(loop.time())

    loop.run_until_complete(main())
    assert seen == [60.0, "an hour", 86460.0]
    loop.close()


def test_the_selector_answers_for_what_is_watched(loop):
    ours, theirs = socket.socketpair()
    loop.add_reader(ours, print)
    key = loop._selector.get_key(ours)
    assert (key.fileobj, key.fd, key.events) == (ours, ours.fileno(), selectors.EVENT_READ)
    assert loop._selector.get_map()[ours.fileno()].events == selectors.EVENT_READ
    loop.add_writer(ours, print)
    assert loop._selector.get_map()[ours.fileno()].events == selectors.EVENT_READ | selectors.EVENT_WRITE
    loop.remove_reader(ours)
    loop.remove_writer(ours)
    with pytest.raises(KeyError):
        loop._selector.get_key(ours)
    ours.close()
    theirs.close()


PRIVATE = [
    "_asyncgens",
    "_clock_resolution",
    "_closed",
    "_csock",
    "_current_handle",
    "_debug",
    "_default_executor",
    "_exception_handler",
    "_internal_fds",
    "_selector",
    "_signal_handlers",
    "_ssock",
    "_stopping",
    "_task_factory",
    "_thread_id",
    "_timer_cancelled_count",
    "slow_callback_duration",
]


@pytest.mark.parametrize("name", PRIVATE)
def test_what_packages_read_of_a_loop_is_there(name):
    loops = [asyncio.SelectorEventLoop(), rondeau.new_event_loop()]
    try:
        theirs, ours = (getattr(loop, name) for loop in loops)
        if name in ("_ssock", "_csock"):
            return  # Made when the loop first runs.
        assert type(theirs) is type(ours) or name == "_selector"
        if name not in ("_selector", "_asyncgens"):
            assert theirs == ours
    finally:
        for loop in loops:
            loop.close()
