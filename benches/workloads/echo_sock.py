"""TCP echo over sock_recv and sock_sendall, a task a connection."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from harness.workload import Case, Echo

ROOM = 256 * 1024


async def answer(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    with connection, contextlib.suppress(ConnectionError):
        while data := await loop.sock_recv(connection, ROOM):
            await loop.sock_sendall(connection, data)


async def accept(listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()
    while True:
        connection, _ = await loop.sock_accept(listener)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = loop.create_task(answer(connection))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


@contextlib.asynccontextmanager
async def serve(listener: socket.socket, _: Case) -> AsyncIterator[None]:
    accepting = asyncio.get_running_loop().create_task(accept(listener))
    yield
    accepting.cancel()
    await asyncio.wait([accepting])


WORKLOAD = Echo(
    name="echo sock_*",
    operation="one message by sock_recv and sock_sendall",
    serve=serve,
)
