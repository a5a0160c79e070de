"""Timers that are cancelled before they are due, a hundred a turn, as the timeouts of a busy server are."""

import asyncio

from harness.workload import Meter, Timed

BATCH = 100


def never() -> None:
    raise AssertionError("a cancelled timer ran")


async def body(count: int, meter: Meter) -> None:
    loop = asyncio.get_running_loop()
    with meter:
        for _ in range(0, count, BATCH):
            for _ in range(BATCH):
                loop.call_later(10, never).cancel()
            await asyncio.sleep(0)


WORKLOAD = Timed(
    name="call_later + cancel, 100 a turn",
    operation="one call_later(10, f) and the cancel of its handle, 100 in a turn",
    body=body,
    counts=(100_000,),
)
