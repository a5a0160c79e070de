"""Programs made up at random: tasks that share queues, locks, events, semaphores and a barrier, and cancel one another.

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
# Turns that a program has before what still waits is cancelled.
TURNS = 60


def programs() -> st.SearchStrategy[list[list[Step]]]:
    """Lists of tasks, each a list of steps."""
    queue = st.integers(0, QUEUES - 1)
    semaphore = st.integers(0, SEMAPHORES - 1)
    word = st.sampled_from(
        ["sleep", "acquire", "release", "event_wait", "set", "clear", "notify", "notify_all", "cond_wait", "barrier", "look"]
    )
    waits = st.one_of(
        st.tuples(st.sampled_from(["get", "put", "join"]), queue),
        st.tuples(st.sampled_from(["sem_acquire"]), semaphore),
        st.tuples(st.sampled_from(["acquire", "event_wait", "barrier", "sleep"])),
    )
    leaf = st.one_of(
        st.tuples(word),
        st.tuples(st.sampled_from(["get", "put", "get", "put", "get_nowait", "put_nowait", "task_done", "join"]), queue),
        st.tuples(st.sampled_from(["sem_acquire", "sem_release"]), semaphore),
        st.tuples(st.just("cancel"), st.integers(0, 5)),
        st.tuples(st.just("wait_for"), st.sampled_from([None, 0]), waits),
        st.tuples(st.just("gather"), st.booleans(), st.lists(waits, min_size=1, max_size=3)),
        *([st.tuples(st.just("shutdown"), queue, st.booleans())] if HAS_SHUTDOWN else []),
    )

    def nested(inner: st.SearchStrategy[Step]) -> st.SearchStrategy[Step]:
        body = st.lists(inner, max_size=3)
        return st.one_of(
            st.tuples(st.sampled_from(["lock", "cond", "swallow", "timeout", "spawn"]), body),
            st.tuples(st.just("sem"), semaphore, body),
        )

    return st.lists(st.lists(st.recursive(leaf, nested, max_leaves=6), max_size=6), min_size=1, max_size=5)


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
            case ["look"]:
                return self.state()
            case ["cancel", index]:
                return self.tasks[index % len(self.tasks)].cancel(f"by {number}")
            case ["wait_for", seconds, inner]:
                return await self.aio.wait_for(self.awaitable(inner), seconds)
            case ["gather", exceptions, inner]:
                return repr(await self.aio.gather(*[self.awaitable(each) for each in inner], return_exceptions=exceptions))
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
            case ["swallow", body]:
                try:
                    await self.run(number, body)
                except asyncio.CancelledError:
                    return "swallowed"
            case ["spawn", body]:
                self.start(body)
        return None

    def start(self, body: list[Step]) -> None:
        if len(self.tasks) < 12:
            number = len(self.tasks)
            self.tasks.append(self.aio.create_task(self.task(number, body), name=str(number)))


async def trace(aio: Any, program: list[list[Step]]) -> list[Any]:
    """What happens in a program whose names are those of `aio`, `asyncio` or `rondeau`."""
    world = World(aio)
    for steps in program:
        world.start(steps)
    for _ in range(TURNS):
        if all(task.done() for task in world.tasks):
            break
        await asyncio.sleep(0)
    # Each is cancelled until it gives in, in the order in which they began.
    for _ in range(20):
        pending = [task for task in world.tasks if not task.done()]
        if not pending:
            break
        world.log.append(("pending", [task.get_name() for task in pending]))
        for task in pending:
            task.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
    results = await asyncio.gather(*world.tasks, return_exceptions=True)
    world.log.append(("results", [repr(result) for result in results]))
    world.log.append(world.state())
    return world.log
