"""Lines of 100 bytes, a hundred at a time through a socket pair; the sender's one send() for these is counted too."""

import asyncio
import socket

from harness.workload import Meter, Timed

LINES = 100
BLOCK = (b"x" * 99 + b"\n") * LINES


async def body(count: int, meter: Meter) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        reader, writer = await asyncio.open_connection(sock=ours)

        async def read(blocks: int) -> None:
            for _ in range(blocks):
                theirs.send(BLOCK)
                for _ in range(LINES):
                    line = await reader.readline()
                assert len(line) == 100

        await read(10)
        with meter:
            await read(count // LINES)
        writer.close()
        await writer.wait_closed()


WORKLOAD = Timed(
    name="readline",
    operation="one line of 100 bytes by readline, of a hundred that came together",
    body=body,
    counts=(100_000,),
)
