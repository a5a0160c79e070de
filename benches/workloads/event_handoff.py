"""Two tasks that wake each other by two events: each waits every time."""

import asyncio

from harness.workload import Meter, Timed


async def answer(asked: asyncio.Event, answered: asyncio.Event, count: int) -> None:
    for _ in range(count):
        await asked.wait()
        asked.clear()
        answered.set()


async def body(count: int, meter: Meter) -> None:
    asked, answered = asyncio.Event(), asyncio.Event()
    with meter:
        other = asyncio.get_running_loop().create_task(answer(asked, answered, count))
        for _ in range(count):
            asked.set()
            await answered.wait()
            answered.clear()
        await other


WORKLOAD = Timed(
    name="Event handoff",
    operation="one event set by one task and answered by another's, two waits",
    body=body,
    counts=(30_000,),
)
