"""An event that is set before anybody waits for it."""

import asyncio

from harness.workload import Meter, Timed


async def body(count: int, meter: Meter) -> None:
    event = asyncio.Event()
    with meter:
        for _ in range(count):
            event.set()
            await event.wait()
            event.clear()


WORKLOAD = Timed(
    name="Event uncontended",
    operation="one set(), `await wait()` that finds it set, clear()",
    body=body,
    counts=(200_000,),
)
