"""The loop's longest stall while 64 large writes, each with an fsync, are in flight.

Not pinned to one core as the other rows are: those compare CPU time, this one asks how long a task waits. The kernel's threads
and an executor's inherit the core, and would have to share it with the loop while another stands idle.
"""

import asyncio
import os
import tempfile
import time
from pathlib import Path

import aiofiles
import rondeau

from harness.process import on_all_cores
from harness.ways import on_rondeau
from harness.workload import Meter, Timed

TICK = 0.001
FILES = 64
PIECE = 1 << 20


def waited() -> float:
    """How long this thread was ready to run and had no core, in seconds: on a busy machine that is no fault of the loop's."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


async def body(count: int, meter: Meter) -> None:
    with on_all_cores():
        await measure(count, meter)


async def measure(count: int, meter: Meter) -> None:
    data = os.urandom(PIECE)
    ours = on_rondeau()
    worst = worst_on_core = 0.0
    with tempfile.TemporaryDirectory() as folder:

        async def write(number: int) -> None:
            name = f"{folder}/{number}"
            if ours:
                async with rondeau.open(name, "wb") as file:
                    await file.write(data)
                    await file.fsync()
            else:
                async with aiofiles.open(name, "wb") as file:
                    await file.write(data)
                    await file.flush()
                    await asyncio.to_thread(os.fsync, file.fileno())

        async def watch() -> None:
            nonlocal worst, worst_on_core
            while True:
                due, queued = time.perf_counter() + TICK, waited()
                await asyncio.sleep(TICK)
                late = time.perf_counter() - due
                worst = max(worst, late)
                worst_on_core = max(worst_on_core, late - (waited() - queued))

        watching = asyncio.create_task(watch())
        await asyncio.sleep(5 * TICK)
        with meter:
            for _ in range(0, count, FILES):
                await asyncio.gather(*map(write, range(FILES)))
        watching.cancel()
        await asyncio.wait([watching])
    meter.figure("longest stall", "ms", worst * 1000)
    meter.figure("longest stall but for waiting for a core", "ms", worst_on_core * 1000)


WORKLOAD = Timed(
    name="file stall",
    operation="one MiB written and synced, 64 files at once; the longest stall of a task that sleeps for a millisecond",
    body=body,
    counts=(256,),
    most_rounds=3,
)
