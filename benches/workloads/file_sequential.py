"""A large file written and read from end to end, a MiB at a time.

Each way writes a file that is not there yet, with nothing else waiting for the disk, into memory that another file has just
given back: to empty a GiB costs a part of writing it, and memory that a virtual machine must first get from its host ten times
the writing.
"""

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

        def clean() -> None:
            write()
            os.sync()
            os.remove(name)

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
        await compare(writing, count, {"blocking": write, "rondeau": write_ours, "aiofiles": write_aiofiles}, clean)
        await compare(reading, count, {"blocking": read, "rondeau": read_ours, "aiofiles": read_aiofiles})
        meter.cpu = writing.cpu + reading.cpu
        for way, part in (("write", writing), ("read", reading)):
            meter.figure(way, "ns", part.cpu / count)
            for figure in part.figures:
                meter.figure(f"{way}: {figure.name}", figure.unit, figure.value)


WORKLOAD = Timed(
    name="file sequential",
    operation="one MiB written and read again, of a file of 1 GiB",
    body=body,
    counts=(1024,),
    most_rounds=2,
)
