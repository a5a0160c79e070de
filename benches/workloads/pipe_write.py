"""1 GiB into a child, through a pipe, 64 KiB a write, with `drain`. The child's own CPU is not counted."""

import asyncio
from asyncio.subprocess import DEVNULL, PIPE

from harness.workload import Meter, Timed

PIECE = bytes(64 * 1024)
PIECES_IN_A_MIB = 16


async def body(count: int, meter: Meter) -> None:
    with meter:
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=DEVNULL)
        assert process.stdin is not None
        for _ in range(count * PIECES_IN_A_MIB):
            process.stdin.write(PIECE)
            await process.stdin.drain()
        process.stdin.close()
        assert await process.wait() == 0


WORKLOAD = Timed(
    name="pipe write",
    operation="one MiB into a child's pipe, of a GiB, 64 KiB a write; the child's own CPU excluded",
    body=body,
    counts=(1024,),
)
