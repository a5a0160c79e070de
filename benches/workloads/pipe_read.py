"""1 GiB out of a child, which writes 64 KiB at a time, through a pipe into a protocol. The child's own CPU is not counted."""

import asyncio
from asyncio.subprocess import DEVNULL, PIPE

from harness.workload import Meter, Timed

MIB = 1024 * 1024


class Count(asyncio.SubprocessProtocol):
    def __init__(self) -> None:
        self.received = 0
        self.ended = asyncio.get_running_loop().create_future()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.received += len(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.ended.set_result(None)


async def body(count: int, meter: Meter) -> None:
    loop = asyncio.get_running_loop()
    with meter:
        transport, protocol = await loop.subprocess_exec(
            Count, "dd", "if=/dev/zero", "bs=64k", f"count={count * 16}", "status=none", stdin=DEVNULL, stdout=PIPE, stderr=None
        )
        await protocol.ended
    assert protocol.received == count * MIB
    transport.close()


WORKLOAD = Timed(
    name="pipe read",
    operation="one MiB out of a child's pipe, of a GiB; the child's own CPU excluded",
    body=body,
    counts=(1024,),
)
