"""An open descriptor: what is known of it, and what is under way on it. The base of the file classes.

The position is ours, not the kernel's: reads and writes name their offsets, so that a cancelled one cannot leave it between two
places. Where there is no position (a pipe, a terminal), and to append, the descriptor's own is used; and from then on where
somebody else may have the descriptor, because it was given as a number or `fileno()` was asked: a child that writes there and
this file then go on behind each other, as with `open`.

What was read and not asked for yet is the chunk: `_end` is where in the file it ends. What was written and not given to
the kernel yet is `_out`: it begins at `_end`, and the chunk is empty then. An operation that is under way is `_left` until
its end was seen. If its waiter is cancelled it stays there, and whoever has the next turn waits for it first: a write has
happened and moved the position, what was read from a stream is kept, and a read of a file has moved nothing.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import sys

from ._detached import Detached
from ._turns import Turns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._core import File, FileOp

# Bytes read at once, at most, where less was asked for: lines come out of it without a trip to the loop.
AHEAD = 256 * 1024
# Bytes written before they are given to the kernel, unless `buffering` says something else.
BUFFER = 64 * 1024


def no_operation(name: str) -> io.UnsupportedOperation:
    return io.UnsupportedOperation(name)


def invalid() -> OSError:
    return OSError(errno.EINVAL, os.strerror(errno.EINVAL))


class Descriptor(Turns):
    """What reading and writing stand on."""

    # Whether others have the descriptor, and with it its position.
    _shared = False
    # Whether an operation may have to wait for somebody else: a pipe, a terminal, a device, an eventfd.
    _waits = False
    # Whether the operation that was begun last has named its offset.
    _placed = True
    _fills = True  # Whether there is a buffer, and a read of a pipe waits until there is as much as was asked for.

    def __init__(self, file: File, name: Any, flags: int, known: os.stat_result, buffering: int) -> None:
        access = flags & os.O_ACCMODE
        self._name = name
        self._file = file
        self._reads = access != os.O_WRONLY
        self._writes = access != os.O_RDONLY
        self._appends = bool(flags & os.O_APPEND)
        self._closed = False
        self._waiters = None
        self._left: FileOp[Any] | None = None
        self._out = bytearray()
        self._room = buffering if buffering > 0 else BUFFER
        # A small file's chunk is as large as the file, and one byte more finds its end with the same read.
        known_size = known.st_size + 1 if stat.S_ISREG(known.st_mode) and known.st_size else AHEAD
        self._ahead = buffering if buffering > 0 else min(max(known_size, 8192), AHEAD)
        self._chunk = b""
        self._end = 0
        # An eventfd seeks, and a read of it waits all the same.
        self._waits = not (stat.S_ISREG(known.st_mode) or stat.S_ISBLK(known.st_mode))
        try:
            self._end = os.lseek(file.fileno(), 0, os.SEEK_END if self._appends else os.SEEK_CUR)
            self._seeks = True
            self._shared = isinstance(name, int)
        except OSError:
            self._seeks = False
        created = bool(flags & os.O_EXCL)
        emptied = bool(flags & os.O_TRUNC) and sys.version_info >= (3, 15)  # Until then io calls "w+" "rb+".
        letter = "x" if created else "a" if self._appends else "w" if emptied or not self._reads else "r"
        self._mode = letter + ("b+" if self._reads and self._writes else "b")

    # What is known without asking.

    @property
    def name(self) -> Any:
        """What was given to `open`: a path, or a descriptor's number."""
        self._check_attached()
        return self._name

    @property
    def mode(self) -> str:
        """As io's raw file spells it: `rb+`."""
        self._check_attached()
        return self._mode

    @property
    def closed(self) -> bool:
        if self._closed:
            self._check_attached()
        return self._closed

    @property
    def raw(self) -> File | None:
        """The native file, whose operations know no position and no buffer; None when it was detached."""
        return None if isinstance(self._file, Detached) else self._file

    def _check(self, message: str = "I/O operation on closed file.") -> None:
        if self._closed:
            self._check_attached()
            raise ValueError(message)

    def _check_attached(self) -> None:
        if isinstance(self._file, Detached):
            raise ValueError(self._file.message)

    def fileno(self) -> int:
        """The descriptor's number. Who asks may read and write there: its position is the file's from now on."""
        self._check("I/O operation on closed file")
        number = self._file.fileno()
        if self._seeks and not self._shared:
            self._shared = True
            os.lseek(number, self._end, os.SEEK_SET)
        return number

    def isatty(self) -> bool:
        self._check("I/O operation on closed file")
        return os.isatty(self._file.fileno())

    def readable(self) -> bool:
        if self._reads or not self._fills:  # io's buffered classes that never do it do not ask whether the file is open.
            self._check("I/O operation on closed file")
        return self._reads

    def writable(self) -> bool:
        if self._writes or not self._fills:  # io's buffered classes that never do it do not ask whether the file is open.
            self._check("I/O operation on closed file")
        return self._writes

    def seekable(self) -> bool:
        self._check("I/O operation on closed file")
        return self._seeks

    def __repr__(self) -> str:
        if isinstance(self._file, Detached):
            return f"<rondeau.{type(self).__name__}>"
        return f"<rondeau.{type(self).__name__} name={self.name!r} mode={self.mode!r}{' closed' if self._closed else ''}>"

    # Turns.

    async def _begin(self, readable: str = "", writable: str = "", closed: str = "I/O operation on closed file.") -> None:
        """Takes the turn, in which the file is open and does what is asked for, and nothing is left under way."""
        if readable and not self._reads:
            raise no_operation(readable)
        if writable and not self._writes:
            raise no_operation(writable)
        self._check(closed)
        await self._take_turn()
        try:
            self._check(closed)
            if self._left is not None:
                await self._settle()
        except BaseException:
            self._end_turn()
            raise

    async def _settle(self) -> None:
        """Waits for what somebody began whose wait was cancelled."""
        operation = self._left
        while operation is not None:
            name = operation.__name__
            try:
                came = await operation
            except OSError:
                self._left = None
                if name == "write":
                    raise  # What it held is still in the buffer, or was never acknowledged; the next one is told.
                return
            except MemoryError:
                if operation.done():
                    self._left = None
                raise
            self._left = None
            if name == "write":
                self._wrote(came)
            elif name == "read" and not self._placed:
                self._chunk = self._chunk[self._used :] + came
                self._moved(len(came))
            return

    async def _carry(self, operation: FileOp[Any]) -> Any:
        """Begins an operation, which is left where it is if the wait for it is cancelled."""
        self._left = operation = operation.start()
        try:
            came = await operation
        except OSError:
            self._left = None
            raise
        except MemoryError:
            if operation.done():
                self._left = None
            raise
        self._left = None
        return came

    # The position.

    def _wrote(self, count: int) -> None:
        """Moves the position behind what was written."""
        del self._out[:count]
        if count:
            self._moved(count)

    def _moved(self, count: int) -> None:
        """The same for what was read or written."""
        if self._seeks and not self._placed:
            self._end = os.lseek(self._file.fileno(), 0, os.SEEK_CUR)
        else:
            self._end += count
            self._tell_others()  # They may have it since this was begun.

    def _tell_others(self) -> None:
        """Who else has the descriptor goes on where this file is now."""
        if self._shared:
            os.lseek(self._file.fileno(), self._end, os.SEEK_SET)

    def _place(self, *, appends: bool = False) -> Any:
        """The offset of the operation that is begun now: None of a stream, `...` for the descriptor's own position."""
        if self._waits:
            self._placed = False
            return None
        own = self._shared or appends
        self._placed = self._seeks and not own
        return self._end if self._placed else ... if self._seeks else None

    def _forget_chunk(self) -> None:
        """What was read ahead is not the file's any more, or soon."""
        if self._chunk:
            self._end -= len(self._chunk) - self._used
            self._chunk = b""
            self._tell_others()

    def _told(self) -> int:
        """The position, in turn: where others have the descriptor they may have moved it."""
        if self._shared:
            self._end = os.lseek(self._file.fileno(), 0, os.SEEK_CUR)
        return self._position()

    def _position(self) -> int:
        return self._end - (len(self._chunk) - self._used) + len(self._out)
