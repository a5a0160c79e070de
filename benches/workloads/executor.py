"""run_in_executor, one call after the other: the way to a thread and back, in wall time."""

import asyncio

from harness.workload import Meter, Timed


def nothing() -> None:
    pass


async def body(count: int, meter: Meter) -> None:
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, nothing)  # the pool starts its thread
    with meter:
        for _ in range(count):
            await loop.run_in_executor(None, nothing)


WORKLOAD = Timed(
    name="run_in_executor",
    operation="one `await loop.run_in_executor(None, f)`, f returns at once; wall time",
    body=body,
    counts=(3000,),
    clock="wall",
)
