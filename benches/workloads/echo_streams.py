"""TCP echo over StreamReader and StreamWriter."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from harness.workload import Case, Echo


@contextlib.asynccontextmanager
async def serve(listener: socket.socket, case: Case) -> AsyncIterator[None]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                writer.write(await reader.readexactly(case.size))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, sock=listener, backlog=1024)
    yield
    server.close()


WORKLOAD = Echo(
    name="echo streams",
    operation="one message by readexactly, write and drain",
    serve=serve,
)
