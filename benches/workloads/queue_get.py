"""An unbounded queue between put_nowait and get: nothing waits, so it is the queue's own cost."""

import asyncio

from harness.workload import Meter, Timed


async def body(count: int, meter: Meter) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()
    with meter:
        for number in range(count):
            queue.put_nowait(number)
            await queue.get()


WORKLOAD = Timed(
    name="unbounded Queue.get",
    operation="one put_nowait and one `await queue.get()` that finds the item",
    body=body,
    counts=(200_000,),
)
