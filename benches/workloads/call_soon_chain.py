"""A callback that schedules itself again: one handle a turn, so the turn's fixed cost shows."""

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
            loop.call_soon(step)
        else:
            done.set_result(None)

    with meter:
        loop.call_soon(step)
        await done


WORKLOAD = Timed(
    name="call_soon chain",
    operation="one callback that calls call_soon for the next; one turn of the loop each",
    body=body,
    counts=(100_000,),
)
