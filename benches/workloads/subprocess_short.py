"""Short children, one after the other: a start, an end learnt, no pipes. The child's own CPU is not counted."""

import asyncio

from harness.workload import Meter, Timed


async def body(count: int, meter: Meter) -> None:
    with meter:
        for _ in range(count):
            process = await asyncio.create_subprocess_exec("/bin/true")
            await process.wait()


WORKLOAD = Timed(
    name="short child",
    operation='one `create_subprocess_exec("/bin/true")` and its `wait()`; the child\'s own CPU excluded',
    body=body,
    counts=(1000,),
)
