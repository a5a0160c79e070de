"""A large file written and read from end to end, a MiB at a time."""

import os
import tempfile

import aiofiles
import rondeau

from harness.ways import compare
from harness.workload import Meter, Timed

PIECE = 1 << 20


async def body(count: int, meter: Meter) -> None:
    data = os.urandom(PIECE)
    with tempfile.TemporaryDirectory() as folder:
        name = f"{folder}/large"

        def write() -> None:
            with open(name, "wb") as file:
                for _ in range(count):
                    file.write(data)

        async def write_ours() -> None:
            async with rondeau.open(name, "wb") as file:
                for _ in range(count):
                    await file.write(data)

        async def write_aiofiles() -> None:
            async with aiofiles.open(name, "wb") as file:
                for _ in range(count):
                    await file.write(data)

        def read() -> None:
            with open(name, "rb") as file:
                while file.read(PIECE):
                    pass

        async def read_ours() -> None:
            async with rondeau.open(name, "rb") as file:
                while await file.read(PIECE):
                    pass

        async def read_aiofiles() -> None:
            async with aiofiles.open(name, "rb") as file:
                while await file.read(PIECE):
                    pass

        writing, reading = Meter(), Meter()
        await compare(writing, count, {"blocking": write, "rondeau": write_ours, "aiofiles": write_aiofiles})
        await compare(reading, count, {"blocking": read, "rondeau": read_ours, "aiofiles": read_aiofiles})
        meter.cpu = writing.cpu + reading.cpu
        for name, part in (("write", writing), ("read", reading)):
            meter.figure(name, "ns", part.cpu / count)
            for figure in part.figures:
                meter.figure(f"{name}: {figure.name}", figure.unit, figure.value)


WORKLOAD = Timed(
    name="file sequential",
    operation="one MiB written and read again, of a file of 1 GiB",
    body=body,
    counts=(1024,),
    most_rounds=2,
)
