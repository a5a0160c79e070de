"""Ten tasks want one lock, and the holder gives way while it has it."""

import asyncio

from harness.workload import Meter, Timed

TASKS = 10


async def hold(lock: asyncio.Lock, count: int) -> None:
    for _ in range(count):
        async with lock:
            await asyncio.sleep(0)


async def body(count: int, meter: Meter) -> None:
    lock = asyncio.Lock()
    with meter:
        await asyncio.gather(*[hold(lock, count // TASKS) for _ in range(TASKS)])


WORKLOAD = Timed(
    name="Lock contended",
    operation="one `async with lock: await sleep(0)`, ten tasks waiting in line",
    body=body,
    counts=(30_000,),
)
