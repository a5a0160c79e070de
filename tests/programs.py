"""Programs made up at random: tasks that share queues, locks, events, semaphores, a condition and a barrier, wait for one
another in every way that asyncio has, fail, and cancel one another.

Made by `programs()` for test_native_differential.py, run by `trace()`. A program has no clock: its only time-outs are over
at once or never, and who runs when is decided by the order of events alone. So two implementations of asyncio that agree
leave the same trace.
"""

import asyncio
import re
import sys
from typing import Any

from hypothesis import strategies as st

Step = tuple[Any, ...]

QUEUES, SEMAPHORES = 3, 2
HAS_SHUTDOWN = sys.version_info >= (3, 13)
# as_completed is an asynchronous iterator too.
IN_ORDER_OF_COMPLETION = sys.version_info >= (3, 13)
WHEN = [asyncio.ALL_COMPLETED, asyncio.FIRST_COMPLETED, asyncio.FIRST_EXCEPTION]
# Turns that a program has before what still waits is cancelled.
TURNS = 60


def programs() -> st.SearchStrategy[list[list[Step]]]:
    """Lists of tasks, each a list of steps."""
    queue = st.integers(0, QUEUES - 1)
    semaphore = st.integers(0, SEMAPHORES - 1)
    word = st.sampled_from(
        [
            "sleep",
            "acquire",
            "release",
            "event_wait",
            "set",
            "clear",
            "notify",
            "notify_all",
            "cond_wait",
            "cond_wait_for",
            "barrier",
            "barrier_reset",
            "barrier_abort",
            "look",
            "uncancel",
            "cancelling",
            "fail",
        ]
    )
    waits = st.one_of(
        st.tuples(st.sampled_from(["get", "put", "join"]), queue),
        st.tuples(st.sampled_from(["sem_acquire"]), semaphore),
        st.tuples(st.sampled_from(["acquire", "event_wait", "barrier", "cond_wait", "cond_wait_for", "sleep"])),
    )
    several = st.lists(waits, min_size=1, max_size=3)
    time_out = st.sampled_from([None, 0])
    # When a time-out ends: never, or long ago.
    moment = st.sampled_from([None, 0.0])
    leaf = st.one_of(
        st.tuples(word),
        st.tuples(st.sampled_from(["get", "put", "get", "put", "get_nowait", "put_nowait", "task_done", "join"]), queue),
        st.tuples(st.sampled_from(["sem_acquire", "sem_release"]), semaphore),
        st.tuples(st.just("cancel"), st.integers(0, 5)),
        st.tuples(st.just("wait_for"), time_out, waits),
        st.tuples(st.just("shield"), waits),
        st.tuples(st.just("gather"), st.booleans(), several),
        st.tuples(st.just("wait"), time_out, st.sampled_from(WHEN), several),
        st.tuples(st.just("as_completed"), st.booleans(), time_out, several),
        *([st.tuples(st.just("shutdown"), queue, st.booleans())] if HAS_SHUTDOWN else []),
    )

    def nested(inner: st.SearchStrategy[Step]) -> st.SearchStrategy[Step]:
        body = st.lists(inner, max_size=3)
        return st.one_of(
            st.tuples(st.sampled_from(["lock", "cond", "swallow", "timeout", "spawn", "with_barrier"]), body),
            st.tuples(st.just("sem"), semaphore, body),
            st.tuples(st.just("reschedule"), moment, body, moment, body),
            # One child, for a group cancels its children in a set's order.
            st.tuples(st.just("group"), st.lists(body, max_size=1), body),
        )

    return st.lists(st.lists(st.recursive(leaf, nested, max_leaves=6), max_size=6), min_size=1, max_size=5)


class Failed(Exception):
    """What ends a task."""


class World:
    """The objects that the tasks share, all of one implementation, and the trace."""

    def __init__(self, aio: Any) -> None:
        self.aio = aio
        self.queues = [aio.Queue(1), aio.LifoQueue(2), aio.PriorityQueue()]
        self.lock = aio.Lock()
        self.event = aio.Event()
        self.semaphores = [aio.Semaphore(1), aio.BoundedSemaphore(2)]
        self.condition = aio.Condition()
        self.barrier = aio.Barrier(2)
        self.tasks: list[asyncio.Task[None]] = []
        # What steps have started by the way.
        self.others: list[asyncio.Future[Any]] = []
        self.items = 0
        self.log: list[Any] = []

    def state(self) -> list[str]:
        """How everything looks, without what may differ."""
        things = [*self.queues, self.lock, self.event, *self.semaphores, self.condition, self.barrier]
        return [re.sub(r"^<\S+ (object )?at 0x[0-9a-f]+ ", "<", repr(thing)) for thing in things]

    async def task(self, number: int, steps: list[Step]) -> None:
        try:
            await self.run(number, steps)
        except BaseException as error:
            self.note(number, "ended", error)
            raise
        self.note(number, "ended", None)

    async def run(self, number: int, steps: list[Step]) -> None:
        for step in steps:
            try:
                result = await self.step(number, step)
            except (Failed, BaseExceptionGroup) as error:
                self.note(number, step[0], error)
                raise
            except Exception as error:
                result = error
            except asyncio.CancelledError as error:
                self.note(number, step[0], error)
                raise
            self.note(number, step[0], result)

    def note(self, number: int, what: str, result: Any) -> None:
        if isinstance(result, BaseException):
            result = type(result).__name__, str(result)
        self.log.append((number, what, result))

    def item(self) -> int:
        self.items += 1
        return self.items % 7

    def awaitable(self, step: Step) -> Any:
        """What is awaited, not yet started."""
        match step:
            case ["sleep"]:
                return self.aio.sleep(0, "slept")
            case ["get", queue]:
                return self.queues[queue].get()
            case ["put", queue]:
                return self.queues[queue].put(self.item())
            case ["join", queue]:
                return self.queues[queue].join()
            case ["acquire"]:
                return self.lock.acquire()
            case ["sem_acquire", semaphore]:
                return self.semaphores[semaphore].acquire()
            case ["event_wait"]:
                return self.event.wait()
            case ["barrier"]:
                return self.barrier.wait()
            case ["cond_wait"]:
                return self.condition.wait()
            case ["cond_wait_for"]:
                return self.condition.wait_for(lambda: self.items % 3 == 1)
        return None

    async def step(self, number: int, step: Step) -> Any:
        awaitable = self.awaitable(step)
        if awaitable is not None:
            return await awaitable
        match step:
            case ["get_nowait", queue]:
                return self.queues[queue].get_nowait()
            case ["put_nowait", queue]:
                return self.queues[queue].put_nowait(self.item())
            case ["task_done", queue]:
                return self.queues[queue].task_done()
            case ["shutdown", queue, immediate]:
                return self.queues[queue].shutdown(immediate)
            case ["release"]:
                return self.lock.release()
            case ["sem_release", semaphore]:
                return self.semaphores[semaphore].release()
            case ["set"]:
                return self.event.set()
            case ["clear"]:
                return self.event.clear()
            case ["notify"]:
                return self.condition.notify()
            case ["notify_all"]:
                return self.condition.notify_all()
            case ["barrier_reset"]:
                return await self.barrier.reset()
            case ["barrier_abort"]:
                return await self.barrier.abort()
            case ["look"]:
                return self.state()
            case ["uncancel"]:
                return self.aio.current_task().uncancel()
            case ["cancelling"]:
                return self.aio.current_task().cancelling()
            case ["fail"]:
                raise Failed(number)
            case ["cancel", index]:
                return self.tasks[index % len(self.tasks)].cancel(f"by {number}")
            case ["wait_for", seconds, inner]:
                return await self.aio.wait_for(self.awaitable(inner), seconds)
            case ["gather", exceptions, inner]:
                return repr(await self.aio.gather(*[self.awaitable(each) for each in inner], return_exceptions=exceptions))
            case ["shield", inner]:
                return await self.aio.shield(self.future(inner))
            case ["wait", seconds, when, inner]:
                futures = [self.future(each) for each in inner]
                done, pending = await self.aio.wait(futures, timeout=seconds, return_when=when)
                return [future in done for future in futures], [future in pending for future in futures]
            case ["as_completed", asynchronous, seconds, inner]:
                return await self.as_completed(asynchronous and IN_ORDER_OF_COMPLETION, seconds, inner)
            case ["lock", body]:
                async with self.lock:
                    await self.run(number, body)
            case ["cond", body]:
                async with self.condition:
                    await self.run(number, body)
            case ["sem", semaphore, body]:
                async with self.semaphores[semaphore]:
                    await self.run(number, body)
            case ["timeout", body]:
                async with self.aio.timeout(0):
                    await self.run(number, body)
            case ["reschedule", first, body, second, rest]:
                async with self.aio.timeout_at(first) as timeout:
                    await self.run(number, body)
                    timeout.reschedule(second)
                    await self.run(number, rest)
            case ["with_barrier", body]:
                async with self.barrier as position:
                    self.note(number, "position", position)
                    await self.run(number, body)
            case ["group", bodies, body]:
                async with self.aio.TaskGroup() as group:
                    for each in bodies:
                        self.start(each, group.create_task)
                    await self.run(number, body)
            case ["swallow", body]:
                try:
                    await self.run(number, body)
                except asyncio.CancelledError:
                    return "swallowed"
            case ["spawn", body]:
                self.start(body)
        return None

    async def as_completed(self, asynchronous: bool, seconds: float | None, inner: list[Step]) -> list[Any]:
        futures = [self.future(each) for each in inner]
        seen: list[Any] = []
        completed = self.aio.as_completed(futures, timeout=seconds)
        if asynchronous:
            try:
                async for future in completed:
                    seen.append(futures.index(future))
            except TimeoutError:
                seen.append("late")
            return seen
        for each in completed:
            try:
                seen.append(repr(await each))
            except Exception as error:
                seen.append(repr(error))
        return seen

    def future(self, step: Step) -> Any:
        """A task that awaits this: asyncio makes those of several coroutines in a set's order."""
        self.others.append(self.aio.ensure_future(self.awaitable(step)))
        return self.others[-1]

    def start(self, body: list[Step], create_task: Any = None) -> None:
        if len(self.tasks) < 12:
            number = len(self.tasks)
            coroutine = self.task(number, body)
            try:
                task = (create_task or self.aio.create_task)(coroutine, name=str(number))
            except RuntimeError:
                coroutine.close()
                raise
            self.tasks.append(task)


async def trace(aio: Any, program: list[list[Step]]) -> list[Any]:
    """What happens in a program whose names are those of `aio`, `asyncio` or `rondeau`."""
    world = World(aio)
    for steps in program:
        world.start(steps)
    for _ in range(TURNS):
        if all(task.done() for task in world.tasks):
            break
        await asyncio.sleep(0)
    # Each is cancelled until it gives in, in the order in which they began. What waits for a condition's lock cannot be
    # cancelled: where its holder waits for such a one, the lock is taken from it.
    for attempt in range(100):
        pending = [task for task in [*world.tasks, *world.others] if not task.done()]
        if not pending:
            break
        world.log.append(("pending", [task.get_name() for task in pending if task in world.tasks]))
        if attempt >= 10 and world.condition.locked():
            world.condition.release()
        for task in pending:
            task.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
    assert all(task.done() for task in [*world.tasks, *world.others]), "the program does not end"
    results = await asyncio.gather(*world.tasks, *world.others, return_exceptions=True)
    world.log.append(("results", [repr(result) for result in results]))
    world.log.append(world.state())
    return world.log
