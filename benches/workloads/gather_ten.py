"""gather of ten coroutines that return at once."""

import asyncio

from harness.workload import Meter, Timed


async def nothing() -> None:
    pass


async def body(count: int, meter: Meter) -> None:
    with meter:
        for _ in range(0, count, 10):
            await asyncio.gather(*[nothing() for _ in range(10)])


WORKLOAD = Timed(
    name="gather of 10 no-ops",
    operation="one coroutine that returns at once, of ten in a gather",
    body=body,
    counts=(50_000,),
)
