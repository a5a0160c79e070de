"""UDP: two endpoints of one loop that send a datagram to and fro, several of them on their way at a time."""

import asyncio
from typing import Any, cast

from harness.workload import Meter, Timed

ON_THE_WAY = 16


class Answer(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(data, addr)


class Count(Answer):
    def __init__(self, count: int) -> None:
        self.left = count
        self.done = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.left -= 1
        if self.left >= ON_THE_WAY:
            self.transport.sendto(data, addr)
        elif not self.left:
            self.done.set_result(None)


async def body(count: int, meter: Meter) -> None:
    loop = asyncio.get_running_loop()
    answering, _ = await loop.create_datagram_endpoint(Answer, local_addr=("127.0.0.1", 0))
    counting, counter = await loop.create_datagram_endpoint(lambda: Count(count), local_addr=("127.0.0.1", 0))
    address = answering.get_extra_info("sockname")
    with meter:
        for _ in range(ON_THE_WAY):
            counting.sendto(bytes(1024), address)
        await counter.done
    answering.close()
    counting.close()
    await asyncio.sleep(0)


WORKLOAD = Timed(
    name="datagrams to and fro",
    operation="1 KiB sent by UDP, received, sent back and received: two endpoints on one loop, 16 datagrams on their way",
    body=body,
    counts=(10_000,),
)
