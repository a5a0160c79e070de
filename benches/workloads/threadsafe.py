"""call_soon_threadsafe from the loop's own thread, a chain: the price of the thread-safe path itself."""

import asyncio

from harness.workload import Meter, Timed


async def body(count: int, meter: Meter) -> None:
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    left = count

    def step() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_soon_threadsafe(step)
        else:
            done.set_result(None)

    with meter:
        loop.call_soon_threadsafe(step)
        await done


WORKLOAD = Timed(
    name="call_soon_threadsafe",
    operation="one callback that calls call_soon_threadsafe for the next, on the loop's thread",
    body=body,
    counts=(50_000,),
)
