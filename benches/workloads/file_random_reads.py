"""Random reads of 4 KiB from a file that the page cache has, 64 in flight."""

import asyncio
import os
import random
import tempfile
from collections.abc import Iterator

import aiofiles
import anyio
import rondeau

from harness.ways import compare
from harness.workload import Meter, Timed

SIZE = 4096
PLACES = 4096
TASKS = 64


async def body(count: int, meter: Meter) -> None:
    draw = random.Random(7)
    offsets = [draw.randrange(PLACES) * SIZE for _ in range(count)]
    shares = [offsets[number::TASKS] for number in range(TASKS)]
    with tempfile.NamedTemporaryFile() as file:
        file.write(os.urandom(SIZE * PLACES))
        file.flush()
        name = file.name

        def blocking() -> None:
            fd = os.open(name, os.O_RDONLY)
            for offset in offsets:
                os.pread(fd, SIZE, offset)
            os.close(fd)

        async def ours() -> None:
            async with rondeau.open(name, "rb") as opened:

                async def read(share: list[int]) -> None:
                    for offset in share:
                        await opened.pread(SIZE, offset)

                await asyncio.gather(*map(read, shares))

        async def of_aiofiles() -> None:
            async def read(share: list[int]) -> None:
                async with aiofiles.open(name, "rb", buffering=0) as opened:
                    for offset in share:
                        await opened.seek(offset)
                        await opened.read(SIZE)

            await asyncio.gather(*map(read, shares))

        async def of_anyio() -> None:
            async def read(share: list[int]) -> None:
                async with await anyio.open_file(name, "rb", buffering=0) as opened:
                    for offset in share:
                        await opened.seek(offset)
                        await opened.read(SIZE)

            await asyncio.gather(*map(read, shares))

        async def to_thread() -> None:
            fd = os.open(name, os.O_RDONLY)

            async def read(share: Iterator[int] | list[int]) -> None:
                for offset in share:
                    await asyncio.to_thread(os.pread, fd, SIZE, offset)

            await asyncio.gather(*map(read, shares))
            os.close(fd)

        ways = {"blocking": blocking, "rondeau": ours, "aiofiles": of_aiofiles, "to_thread": to_thread, "anyio": of_anyio}
        await compare(meter, count, ways)


WORKLOAD = Timed(
    name="file random reads",
    operation="4 KiB from a random place of a cached file, 64 tasks at once",
    body=body,
    counts=(12_800,),
    most_rounds=3,
)
