"""A lock that nobody else wants."""

import asyncio

from harness.workload import Meter, Timed


async def body(count: int, meter: Meter) -> None:
    lock = asyncio.Lock()
    with meter:
        for _ in range(count):
            async with lock:
                pass


WORKLOAD = Timed(
    name="Lock uncontended",
    operation="one `async with lock` that never waits",
    body=body,
    counts=(200_000,),
)
