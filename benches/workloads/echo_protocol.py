"""TCP echo as a Protocol, one write per message."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import cast

from harness.workload import Case, Echo


class EchoProtocol(asyncio.Protocol):
    __slots__ = ("transport",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


@contextlib.asynccontextmanager
async def serve(listener: socket.socket, _: Case) -> AsyncIterator[None]:
    server = await asyncio.get_running_loop().create_server(EchoProtocol, sock=listener, backlog=1024)
    yield
    server.close()


WORKLOAD = Echo(
    name="echo protocol",
    operation="one message echoed by data_received and one write",
    serve=serve,
)
