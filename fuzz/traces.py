"""Random programs of tasks, whose trace is compared: asyncio's names on asyncio's loop, Rondeau's on Rondeau's.

Beside what `tests/programs.py` draws: failing callbacks, eager tasks, task groups, barriers, asynchronous
generators, finalizers that cancel, `uncancel`, awaiting what is no awaitable, each from every other. What a task
does follows from its own seed, not from who ran before it.
"""

import asyncio
import contextvars
import gc
import random
import re
import types
from collections.abc import Awaitable, Callable
from typing import Any

import rondeau

MOST_STEPS = 400
Step = Callable[["World", "Worker"], Awaitable[Any]]
STEPS: list[Step] = []
variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)


def step(weight: int = 1) -> Callable[[Step], Step]:
    def add(function: Step) -> Step:
        STEPS.extend([function] * weight)
        return function

    return add


def said(error: BaseException | None) -> str:
    """An exception as both sides would say it: texts of a RuntimeError name objects."""
    if error is None:
        return ""
    if isinstance(error, BaseExceptionGroup):
        return f"{type(error).__name__}{[said(each) for each in error.exceptions]}"
    return type(error).__name__ + (str(error)[:25] if isinstance(error, RuntimeError) else repr(error.args))


class Worker:
    """A task of the program: its name, its chance, how deep it was begun, and those tasks for which it may wait."""

    def __init__(self, name: str, seed: int, depth: int, others: int) -> None:
        self.name, self.chance, self.depth, self.others = name, random.Random(seed), depth, others


class Dying:
    """Does something when it is freed."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act

    def __del__(self) -> None:
        self.act()


class World:
    def __init__(self, aio: Any, seed: int) -> None:
        self.aio, self.chance, self.trace = aio, random.Random(seed), []
        self.loop = asyncio.get_running_loop()
        self.steps, self.ends = 0, False
        self.tasks: list[asyncio.Task[Any]] = []
        self.handles: list[asyncio.Handle] = []
        self.futures = [self.loop.create_future() for _ in range(4)]
        self.locks = [aio.Lock(), aio.Lock()]
        self.semaphores = [aio.Semaphore(self.chance.randint(0, 2)), aio.BoundedSemaphore(2)]
        self.events = [aio.Event(), aio.Event()]
        self.conditions = [aio.Condition(), aio.Condition(self.locks[0])]
        self.queues = [aio.Queue(self.chance.choice((0, 1, 2))), aio.PriorityQueue(2), aio.LifoQueue()]
        self.barrier = aio.Barrier(2)

    def log(self, *what: Any) -> None:
        text = " ".join(re.sub(r"RuntimeError\(.*", "RuntimeError", str(each)) for each in what)
        if len(self.trace) < 20_000:
            self.trace.append(text)

    def handler(self, loop: Any, context: dict[str, Any]) -> None:
        if "never retrieved" in context.get("message", ""):
            return  # Told when the task is freed: by asyncio's Python frames often not before the collector comes.
        self.log("handler", re.split("[ \n]<", context.get("message", ""))[0][:40], type(context.get("exception")).__name__)

    def name(self, task: Any) -> str:
        if isinstance(task, asyncio.Task):
            # With a task factory some versions of asyncio name it "None".
            return re.sub(r"Task-\d+|^None$", "Task", task.get_name())
        return "future" if isinstance(task, asyncio.Future) else str(task)

    def state(self, future: Any) -> str:
        if not future.done():
            return "pending"
        if future.cancelled():
            return "cancelled"
        return said(future.exception()) if future.exception() else str(future.result())

    def worker(self, name: str, chance: random.Random, depth: int) -> Any:
        return self.work(Worker(name, chance.getrandbits(60), depth, len(self.tasks) + 1))

    def spawn(self, name: str, chance: random.Random, depth: int, create: Any = None) -> Any:
        coroutine = self.worker(name, chance, depth)
        how = create or chance.choice(
            [self.aio.create_task, self.loop.create_task, lambda it, name: self.aio.ensure_future(it)]
        )
        try:
            task = how(coroutine, name=name)
        except BaseException:
            coroutine.close()
            raise
        task.set_name(name)
        self.tasks.append(task)
        return task

    def other(self, me: Worker) -> Any:
        """One that began later, so that nobody waits for himself in a circle."""
        later = self.tasks[me.others :]
        return me.chance.choice(later) if later else self.aio.ensure_future(self.aio.sleep(0, "none"))

    async def work(self, me: Worker) -> str:
        try:
            for _ in range(me.chance.randint(2, 14)):
                if self.steps > MOST_STEPS:
                    break
                self.steps += 1
                step = me.chance.choice(STEPS)
                try:
                    self.log(me.name, step.__name__, await step(self, me))
                except asyncio.CancelledError as error:
                    task = asyncio.current_task()
                    assert task is not None
                    # In a circle it is as much as the stack held.
                    self.log(me.name, step.__name__, "cancelled", error.args, min(task.cancelling(), 9))
                    draw = me.chance.random()
                    if self.ends or draw > 0.45:
                        raise
                    if draw > 0.25:
                        task.uncancel()
                except Exception as error:
                    self.log(me.name, step.__name__, said(error), said(error.__context__), said(error.__cause__))
                    if me.chance.random() < 0.2:
                        raise
            return me.name
        finally:
            self.log(me.name, "ends")

    async def main(self) -> None:
        self.loop.set_exception_handler(self.handler)
        if self.chance.random() < 0.15 and hasattr(self.aio, "eager_task_factory"):
            self.loop.set_task_factory(self.aio.eager_task_factory)
        if self.chance.random() < 0.1:
            self.loop.set_debug(True)
            self.loop.slow_callback_duration = 1000
        for number in range(self.chance.randint(3, 10)):
            self.spawn(f"t{number}", self.chance, 0)
        for _ in range(120):
            await asyncio.sleep(0)
        self.ends, self.steps = True, MOST_STEPS + 1
        self.log("pending", sorted(self.name(task) for task in self.tasks if not task.done()))
        for _ in range(40):
            if all(task.done() for task in self.tasks):
                break
            for each in [*self.tasks, *self.futures]:
                try:
                    each.cancel("end")
                except RecursionError:  # Groups and gathers made a circle.
                    self.log("circle")
            for _ in range(5):
                await asyncio.sleep(0)
        self.log("left", sorted(self.name(task) for task in self.tasks if not task.done()))
        for task in self.tasks:
            self.log(self.name(task), self.state(task))
        self.log([queue.qsize() for queue in self.queues], [queue._unfinished_tasks for queue in self.queues])
        self.log([lock.locked() for lock in self.locks], [semaphore._value for semaphore in self.semaphores])
        self.log([event.is_set() for event in self.events], self.barrier.n_waiting, self.barrier.broken)


# ---- what a task can do


@step(2)
async def give_way(world: World, me: Worker) -> Any:
    return await world.aio.sleep(0, me.chance.randint(0, 9))


@step()
async def give_way_often(world: World, me: Worker) -> None:
    for _ in range(me.chance.randint(1, 5)):
        await world.aio.sleep(0)


@step()
async def await_future(world: World, me: Worker) -> Any:
    return await me.chance.choice(world.futures)


@step(2)
async def end_future(world: World, me: Worker) -> Any:
    index = me.chance.randrange(len(world.futures))
    future, draw = world.futures[index], me.chance.random()
    if future.done():
        world.futures[index] = world.loop.create_future()
        return "new"
    if draw < 0.5:
        return future.set_result(me.chance.randint(0, 99))
    if draw < 0.75:
        errors = [ValueError("v"), KeyError("k"), TimeoutError("t"), asyncio.CancelledError("c"), EOFError]
        return future.set_exception(me.chance.choice(errors))
    return future.cancel(me.chance.choice([None, "message"]))


@step(2)
async def add_callback(world: World, me: Worker) -> Any:
    future, number = me.chance.choice(world.futures), me.chance.randint(0, 9)
    victim = me.chance.choice(world.tasks)

    def plain(future: Any) -> None:
        world.log("callback", number, world.state(future), variable.get())

    def failing(future: Any) -> None:
        raise ZeroDivisionError(number)

    def changing(future: Any) -> None:
        future.remove_done_callback(changing)
        future.add_done_callback(plain)
        world.futures[0].cancel()

    callback = me.chance.choice([plain, plain, failing, changing, lambda future: victim.cancel("callback")])
    future.add_done_callback(callback)
    return future.remove_done_callback(callback) if me.chance.random() < 0.2 else None


@step(2)
async def spawn(world: World, me: Worker) -> Any:
    if me.depth < 3:
        return world.name(world.spawn(f"{me.name}.{len(world.tasks)}", me.chance, me.depth + 1))
    return None


@step(2)
async def cancel(world: World, me: Worker) -> Any:
    task = me.chance.choice(world.tasks)
    return world.name(task), task.cancel(*me.chance.choice([(), ("a",), ("b",)]))


@step()
async def uncancel(world: World, me: Worker) -> Any:
    return me.chance.choice(world.tasks).uncancel()


@step()
async def cancel_itself(world: World, me: Worker) -> Any:
    task = asyncio.current_task()
    assert task is not None
    return task.cancel("itself")


@step()
async def await_task(world: World, me: Worker) -> Any:
    return await world.other(me)


@step()
async def shield(world: World, me: Worker) -> Any:
    return await world.aio.shield(me.chance.choice([world.other(me), me.chance.choice(world.futures)]))


def some(world: World, me: Worker) -> Any:
    """A task, a future or a coroutine."""
    draw = me.chance.random()
    if draw < 0.4 or me.depth >= 3:
        return world.other(me)
    if draw < 0.7:
        return me.chance.choice(world.futures)
    return world.worker(me.name + "i", me.chance, 3)


@step()
async def gather(world: World, me: Worker) -> Any:
    things = [some(world, me) for _ in range(me.chance.randint(0, 3))]
    return await world.aio.gather(*things, return_exceptions=me.chance.random() < 0.5)


@step()
async def cancel_gather(world: World, me: Worker) -> Any:
    things = [world.other(me), world.other(me), me.chance.choice(world.futures)]
    gathered = world.aio.gather(*things, return_exceptions=me.chance.random() < 0.5)
    await world.aio.sleep(0)
    world.log("gather", gathered.cancel("gather"), gathered.done())
    return await gathered


@step(2)
async def wait(world: World, me: Worker) -> Any:
    when = me.chance.choice([world.aio.FIRST_COMPLETED, world.aio.FIRST_EXCEPTION, world.aio.ALL_COMPLETED])
    things = [world.other(me)]
    done, pending = await world.aio.wait(things, return_when=when, timeout=me.chance.choice([None, 0, 0, 100]))
    return sorted(map(world.name, done)), sorted(map(world.name, pending))


@step(2)
async def wait_for(world: World, me: Worker) -> Any:
    return await world.aio.wait_for(some(world, me), me.chance.choice([None, 0, 100, -1]))


@step(2)
async def timeout(world: World, me: Worker) -> Any:
    async with world.aio.timeout(me.chance.choice([None, 100, 0, -1])) as limit:
        result = await me.chance.choice(STEPS)(world, me)
        if me.chance.random() < 0.3:
            limit.reschedule(me.chance.choice([None, world.loop.time() + 100, world.loop.time() - 1]))
        await world.aio.sleep(0)
    return result, limit.expired()


@step(2)
async def group(world: World, me: Worker) -> Any:
    async with world.aio.TaskGroup() as group:
        for number in range(me.chance.randint(0, 1)):  # More would be cancelled in the order of a set.
            world.spawn(f"{me.name}.g{number}", me.chance, 3, group.create_task)
        draw = me.chance.random()
        if draw < 0.3:
            raise LookupError("group")
        if draw < 0.6:
            await world.aio.sleep(0)
        if draw > 0.9:
            await cancel_itself(world, me)
    return "group"


@step(2)
async def lock(world: World, me: Worker) -> Any:
    lock = me.chance.choice(world.locks)
    async with lock:
        await give_way_often(world, me)
        return lock.locked()


@step()
async def lock_by_hand(world: World, me: Worker) -> Any:
    lock = me.chance.choice(world.locks)
    return lock.release() if me.chance.random() < 0.4 else await lock.acquire()


@step()
async def semaphore(world: World, me: Worker) -> None:
    async with me.chance.choice(world.semaphores):
        await world.aio.sleep(0)


@step()
async def release_semaphore(world: World, me: Worker) -> Any:
    semaphore = me.chance.choice(world.semaphores)
    semaphore.release()
    return semaphore.locked()


@step()
async def event(world: World, me: Worker) -> Any:
    return await me.chance.choice(world.events).wait()


@step()
async def set_event(world: World, me: Worker) -> Any:
    event = me.chance.choice(world.events)
    return (event.set if me.chance.random() < 0.6 else event.clear)()


@step(2)
async def condition(world: World, me: Worker) -> Any:
    condition, draw = me.chance.choice(world.conditions), me.chance.random()
    async with condition:
        if draw < 0.35:
            return await condition.wait()
        if draw < 0.45:
            return await condition.wait_for(lambda: me.chance.random() < 0.5)
        return condition.notify(me.chance.randint(0, 2)) if draw < 0.8 else condition.notify_all()


@step()
async def notify_without(world: World, me: Worker) -> Any:
    return me.chance.choice(world.conditions).notify()


@step(2)
async def put(world: World, me: Worker) -> Any:
    return await me.chance.choice(world.queues).put(me.chance.randint(0, 9))


@step(2)
async def get(world: World, me: Worker) -> Any:
    return await me.chance.choice(world.queues).get()


@step()
async def queue_now(world: World, me: Worker) -> Any:
    queue = me.chance.choice(world.queues)
    acts = [queue.get_nowait, lambda: queue.put_nowait(3), queue.task_done, queue.qsize, queue.full, queue.empty]
    return me.chance.choice(acts)()


@step()
async def join(world: World, me: Worker) -> Any:
    return await me.chance.choice(world.queues).join()


@step()
async def shut_queue(world: World, me: Worker) -> None:
    queue = me.chance.choice(world.queues)
    if me.chance.random() < 0.15 and hasattr(queue, "shutdown"):
        queue.shutdown(me.chance.random() < 0.5)


@step()
async def barrier(world: World, me: Worker) -> Any:
    return await world.barrier.wait()


@step()
async def break_barrier(world: World, me: Worker) -> Any:
    await (world.barrier.reset() if me.chance.random() < 0.6 else world.barrier.abort())
    return world.barrier.broken, world.barrier.n_waiting


@step(2)
async def call_soon(world: World, me: Worker) -> Any:
    number, victim = me.chance.randint(0, 99), me.chance.choice(world.tasks)
    future = me.chance.choice(world.futures)
    acts: list[Callable[[], Any]] = [
        lambda: world.log("soon", number, variable.get()),
        lambda: 1 / 0,
        lambda: victim.cancel("soon"),
        lambda: future.done() or future.set_result(number),
    ]
    world.handles.append(world.loop.call_soon(me.chance.choice(acts)))
    return number


@step()
async def cancel_handle(world: World, me: Worker) -> None:
    if world.handles:
        me.chance.choice(world.handles).cancel()


@step()
async def call_later(world: World, me: Worker) -> None:
    number = me.chance.randint(0, 9)
    world.handles.append(world.loop.call_later(me.chance.choice([0, -1, 1000]), lambda: world.log("later", number)))


@step()
async def set_variable(world: World, me: Worker) -> None:
    variable.set(me.chance.randint(1, 9))


@step()
async def as_completed(world: World, me: Worker) -> Any:
    seen = []
    for each in world.aio.as_completed([some(world, me)], timeout=me.chance.choice([None, 100, 0])):
        try:
            seen.append(await each)
        except Exception as error:
            seen.append(said(error))
    return seen


@step()
async def as_completed_async(world: World, me: Worker) -> Any:
    found = world.aio.as_completed([world.other(me), me.chance.choice(world.futures)])
    if not hasattr(found, "__aiter__"):
        found.close()
        return None
    # Those that are done from the beginning come in the order of a set.
    return sorted([world.state(each) async for each in found])


@step()
async def generator(world: World, me: Worker) -> Any:
    async def numbers() -> Any:
        try:
            for number in range(3):
                await world.aio.sleep(0)
                yield number
        finally:
            world.log("generator ends")

    async for number in numbers():
        if me.chance.random() < 0.3:
            return number
    return None


@step()
async def odd(world: World, me: Worker) -> Any:
    """A bare yield, or what no task can wait for."""

    @types.coroutine
    def bare() -> Any:
        yield me.chance.choice([None, None, 5, object, world.futures[0], world.futures])
        return "odd"

    return await bare()


@step(2)
async def look(world: World, me: Worker) -> Any:
    task = me.chance.choice(world.tasks)
    value = task.get_context().get(variable) if hasattr(task, "get_context") else None
    return (
        world.name(task),
        world.state(task),
        min(task.cancelling(), 9),
        len(task.get_stack()) > 0,
        world.name(asyncio.current_task()),
        value,
    )


@step()
async def free(world: World, me: Worker) -> None:
    """A finalizer that cancels."""
    future, victim = world.loop.create_future(), me.chance.choice(world.tasks)
    dying = Dying(lambda: (world.log("freed"), victim.cancel("freed"), world.futures[0].cancel()))
    future.add_done_callback(lambda _, dying=dying: None)
    future.set_result(dying)
    del dying
    if me.chance.random() < 0.3:
        gc.collect()


@step()
async def run_within(world: World, me: Worker) -> Any:
    coroutine = world.aio.sleep(0)
    try:
        return asyncio.run(coroutine)
    finally:
        coroutine.close()


@step()
async def results(world: World, me: Worker) -> Any:
    return me.chance.choice([*world.futures, *world.tasks]).result()


def trace(aio: Any, make: Callable[[], Any], seed: int) -> list[str]:
    gc.collect()
    gc.set_threshold(*((20, 3, 3) if seed % 4 == 0 else (700, 10, 10)))
    loop, world = make(), None

    async def main() -> None:
        nonlocal world
        world = World(aio, seed)
        await world.main()

    try:
        loop.run_until_complete(main())
        assert world is not None
        # What a circle of cancellations has reached when the stack ends is not compared, nor what follows from it.
        circles = [index for index, line in enumerate(world.trace) if line == "circle" or "RecursionError" in line]
        return world.trace[: circles[0]] if circles else list(world.trace)
    finally:
        loop.close()


def program(number: int) -> str:
    """Where the two traces part, if they do."""
    theirs = trace(asyncio, asyncio.SelectorEventLoop, number)
    ours = trace(rondeau, rondeau.new_event_loop, number)
    if theirs == ours:
        return ""
    for index, (a, b) in enumerate(zip(theirs, ours, strict=False)):
        if a != b:
            return f"line {index}: {theirs[max(0, index - 3) : index]} asyncio {a!r} rondeau {b!r}"
    return f"{len(theirs)} and {len(ours)} lines"
