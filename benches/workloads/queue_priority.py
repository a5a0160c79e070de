"""A priority queue of a thousand items between put_nowait and get: nothing waits."""

import asyncio

from harness.workload import Meter, Timed

DEPTH = 1000


async def body(count: int, meter: Meter) -> None:
    queue: asyncio.PriorityQueue[int] = asyncio.PriorityQueue()
    for number in range(DEPTH):
        queue.put_nowait(number)
    with meter:
        for number in range(count):
            queue.put_nowait(number)
            await queue.get()


WORKLOAD = Timed(
    name="PriorityQueue.get",
    operation="one put_nowait and one `await queue.get()` among a thousand items",
    body=body,
    counts=(100_000,),
)
