"""A condition between a task that notifies and one that waits for a number to rise."""

import asyncio

from harness.workload import Meter, Timed


async def consume(condition: asyncio.Condition, have: list[int], count: int) -> None:
    for number in range(1, count + 1):
        async with condition:
            while have[0] < number:
                await condition.wait()


async def body(count: int, meter: Meter) -> None:
    condition, have = asyncio.Condition(), [0]
    with meter:
        consumer = asyncio.get_running_loop().create_task(consume(condition, have, count))
        for _ in range(count):
            async with condition:
                have[0] += 1
                condition.notify()
            await asyncio.sleep(0)
        await consumer


WORKLOAD = Timed(
    name="Condition notify",
    operation="one notify() under the lock, and the waiter that it wakes",
    body=body,
    counts=(30_000,),
)
