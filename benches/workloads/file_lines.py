"""The lines of a file, one after the other."""

import os
import tempfile

import aiofiles
import anyio
import rondeau

from harness.ways import Way, compare
from harness.workload import Meter, Timed


async def body(count: int, meter: Meter) -> None:
    folder = tempfile.mkdtemp()
    name = os.path.join(folder, "lines")
    few = max(count // 50, 1)
    with open(name, "w") as file:
        file.writelines(f"{number} the soup is ready and the roast wants another hour\n" for number in range(count))

    def blocking() -> None:
        with open(name) as file:
            for _ in file:
                pass

    async def ours() -> None:
        async with rondeau.open(name) as file:
            async for _ in file:
                pass

    # A fiftieth of the lines, or a round would take minutes.
    async def of_aiofiles() -> None:
        left = few
        async with aiofiles.open(name) as file:
            async for _ in file:
                left -= 1
                if not left:
                    break

    async def of_anyio() -> None:
        left = few
        async with await anyio.open_file(name) as file:
            async for _ in file:
                left -= 1
                if not left:
                    break

    ways: dict[str, Way] = {"blocking": blocking, "rondeau": ours}
    await compare(meter, count, ways)
    if not meter.cpu:
        with meter:
            await of_aiofiles()
        meter.cpu *= 50
    os.remove(name)
    os.rmdir(folder)


WORKLOAD = Timed(
    name="file lines",
    operation="one line of `async for line in file`",
    body=body,
    counts=(1_000_000,),
    most_rounds=3,
)
