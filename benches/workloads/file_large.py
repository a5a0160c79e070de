"""Large files read whole, all at once, from the page cache; and the loop's longest stall meanwhile.

On all cores, as `file_stall` is.
"""

import asyncio
import os
import pathlib
import tempfile

import aiofiles
import rondeau

from harness.process import on_all_cores
from harness.stalls import longest_stall
from harness.ways import on_rondeau
from harness.workload import Meter, Timed

PIECE = 1 << 20


async def body(count: int, meter: Meter) -> None:
    with on_all_cores():
        await measure(count, meter)


async def measure(count: int, meter: Meter) -> None:
    ours = on_rondeau()
    with tempfile.TemporaryDirectory() as folder:
        names = [f"{folder}/{number}" for number in range(count)]
        for name in names:
            pathlib.Path(name).write_bytes(os.urandom(PIECE))

        async def read(name: str) -> int:
            if ours:
                return len(await rondeau.Path(name).read_bytes())
            async with aiofiles.open(name, "rb") as file:
                return len(await file.read())

        await read(names[0])
        async with longest_stall(meter):
            with meter:
                assert sum(await asyncio.gather(*map(read, names))) == count * PIECE


WORKLOAD = Timed(
    name="file large",
    operation="one file of a MiB, 256 at once: opened, read, closed; the longest stall of a task that sleeps for a millisecond",
    body=body,
    counts=(256,),
    most_rounds=3,
)
