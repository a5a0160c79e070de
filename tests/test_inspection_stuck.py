"""Deadlocks are named and nothing else is: each kind of circle, what nobody else knows, and what only looks stuck."""

import pytest

from inspected import judge, look, program


@pytest.fixture(params=["asyncio", "rondeau"])
def names(request):
    return request.param


LOCKS = """
    async def holds(first, second):
        async with first:
            await aio.sleep(0.01)
            async with second:
                pass

"""
END = """
    await aio.sleep(0.05)
    ready()
    await aio.sleep(1000)
"""


def verdict(body, names):
    with program(body, names) as child:
        found = judge(child)
        circles = [sorted(task.name for task in circle) for circle in found.circles]
        return circles, sorted(task.name for task in found.orphans), sorted(task.name for task in found.behind), found.lines()


def test_two_locks_in_opposite_order(names):
    body = (
        LOCKS
        + """
    a, b = aio.Lock(), aio.Lock()
    tasks = [aio.create_task(holds(a, b), name="A"), aio.create_task(holds(b, a), name="B"),
             aio.create_task(holds(a, a), name="C")]
    """
        + END
    )
    circles, orphans, behind, lines = verdict(body, names)
    assert circles == [["A", "B"]]
    assert orphans == []
    assert behind == ["C"]
    assert lines[0] == "deadlock: A waits for B waits for A"


@pytest.mark.parametrize("how", ["async with bell:", "if await bell.acquire():"])
def test_who_waits_in_a_condition_does_not_hold_its_lock(names, how):
    """Neither while it waits to be told, nor while it waits to get the lock back."""
    body = (
        f"""
    bell = aio.Condition()
    async def guest():
        async with bell:
            await bell.wait()
    async def cook():
        {how}
            bell.notify(1)
            await aio.sleep(1000)
    async def late():
        async with bell:
            pass
    tasks = [aio.create_task(guest(), name="told"), aio.create_task(guest(), name="untold")]
    await aio.sleep(0)
    tasks += [aio.create_task(cook(), name="cook"), aio.create_task(late(), name="late")]
    """
        + END
    )
    with program(body, names) as child:
        assert judge(child).lines() == []
        held = {task.name: len(task.holds) for task in look(child).tasks}
        assert [held[name] for name in ("told", "untold", "late")] == [0, 0, 0]
        assert held["cook"] == how.startswith("async")


def test_a_lock_within_itself(names):
    body = (
        LOCKS
        + """
    a = aio.Lock()
    tasks = [aio.create_task(holds(a, a), name="A")]
    """
        + END
    )
    circles, orphans, _, lines = verdict(body, names)
    assert (circles, orphans) == ([["A"]], [])
    assert lines[0] == "deadlock: A waits for A"


def test_a_condition_and_a_lock(names):
    body = (
        LOCKS
        + """
    a, b = aio.Condition(), aio.Lock()
    tasks = [aio.create_task(holds(a, b), name="A"), aio.create_task(holds(b, a), name="B")]
    """
        + END
    )
    assert verdict(body, names)[:2] == ([["A", "B"]], [])


def test_tasks_that_await_each_other(names):
    body = (
        """
    async def awaits(name):
        await aio.sleep(0.01)
        await tasks[name]

    tasks = {}
    for name, other in ("AB", "BC", "CA"):
        tasks[name] = aio.create_task(awaits(other), name=name)
    """
        + END
    )
    circles, orphans, behind, lines = verdict(body, names)
    assert (circles, orphans, behind) == ([["A", "B", "C"]], [], [])
    assert lines[0] in {f"deadlock: {' waits for '.join(turn)}" for turn in ("ABCA", "BCAB", "CABC")}


def test_through_gather_group_wait_and_shield(names):
    body = (
        """
    async def gathers():
        await aio.gather(tasks["B"], aio.sleep(0))

    async def groups():
        async with aio.TaskGroup() as group:
            group.create_task(waits(), name="C")

    async def waits():
        await aio.sleep(0.01)
        await aio.wait([tasks["D"]])

    async def shields():
        await aio.sleep(0.01)
        await aio.shield(tasks["A"])

    tasks = {}
    tasks["B"] = aio.create_task(groups(), name="B")
    tasks["A"] = aio.create_task(gathers(), name="A")
    tasks["D"] = aio.create_task(shields(), name="D")
    """
        + END
    )
    assert verdict(body, names)[:2] == ([["A", "B", "C", "D"]], [])


@pytest.mark.parametrize(
    ("made", "awaited"),
    [
        ("asyncio.get_running_loop().create_future()", "thing"),
        ("aio.Event()", "thing.wait()"),
        ("aio.Queue()", "thing.get()"),
        ("aio.Semaphore(0)", "thing.acquire()"),
    ],
)
def test_what_nobody_else_knows(names, made, awaited):
    body = (
        f"""
    async def waits(thing):
        await {awaited}

    task = aio.create_task(waits({made}), name="A")
    """
        + END
    )
    circles, orphans, _, lines = verdict(body, names)
    assert (circles, orphans) == ([], ["A"])
    assert lines[0].startswith("stuck: A (main.<locals>.waits ")
    assert "nobody else knows of the" in lines[0]


@pytest.mark.parametrize(
    ("made", "body"),
    [
        # Through the bound __aexit__ that the frame keeps, a cell and a function over it, a method of its own.
        ("aio.Condition()", "async with thing:\n            await thing.wait()"),
        ("aio.Condition()", "async with thing:\n            await thing.wait_for(lambda: thing is None)"),
        ("aio.Barrier(2)", "await thing.wait()"),
        ("aio.Event()", "change = thing.set\n        await thing.wait()\n        change()"),
        ("aio.Queue()", "put = lambda: thing.put_nowait(1)\n        await thing.get()\n        put()"),
    ],
)
def test_what_only_its_own_methods_and_functions_know(names, made, body):
    body = (
        f"""
    async def waits(thing):
        {body}

    task = aio.create_task(waits({made}), name="A")
    """
        + END
    )
    assert verdict(body, names)[:2] == ([], ["A"])


def test_several_that_share_what_nobody_else_knows(names):
    body = (
        """
    async def waits(event):
        await event.wait()

    event = aio.Event()
    tasks = [aio.create_task(waits(event), name=name) for name in "AB"]
    del event
    """
        + END
    )
    assert verdict(body, names)[:2] == ([], ["A", "B"])


@pytest.mark.parametrize(
    "body",
    [
        # Somebody else knows it: by a variable, a closure, a timer, a weak reference, a thread's job, another object.
        """
    async def waits():
        await event.wait()

    event = aio.Event()
    task = aio.create_task(waits(), name="A")
    """,
        """
    async def waits(event):
        asyncio.get_running_loop().call_later(500, event.set)
        await event.wait()

    task = aio.create_task(waits(aio.Event()), name="A")
    """,
        """
    import weakref

    async def waits(future):
        seen.append(weakref.ref(future))
        await future

    seen = []
    task = aio.create_task(waits(asyncio.get_running_loop().create_future()), name="A")
    """,
        """
    async def waits():
        await asyncio.get_running_loop().run_in_executor(None, threading.Event().wait, 500)

    task = aio.create_task(waits(), name="A")
    """,
        """
    class Box:
        pass

    async def waits(box):
        await box.event.wait()

    box = Box()
    box.event = aio.Event()
    task = aio.create_task(waits(box), name="A")
    """,
        # Or by one of its methods or a function over it, which this task has as well.
        """
    async def waits(event):
        change = event.set
        seen.append(change)
        await event.wait()
        change()

    seen = []
    task = aio.create_task(waits(aio.Event()), name="A")
    """,
        """
    async def waits(bell):
        ring = lambda: bell.notify_all()
        seen.append(ring)
        async with bell:
            await bell.wait()
        ring()

    seen = []
    task = aio.create_task(waits(aio.Condition()), name="A")
    """,
        """
    async def waits(event):
        pair = (event.set, 1)
        asyncio.get_running_loop().call_later(500, print, pair)
        await event.wait()
        pair[0]()

    task = aio.create_task(waits(aio.Event()), name="A")
    """,
        # A time-out ends it.
        """
    async def waits(event):
        async with aio.timeout(500):
            await event.wait()

    task = aio.create_task(waits(aio.Event()), name="A")
    """,
        """
    async def waits(event):
        await aio.wait_for(event.wait(), 500)

    task = aio.create_task(waits(aio.Event()), name="A")
    """,
        LOCKS
        + """
    async def limited():
        async with b:
            await aio.sleep(0.01)
            async with aio.timeout(500), a:
                pass

    a, b = aio.Lock(), aio.Lock()
    tasks = [aio.create_task(holds(a, b), name="A"), aio.create_task(limited(), name="B")]
    """,
        # Who holds it goes on.
        """
    async def holds():
        async with lock:
            await aio.sleep(1000)

    async def wants():
        async with lock:
            pass

    lock = aio.Lock()
    tasks = [aio.create_task(holds(), name="A"), aio.create_task(wants(), name="B")]
    """,
        # Who holds it is not known, and the lock is.
        """
    async def wants():
        async with lock:
            pass

    lock = aio.Lock()
    await lock.acquire()
    task = aio.create_task(wants(), name="A")
    """,
        # One of several can still end the wait.
        """
    async def ends():
        await aio.sleep(1000)

    async def gathers():
        await aio.gather(tasks["B"], ends())

    async def awaits():
        await aio.sleep(0.01)
        await tasks["A"]

    tasks = {}
    tasks["B"] = aio.create_task(awaits(), name="B")
    tasks["A"] = aio.create_task(gathers(), name="A")
    """,
        # A semaphore with room for more than one has holders who may release it in any order.
        """
    async def holds():
        async with semaphore:
            await aio.sleep(0.01)
            async with semaphore:
                pass

    semaphore = aio.Semaphore(2)
    tasks = [aio.create_task(holds(), name="A"), aio.create_task(holds(), name="B")]
    """,
    ],
)
def test_what_only_looks_stuck(names, body):
    assert verdict(body + END, names) == ([], [], [], [])


def test_a_busy_program_of_locks_is_never_accused(names):
    body = (
        """
    async def works(number):
        while True:
            first, second = sorted((number % 5, (number * 7 + 1) % 5))
            async with locks[first]:
                await aio.sleep(0)
                if second != first:
                    async with locks[second]:
                        await aio.sleep(0)
            number += 1

    locks = [aio.Lock() for _ in range(5)]
    tasks = [aio.create_task(works(number)) for number in range(200)]
    """
        + END
    )
    with program(body, names) as child:
        for _ in range(30):
            assert not judge(child)
