"""Small files read whole, one after the other."""

import asyncio
import pathlib
import tempfile

import aiofiles
import anyio
from rondeau import files

from harness.ways import compare
from harness.workload import Meter, Timed


async def body(count: int, meter: Meter) -> None:
    with tempfile.TemporaryDirectory() as folder:
        names = [f"{folder}/{number}" for number in range(count)]
        for name in names:
            pathlib.Path(name).write_bytes(b"soup" * 300)

        def read(name: str) -> bytes:
            with open(name, "rb") as file:
                return file.read()

        def blocking() -> None:
            for name in names:
                read(name)

        async def ours() -> None:
            for name in names:
                await files.read_bytes(name)

        async def of_aiofiles() -> None:
            for name in names:
                async with aiofiles.open(name, "rb") as file:
                    await file.read()

        async def of_anyio() -> None:
            for name in names:
                await anyio.Path(name).read_bytes()

        async def to_thread() -> None:
            for name in names:
                await asyncio.to_thread(read, name)

        ways = {"blocking": blocking, "rondeau": ours, "aiofiles": of_aiofiles, "to_thread": to_thread, "anyio": of_anyio}
        await compare(meter, count, ways)


WORKLOAD = Timed(
    name="file small",
    operation="one file of 1200 bytes: opened, read, closed",
    body=body,
    counts=(10_000,),
    most_rounds=3,
)
