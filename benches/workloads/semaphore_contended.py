"""Ten tasks share a semaphore of two, and a holder gives way while it has it."""

import asyncio

from harness.workload import Meter, Timed

TASKS = 10


async def hold(semaphore: asyncio.Semaphore, count: int) -> None:
    for _ in range(count):
        async with semaphore:
            await asyncio.sleep(0)


async def body(count: int, meter: Meter) -> None:
    semaphore = asyncio.Semaphore(2)
    with meter:
        await asyncio.gather(*[hold(semaphore, count // TASKS) for _ in range(TASKS)])


WORKLOAD = Timed(
    name="Semaphore contended",
    operation="one `async with semaphore: await sleep(0)`, ten tasks for two places",
    body=body,
    counts=(30_000,),
)
