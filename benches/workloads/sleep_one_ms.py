"""Many short sleeps at once: timers that do come due."""

import asyncio

from harness.workload import Meter, Timed

TOGETHER = 100


async def body(count: int, meter: Meter) -> None:
    with meter:
        for _ in range(0, count, TOGETHER):
            await asyncio.gather(*[asyncio.sleep(0.001) for _ in range(TOGETHER)])


WORKLOAD = Timed(
    name="gather of 1 ms sleeps",
    operation="one asyncio.sleep(0.001) of 100 in one gather",
    body=body,
    counts=(10_000,),
)
