"""A semaphore that has room."""

import asyncio

from harness.workload import Meter, Timed


async def body(count: int, meter: Meter) -> None:
    semaphore = asyncio.Semaphore(2)
    with meter:
        for _ in range(count):
            async with semaphore:
                pass


WORKLOAD = Timed(
    name="Semaphore uncontended",
    operation="one `async with semaphore` that never waits",
    body=body,
    counts=(200_000,),
)
