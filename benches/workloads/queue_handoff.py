"""A queue of one place between a producer and a consumer: each item makes both wait."""

import asyncio

from harness.workload import Meter, Timed


async def produce(queue: asyncio.Queue[int], count: int) -> None:
    for number in range(count):
        await queue.put(number)


async def body(count: int, meter: Meter) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue(1)
    with meter:
        producer = asyncio.get_running_loop().create_task(produce(queue, count))
        for _ in range(count):
            await queue.get()
        await producer


WORKLOAD = Timed(
    name="Queue(1) handoff",
    operation="one item put by one task and got by another",
    body=body,
    counts=(30_000,),
)
