"""The socket that won a race of connects, while nobody has it yet: `create_connection(happy_eyeballs_delay=…)`.

Called by `EventLoop.create_connection` and `EventLoop._connect_sock`. asyncio's own code runs the race; the winner's
socket is a local variable there until the race is over. Cancelled in between, it raises, and the socket, open and connected, is
left to the collector (on asyncio too). Here it is closed.

Invariant: a race is open exactly while its `create_connection` runs; what connects in a context that outlives it is not noted.

Rejected: looking for the variable in the traceback's frames, whose names are CPython's own; a race of our own, which would have
to follow each Python's.
"""

from __future__ import annotations

from contextvars import ContextVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Coroutine
    from typing import Any, TypeVar

    T = TypeVar("T")

_race: ContextVar[Race] = ContextVar("rondeau's race of connects")


class Race:
    """The sockets that are connected; None once it is over."""

    __slots__ = ("connected",)

    def __init__(self) -> None:
        self.connected: list[socket.socket] | None = []


async def race(connecting: Coroutine[Any, Any, T]) -> T:
    """Await asyncio's `create_connection`; if it raises, close what it had connected."""
    this = Race()
    token = _race.set(this)  # The race's tasks take it over with the context.
    try:
        return await connecting
    except BaseException:
        for sock in this.connected or ():
            sock.close()
        raise
    finally:
        this.connected = None
        _race.reset(token)


def note(sock: socket.socket) -> None:
    """`sock` is connected."""
    this = _race.get(None)
    if this is not None and this.connected is not None:
        this.connected.append(sock)
