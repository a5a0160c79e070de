"""A task group of ten tasks that return at once."""

import asyncio

from harness.workload import Meter, Timed


async def nothing() -> None:
    pass


async def body(count: int, meter: Meter) -> None:
    with meter:
        for _ in range(0, count, 10):
            async with asyncio.TaskGroup() as group:
                for _ in range(10):
                    group.create_task(nothing())


WORKLOAD = Timed(
    name="TaskGroup of 10",
    operation="one task that returns at once, of ten in a TaskGroup",
    body=body,
    counts=(50_000,),
)
