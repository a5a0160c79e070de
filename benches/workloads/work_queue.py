"""The work-queue example (examples/work_queue.py) as a whole program: workers share a queue of jobs until it is empty."""

import asyncio

from harness.workload import Meter, Timed


async def worker(work: "asyncio.Queue[float]") -> None:
    while not work.empty():
        await asyncio.sleep(await work.get())


async def body(count: int, meter: Meter) -> None:
    with meter:
        work: asyncio.Queue[float] = asyncio.Queue()
        for number in range(count):
            await work.put(0.001 if number % 100 == 0 else 0)
        await asyncio.gather(*[asyncio.create_task(worker(work)) for _ in range(20)])


WORKLOAD = Timed(
    name="work queue",
    operation="one job put, taken by one of twenty workers and slept for: each hundredth 1 ms, the others one turn",
    body=body,
    counts=(50_000,),
)
