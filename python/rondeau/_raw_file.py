"""An open file of bytes without a buffer: what `await rondeau.open(path, "rb", 0)` gives."""

from __future__ import annotations

import os

from ._arguments import bytes_of, size_of
from ._binary_file import BinaryFile
from ._descriptor import no_operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import Any

    from _typeshed import ReadableBuffer


class RawFile(BinaryFile):
    """A file that was opened with buffering=0: each read and write is one operation."""

    _fills = False

    @classmethod
    def _of(cls, file: BinaryFile) -> RawFile:
        """The same open file at the same position, without the buffer."""
        raw = cls.__new__(cls)
        vars(raw).update(vars(file))
        raw._out = bytearray()
        raw._waiters = None
        raw._chunk = b""
        return raw

    @property
    def closefd(self) -> bool:
        """Whether `close` closes the descriptor too."""
        return self._file.owned

    @property
    def detach(self) -> Any:
        """There is none, as io.FileIO has none."""
        raise AttributeError(f"{type(self).__name__!r} object has no attribute 'detach'")

    async def _begin(self, readable: str = "", writable: str = "", closed: str = "") -> None:
        self._check("I/O operation on closed file")
        if readable and not self._reads:
            raise no_operation("File not open for reading")
        if writable and not self._writes:
            raise no_operation("File not open for writing")
        await super()._begin(closed="I/O operation on closed file")

    async def _read(self, size: int) -> bytes:
        if self._used < len(self._chunk):
            return self._take(size)  # What a cancelled read took.
        return await self._more(size) if size else b""

    async def read(self, size: int | None = -1, /) -> bytes:
        size = size_of(size)
        await self._begin("read")
        try:
            return await (self._read_all() if size < 0 else self._read(size))
        finally:
            self._end_turn()

    async def seek(self, offset: int, whence: int = 0, /) -> int:
        self._check("I/O operation on closed file")
        if not self._seeks or whence not in (0, 1, 2, os.SEEK_HOLE, os.SEEK_DATA):
            return os.lseek(self._file.fileno(), offset, whence)  # As the kernel has it: it says what is wrong.
        return await super().seek(offset, whence)

    def readall(self) -> Awaitable[bytes]:
        return self.read(-1)

    async def _line(self, limit: int) -> bytes:
        if not self._seeks:
            line = b""
            try:
                while not line.endswith(b"\n") and not 0 <= limit <= len(line):
                    came = await self._read(1)
                    if not came:
                        break
                    line += came
            except BaseException:
                self._chunk = line + self._chunk[self._used :]
                raise
            return line
        try:
            return await super()._line(limit)
        finally:
            self._forget_chunk()

    async def readline(self, size: int | None = -1, /) -> bytes:
        if size == 0:
            self._check("I/O operation on closed file.")
            return b""  # As io.RawIOBase: nothing is asked.
        await self._begin("read")
        try:
            return await self._line(size_of(size))
        finally:
            self._end_turn()

    async def write(self, data: ReadableBuffer, /) -> int:
        await self._begin(writable="write")
        try:
            count = await self._put(data if isinstance(data, bytes) else bytes_of(data))
            self._wrote(count)
            return count
        finally:
            self._end_turn()
