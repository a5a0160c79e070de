"""What a server's open connections are counted in. Made by `loop.EventLoop` for each server that starts."""

from __future__ import annotations

import weakref

from . import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio.base_events import Server
    from collections.abc import Iterator
    from typing import Any


class Clients:
    """A server's open connections, kept where they are kept anyway: in the loop's table of descriptors.

    Stands where asyncio's `Server` has a `WeakSet`, which costs 300 bytes a connection.
    """

    def __init__(self, loop: _core.EventLoop, server: Server) -> None:
        self._loop = loop
        self._server = weakref.ref(server)  # Which has this: a server that nobody knows any more is freed at once.
        self._others: set[Any] = set()
        self._count = 0

    def add(self, transport: Any) -> None:
        self._count += 1
        if not isinstance(transport, _core.SocketTransport):
            self._others.add(transport)

    def discard(self, transport: Any) -> None:
        self._count -= 1
        self._others.discard(transport)

    def copy(self) -> list[Any]:
        server = self._server()
        return [*(self._loop._transports_of(server) if server is not None else ()), *self._others]

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Any]:
        return iter(self.copy())
