"""Timers that are cancelled before they are due, all in one turn: the heap and its clean-up under load."""

import asyncio

from harness.workload import Meter, Timed


def never() -> None:
    raise AssertionError("a cancelled timer ran")


async def body(count: int, meter: Meter) -> None:
    loop = asyncio.get_running_loop()
    with meter:
        for _ in range(count):
            loop.call_later(10, never).cancel()
        await asyncio.sleep(0)


WORKLOAD = Timed(
    name="call_later + cancel",
    operation="one call_later(10, f) and the cancel of its handle, 100,000 in one turn",
    body=body,
    counts=(100_000,),
)
