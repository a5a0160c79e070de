"""An open file of bytes with a buffer: what `await rondeau.open(path, "rb")` gives.

Here are the position, what is done anywhere in the file, and its end; reading and writing are the bases'.
"""

from __future__ import annotations

import errno
import io
import os
import warnings
from asyncio import CancelledError
from operator import index

from ._binary_reading import Reading
from ._descriptor import invalid
from ._detached import Detached

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from _typeshed import ReadableBuffer, WriteableBuffer

    from ._core import FileOp
    from ._raw_file import RawFile


class BinaryFile(Reading):
    """A file that was opened by `rondeau.open` in a binary mode, with a buffer."""

    # The position.

    async def tell(self) -> int:
        """The position: how many bytes lie before it."""
        await self._begin()
        try:
            if not self._seeks:
                raise OSError(errno.ESPIPE, os.strerror(errno.ESPIPE))
            return self._told()
        finally:
            self._end_turn()

    async def _seek(self, offset: int, whence: int) -> int:
        """In turn."""
        await self._flush()
        if whence == os.SEEK_CUR:
            there = self._position() + offset
        elif whence == os.SEEK_END:
            there = (await self._file.stat()).st_size + offset
        elif whence == os.SEEK_SET:
            there = offset
        else:
            there = os.lseek(self._file.fileno(), offset, whence)
        if there < 0:
            raise invalid()
        begins = self._end - len(self._chunk)
        if self._chunk and begins <= there <= self._end and whence != os.SEEK_END:
            self._used = there - begins
        else:
            self._chunk = b""
            self._end = there
            if self._shared:
                os.lseek(self._file.fileno(), there, os.SEEK_SET)
        if self._appends:
            os.lseek(self._file.fileno(), there, os.SEEK_SET)  # As open's: where a write will not be.
        return there

    async def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move the position: from the beginning, from where it is (1), or from the end (2). Returns it."""
        self._check("seek of closed file")
        if whence not in (0, 1, 2, os.SEEK_HOLE, os.SEEK_DATA):
            raise ValueError(f"whence value {whence} unsupported")
        if not self._seeks:
            raise io.UnsupportedOperation("File or stream is not seekable.")
        offset = index(offset)
        if not -(1 << 63) <= offset < 1 << 63:
            raise ValueError("cannot fit 'int' into an offset-sized integer")
        await self._begin(closed="seek of closed file")
        try:
            return await self._seek(offset, whence)
        finally:
            self._end_turn()

    async def truncate(self, size: int | None = None, /) -> int:
        """Make the file so many bytes long, or as long as the position says. The position stays."""
        self._check("truncate of closed file")
        await self._begin(writable="truncate", closed="truncate of closed file")
        try:
            await self._flush()
            if size is None and not self._seeks:
                raise OSError(errno.ESPIPE, os.strerror(errno.ESPIPE))
            size = self._told() if size is None else index(size)
            if size < 0:
                raise invalid()
            self._forget_chunk()
            await self._file.truncate(size)
            return size
        finally:
            self._end_turn()

    # Anywhere in the file, any number at once.

    def pread(self, count: int, offset: int, /) -> FileOp[bytes]:
        """Up to `count` bytes from `offset` on; none at the end. Any number may be under way; the position is not touched.

        What `write` has buffered is not in the file yet: flush() it first.
        """
        return self._file.read(count, offset)

    def pwrite(self, data: ReadableBuffer, offset: int, /) -> FileOp[int]:
        """Write all of `data` at `offset` on; how many bytes. The data is borrowed until it is done."""
        return self._file.write(data, offset)

    def readv(self, buffers: Iterable[WriteableBuffer], offset: int, /) -> FileOp[int]:
        """Fill the buffers in order from `offset` on; how many bytes."""
        return self._file.readinto(list(buffers), offset)

    def writev(self, buffers: Iterable[ReadableBuffer], offset: int, /) -> FileOp[int]:
        """Write the buffers in order at `offset` on; how many bytes."""
        return self._file.write(list(buffers), offset)

    # The end.

    async def detach(self) -> RawFile:
        """Write what is buffered, and give the file without a buffer; this object is of no use any more: it raises ValueError.

        As io has it: where the file is open for reading alone, what was read ahead is lost, and the position is behind it.
        """
        from ._raw_file import RawFile  # It stands on this class.

        await self._begin()
        try:
            await self._flush()
            if self._writes:
                self._forget_chunk()
            raw = RawFile._of(self)
            self._file = Detached("raw stream has been detached")  # type: ignore[assignment]
            self._closed = True
            self._chunk = None
            return raw
        finally:
            self._end_turn()

    async def close(self) -> None:
        """Write what is buffered and close. A file is closed whatever comes of that; a cancellation is told afterwards.

        On a pipe or terminal, where a write may wait for ever, a cancellation ends that.
        """
        if self._closed:
            self._check_attached()
            return
        failed: BaseException | None = None
        while not self._closed:
            try:
                await self._take_turn()
            except CancelledError as error:
                failed = error
                continue
            try:
                failed = await self._finish(failed)
                if self._closed:
                    break
                self._closed = True
                self._chunk = None
                self._out = bytearray()
                closing = self._file.close().start()
            finally:
                self._end_turn()
            while not closing.done():
                try:
                    await closing
                except CancelledError as error:
                    failed = error
                except OSError as error:
                    failed = failed or error
        if failed is not None:
            raise failed

    async def _finish(self, failed: BaseException | None) -> BaseException | None:
        """In turn, the last one: writes what is buffered. What that came to, or what has failed before."""
        while not self._closed:
            try:
                if self._left is not None and self._left.__name__ == "read" and self._waits:
                    self._left.cancel()  # It may wait for ever, and nobody wants what it would bring.
                    self._left = None
                if self._left is not None:
                    await self._settle()
                await self._flush()
                if self._shared:
                    self._forget_chunk()  # Who goes on there goes on at the position.
                break
            except CancelledError as error:
                failed = error
                if self._waits:
                    if self._left is not None:
                        self._left.cancel()
                        self._left = None
                    break
            except OSError as error:
                failed = failed or error
                break
        return failed

    async def __aenter__(self) -> Self:
        self._check()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __del__(self) -> None:
        if getattr(self, "_closed", True):
            return
        warnings.warn(f"unclosed file {self!r}", ResourceWarning, stacklevel=2, source=self)
        try:
            if self._out:  # Acknowledged: written here and now, as a builtin file does.
                fd, data = self._file.fileno(), bytes(self._out)
                while data:
                    own = self._appends or self._shared or not self._seeks
                    done = os.write(fd, data) if own else os.pwrite(fd, data, self._end)
                    self._end += done
                    data = data[done:]
        finally:
            self._closed = True
            self._file.drop()
