"""The loop's longest stall while 64 large writes, each with an fsync, are in flight.

Not pinned to one core as the other rows are: those compare CPU time, this one asks how long a task waits. The kernel's threads
and an executor's inherit the core, and would have to share it with the loop while another stands idle.
"""

import asyncio
import os
import tempfile

import aiofiles
import rondeau

from harness.process import on_all_cores
from harness.stalls import longest_stall
from harness.ways import on_rondeau
from harness.workload import Meter, Timed

FILES = 64
PIECE = 1 << 20


async def body(count: int, meter: Meter) -> None:
    with on_all_cores():
        await measure(count, meter)


async def measure(count: int, meter: Meter) -> None:
    data = os.urandom(PIECE)
    ours = on_rondeau()
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

        async with longest_stall(meter):
            with meter:
                for _ in range(0, count, FILES):
                    await asyncio.gather(*map(write, range(FILES)))


WORKLOAD = Timed(
    name="file stall",
    operation="one MiB written and synced, 64 files at once; the longest stall of a task that sleeps for a millisecond",
    body=body,
    counts=(256,),
    most_rounds=3,
)
