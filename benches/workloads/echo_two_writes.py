"""TCP echo as a Protocol that writes a header, then the body, as HTTP servers do."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import cast

from harness.workload import Case, Echo

HEADER = b"H" * 64


class HeaderThenBody(asyncio.Protocol):
    __slots__ = ("left", "size", "transport")

    def __init__(self, size: int) -> None:
        self.size = size
        self.left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        if not self.left:
            self.transport.write(HEADER)
            self.left = self.size
        self.left -= len(data)
        self.transport.write(data)


@contextlib.asynccontextmanager
async def serve(listener: socket.socket, case: Case) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: HeaderThenBody(case.size), sock=listener, backlog=1024)
    yield
    server.close()


WORKLOAD = Echo(
    name="echo two writes",
    operation="one message echoed after a header of 64 B: two writes in one data_received",
    serve=serve,
    header=len(HEADER),
)
