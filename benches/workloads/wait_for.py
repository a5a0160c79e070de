"""wait_for round a coroutine that returns at once; its timeout does not strike."""

import asyncio

from harness.workload import Meter, Timed


async def nothing() -> None:
    pass


async def body(count: int, meter: Meter) -> None:
    with meter:
        for _ in range(count):
            await asyncio.wait_for(nothing(), 10)


WORKLOAD = Timed(
    name="wait_for",
    operation="one `await asyncio.wait_for(f(), 10)`, f returns at once",
    body=body,
    counts=(40_000,),
)
