"""as_completed of ten coroutines that return at once."""

import asyncio

from harness.workload import Meter, Timed


async def nothing() -> None:
    pass


async def body(count: int, meter: Meter) -> None:
    with meter:
        for _ in range(0, count, 10):
            for each in asyncio.as_completed([nothing() for _ in range(10)]):
                await each


WORKLOAD = Timed(
    name="as_completed of 10",
    operation="one coroutine that returns at once, of ten in an as_completed",
    body=body,
    counts=(20_000,),
)
