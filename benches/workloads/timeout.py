"""asyncio.timeout round something that waits one turn; it does not strike."""

import asyncio

from harness.workload import Meter, Timed


async def body(count: int, meter: Meter) -> None:
    with meter:
        for _ in range(count):
            async with asyncio.timeout(10):
                await asyncio.sleep(0)


WORKLOAD = Timed(
    name="asyncio.timeout",
    operation="one `async with asyncio.timeout(10): await sleep(0)`",
    body=body,
    counts=(40_000,),
)
