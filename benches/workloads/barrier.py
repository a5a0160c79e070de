"""A barrier at which two tasks meet again and again."""

import asyncio

from harness.workload import Meter, Timed


async def body(count: int, meter: Meter) -> None:
    barrier = asyncio.Barrier(2)

    async def meet() -> None:
        for _ in range(count):
            await barrier.wait()

    with meter:
        await asyncio.gather(meet(), meet())


WORKLOAD = Timed(
    name="Barrier of 2",
    operation="two tasks that meet once: two `await barrier.wait()`",
    body=body,
    counts=(10_000,),
)
