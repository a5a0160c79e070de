"""Pipes: asyncio's transports, with a pipe that is worked hard made larger, and output that waits as it was given.

Made by the loop for `connect_read_pipe`, `connect_write_pipe` and a child's pipes. What differs from asyncio's code:

- A pipe out of which 64 KiB came eight times in a row is made to hold 256 KiB, where nobody has chosen its size. So its
  writer is woken a quarter as often. Those switches, and not the code, are most of what a MiB costs.
- When a pipe is full, asyncio copies what is left behind what waits, and cuts off what the kernel took. A `bytes` object
  is kept here, and goes out with `writev`.

All else is asyncio's own code: beginning, end, back-pressure, errors. It also runs as a whole where the program has
replaced its methods, `os.read` or `os.write`, and for what is not `bytes`.

What always holds: output waits either in `_pieces` or in asyncio's bytearray, never in both, and `write` adds to the one
that is not empty. Who asks for `_buffer`, asyncio's own code too, gets the bytearray with all that waits in it, and may
change it.

Rejected: fewer sends by gathering what one callback writes, as sockets do: the reader may be in the same process, and on
asyncio it finds the bytes at once. A larger pipe from the beginning: the user's share of such memory is 64 MiB, and who is
over it gets pipes of two pages. A larger pipe to write to: nothing beyond the spread. A socket pair for a child's pipe, as
libuv has it: a child sees that, and asyncio's own children have pipes.
"""

from __future__ import annotations

import fcntl
import os
from asyncio import unix_events
from asyncio.log import logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TheirReader = unix_events._UnixReadPipeTransport  # type: ignore[attr-defined]
_THEIR_READ_READY = _TheirReader._read_ready
_Theirs = unix_events._UnixWritePipeTransport  # type: ignore[attr-defined]
_THEIR_WRITE = _Theirs.write
_THEIR_WRITE_READY = _Theirs._write_ready
_READ, _WRITE = os.read, os.write
_USUAL = 64 * 1024  # What a pipe holds.
_LARGE = 256 * 1024  # What asyncio reads at a time.
_OFTEN = 8  # So many full pipes in a row make it large.
_MOST = 1024  # Pieces for one `writev`, which is the kernel's limit. More of them are joined.


class ReadPipeTransport(_TheirReader):  # type: ignore[misc,valid-type]
    """The end of a pipe that is read."""

    _full = 0  # How often in a row all that a pipe holds was there; -1 from when the pipe is as it shall stay.

    def __repr__(self) -> str:
        # The class's name as asyncio has it.
        return str(super().__repr__()).replace("<ReadPipeTransport", "<_UnixReadPipeTransport", 1)

    def _read_ready(self) -> None:
        if self._full < 0 or os.read is not _READ or _TheirReader._read_ready is not _THEIR_READ_READY:
            super()._read_ready()
            return
        try:
            data = _READ(self._fileno, self.max_size)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._fatal_error(error, "Fatal read error on pipe transport")
            return
        if data:
            if len(data) != _USUAL:
                self._full = 0
            elif self._full == _OFTEN - 1:
                self._full = -1
                _enlarge(self._fileno)
            else:
                self._full += 1
            self._protocol.data_received(data)
            return
        if self._loop.get_debug():
            logger.info("%r was closed by peer", self)
        self._closing = True
        self._loop._remove_reader(self._fileno)
        self._loop.call_soon(self._protocol.eof_received)
        self._loop.call_soon(self._call_connection_lost, None)


def _enlarge(descriptor: int) -> None:
    """Let a pipe hold more, if it is one whose size nobody chose and the kernel allows it."""
    try:
        if fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ) == _USUAL:
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _LARGE)
    except OSError:
        pass  # A socket, or a device; or the user has had their share of such memory.


class WritePipeTransport(_Theirs):  # type: ignore[misc,valid-type]
    """The end of a pipe that is written."""

    _closing: bool

    def __init__(self, *args: Any, **options: Any) -> None:
        self._pieces: list[bytes] = []
        self._begun = 0  # So much of the first piece is written.
        self._waiting = 0  # Bytes that are not.
        super().__init__(*args, **options)

    def __repr__(self) -> str:
        # The class's name as asyncio has it.
        return str(super().__repr__()).replace("<WritePipeTransport", "<_UnixWritePipeTransport", 1)

    @property
    def _buffer(self) -> bytearray:
        if self._pieces:
            self._joined += memoryview(self._pieces[0])[self._begun :]
            for piece in self._pieces[1:]:
                self._joined += piece
            self._forget()
        return self._joined

    @_buffer.setter
    def _buffer(self, buffer: bytearray) -> None:
        self._forget()
        self._joined = buffer

    def _forget(self) -> None:
        self._pieces.clear()
        self._begun = self._waiting = 0

    def get_write_buffer_size(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return self._waiting or len(self._joined)

    def write(self, data: Any) -> None:
        """Write at once what the pipe takes; the rest waits.

        Args:
            data: a bytes-like object.

        Raises:
            AssertionError: `data` is something else, as asyncio has it.
        """
        pieces = self._pieces
        if (
            type(data) is not bytes
            or not data
            or self._conn_lost
            or self._closing
            or self._joined
            or len(pieces) == _MOST
            or os.write is not _WRITE
            or _Theirs.write is not _THEIR_WRITE
        ):
            super().write(data)
            return
        size = len(data)
        if not pieces:
            try:
                taken = _WRITE(self._fileno, data)
            except (BlockingIOError, InterruptedError):
                taken = 0
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self._conn_lost += 1
                self._fatal_error(error, "Fatal write error on pipe transport")
                return
            if taken == size:
                return
            self._loop._add_writer(self._fileno, self._write_ready)
            self._begun = taken
            size -= taken
        pieces.append(data)
        self._waiting += size
        self._maybe_pause_protocol()

    def _write_ready(self) -> None:
        pieces = self._pieces
        if not pieces or os.write is not _WRITE or _Theirs._write_ready is not _THEIR_WRITE_READY:
            super()._write_ready()
            return
        try:
            first = memoryview(pieces[0])[self._begun :]
            taken = _WRITE(self._fileno, first) if len(pieces) == 1 else os.writev(self._fileno, [first, *pieces[1:]])
        except (BlockingIOError, InterruptedError):
            return
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._forget()
            self._conn_lost += 1
            self._loop._remove_writer(self._fileno)
            self._fatal_error(error, "Fatal write error on pipe transport")
            return
        self._waiting -= taken
        if self._waiting:
            self._advance(taken)
            return
        self._forget()
        self._loop._remove_writer(self._fileno)
        self._maybe_resume_protocol()  # It may write.
        if self._closing:
            self._loop._remove_reader(self._fileno)
            self._call_connection_lost(None)

    def _advance(self, taken: int) -> None:
        """Let go of what was written, which is not all."""
        pieces = self._pieces
        taken += self._begun
        whole = 0
        while taken >= len(pieces[whole]):
            taken -= len(pieces[whole])
            whole += 1
        del pieces[:whole]
        self._begun = taken

    def write_eof(self) -> None:
        """Close the pipe when all is written."""
        if self._pieces and not self._closing:
            self._closing = True
        else:
            super().write_eof()


def read_pipe(*args: Any, **options: Any) -> Any:
    """A transport for the end of a pipe that is read; of the program's class where it has put one in asyncio's place."""
    theirs: Any = unix_events._UnixReadPipeTransport  # type: ignore[attr-defined]
    return (ReadPipeTransport if theirs is _TheirReader else theirs)(*args, **options)


def write_pipe(*args: Any, **options: Any) -> Any:
    """A transport for the end of a pipe that is written; of the program's class where it has put one in asyncio's place."""
    theirs: Any = unix_events._UnixWritePipeTransport  # type: ignore[attr-defined]
    return (WritePipeTransport if theirs is _Theirs else theirs)(*args, **options)
