"""A future that the next turn resolves: what every library's own waiting is made of."""

import asyncio

from harness.workload import Meter, Timed


async def body(count: int, meter: Meter) -> None:
    loop = asyncio.get_running_loop()
    with meter:
        for _ in range(count):
            future = loop.create_future()
            loop.call_soon(future.set_result, None)
            await future


WORKLOAD = Timed(
    name="future await",
    operation="one create_future, call_soon(set_result) and await of it",
    body=body,
    counts=(50_000,),
)
