"""`communicate` with 1 KiB to `cat` and back, one child after the other. The child's own CPU is not counted."""

import asyncio
from asyncio.subprocess import PIPE

from harness.workload import Meter, Timed

DATA = bytes(1024)


async def body(count: int, meter: Meter) -> None:
    with meter:
        for _ in range(count):
            process = await asyncio.create_subprocess_exec("/bin/cat", stdin=PIPE, stdout=PIPE)
            out, _ = await process.communicate(DATA)
            assert len(out) == len(DATA)


WORKLOAD = Timed(
    name="communicate 1 KiB",
    operation="one child `cat` with `communicate` of 1 KiB; the child's own CPU excluded",
    body=body,
    counts=(300,),
)
