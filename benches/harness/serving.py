"""The server half of `Echo` and `Idle` workloads, in the arm's child process.

Beside the server under test it opens a control port on the same loop, over which the parent says `settle` or
`stop`. No thread waits for commands, so an idle server is as idle as the loop can make it.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import cast

from harness.process import settle
from harness.workload import Case, Serve

BACKLOG = 1024


class Control(asyncio.Protocol):
    __slots__ = ("stop", "transport")

    def __init__(self, stop: asyncio.Event) -> None:
        self.stop = stop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not every loop's transports are instances of asyncio's classes.
        self.transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        for command in data.split():
            if command == b"settle":
                settle()
                self.transport.write(b"settled\n")
            elif command == b"stop":
                self.transport.write(b"stopped\n")
                self.transport.close()
                self.stop.set()


def listen() -> socket.socket:
    """A listener that names its protocol: asyncio sets TCP_NODELAY only where it is TCP, not 0."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


async def until_stopped(serve: Serve, case: Case, ready: Callable[[int, int], None]) -> None:
    """Serves until the control port says stop. `ready` is given the server's and the control's port."""
    stop = asyncio.Event()
    with listen() as listener, listen() as control_listener:
        ports = listener.getsockname()[1], control_listener.getsockname()[1]
        loop = asyncio.get_running_loop()
        control = await loop.create_server(lambda: Control(stop), sock=control_listener)
        async with serve(listener, case):
            ready(*ports)
            await stop.wait()
        control.close()
