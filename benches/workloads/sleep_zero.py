"""One task gives way, again and again."""

import asyncio

from harness.workload import Meter, Timed


async def body(count: int, meter: Meter) -> None:
    with meter:
        for _ in range(count):
            await asyncio.sleep(0)


WORKLOAD = Timed(
    name="sleep(0)",
    operation="one `await asyncio.sleep(0)` in the only task",
    body=body,
    counts=(100_000,),
)
