"""A thousand callbacks at once, then a turn: what a handle costs when the turn's cost is shared."""

import asyncio

from harness.workload import Meter, Timed

BATCH = 1000


async def body(count: int, meter: Meter) -> None:
    loop = asyncio.get_running_loop()
    ran = 0

    def step() -> None:
        nonlocal ran
        ran += 1

    with meter:
        for _ in range(0, count, BATCH):
            for _ in range(min(BATCH, count)):
                loop.call_soon(step)
            await asyncio.sleep(0)
    assert ran == count, ran


WORKLOAD = Timed(
    name="call_soon batch",
    operation="one call_soon and its callback, of 1,000 scheduled in one turn",
    body=body,
    counts=(200_000,),
)
