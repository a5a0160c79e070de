"""to_thread, one call after the other: the way to a thread and back with the context, in wall time."""

import asyncio

from harness.workload import Meter, Timed


def nothing() -> None:
    pass


async def body(count: int, meter: Meter) -> None:
    await asyncio.to_thread(nothing)  # the pool starts its thread
    with meter:
        for _ in range(count):
            await asyncio.to_thread(nothing)


WORKLOAD = Timed(
    name="to_thread",
    operation="one `await asyncio.to_thread(f)`, f returns at once; wall time",
    body=body,
    counts=(3000,),
    clock="wall",
)
