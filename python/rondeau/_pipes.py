"""The transport of a pipe that is read: asyncio's, with a native read.

Made by `EventLoop.connect_read_pipe`, and so for each pipe of a child. What is its own runs once for each event: the
loop reads into its hot buffer and gives bytes of just that length. Everything else is asyncio's, and so is the read where a
program has put something in the place of `os.read`. 0.92 of asyncio's read on the same loop, a GiB in pieces of 64 KiB.
"""

from __future__ import annotations

import os
import stat
from asyncio import unix_events
from asyncio.log import logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_os_read = os.read


class _UnixReadPipeTransport(unix_events._UnixReadPipeTransport):  # type: ignore[name-defined,misc]  # asyncio's name, in reprs
    _loop: Any
    _closing: bool

    def __init__(self, loop: Any, pipe: Any, *args: Any, **options: Any) -> None:
        super().__init__(loop, pipe, *args, **options)
        # Several reads of a pipe are one; of a socket, each may be a message.
        self._is_fifo = stat.S_ISFIFO(os.fstat(self._fileno).st_mode)

    def _read_ready(self) -> None:
        if os.read is not _os_read:
            super()._read_ready()
            return
        loop = self._loop
        try:
            data = loop._read_pipe(self._fileno, self.max_size, self._is_fifo)
        except OSError as exc:
            self._fatal_error(exc, "Fatal read error on pipe transport")
            return
        if data:
            self._protocol.data_received(data)
        elif data is not None:
            if loop.get_debug():
                logger.info("%r was closed by peer", self)
            self._closing = True
            loop._remove_reader(self._fileno)
            loop.call_soon(self._protocol.eof_received)
            loop.call_soon(self._call_connection_lost, None)


ReadPipeTransport = _UnixReadPipeTransport
