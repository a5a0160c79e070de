"""A task is made and awaited; it never suspends."""

import asyncio

from harness.workload import Meter, Timed


async def nothing() -> None:
    pass


async def body(count: int, meter: Meter) -> None:
    loop = asyncio.get_running_loop()
    with meter:
        for _ in range(count):
            await loop.create_task(nothing())


WORKLOAD = Timed(
    name="create_task + await",
    operation="one task that returns at once, created and awaited",
    body=body,
    counts=(40_000,),
)
