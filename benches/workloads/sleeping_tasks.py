"""A great many tasks asleep at once: time and memory must grow no faster than their number."""

import asyncio

from harness.process import private_memory, settle
from harness.workload import Meter, Timed

# The last task must be asleep, and memory read, before the first wakes.
SECONDS_EACH = 40e-6


async def body(count: int, meter: Meter) -> None:
    loop = asyncio.get_running_loop()
    awake = 0

    async def sleeper(delay: float) -> None:
        nonlocal awake
        await asyncio.sleep(delay)
        awake += 1

    settle()
    before = private_memory()
    delay = 0.5 + count * SECONDS_EACH
    with meter:
        tasks = [loop.create_task(sleeper(delay)) for _ in range(count)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    settle()
    memory = private_memory() - before
    if awake:
        raise RuntimeError(f"{awake} tasks woke before all were asleep: the machine is too slow for this row")
    with meter:
        for task in tasks:
            await task
    assert awake == count, awake
    meter.figure("memory", "B", memory / count)


WORKLOAD = Timed(
    name="sleeping tasks",
    operation="one task: created, asleep with all the others, woken, awaited; memory a task while all sleep",
    body=body,
    counts=(25_000, 50_000, 100_000, 200_000),
    fresh=True,
    most_rounds=3,
)
