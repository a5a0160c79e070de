"""An open file of bytes: what `await rondeau.open(path, "rb")` gives. `RawFile` is the one without a buffer.

The position is ours, not the kernel's: reads and writes name their offsets, so that a cancelled one cannot leave it between two
places. Where there is no position (a pipe, a terminal), and to append, the descriptor's own is used.

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
import warnings
from asyncio import CancelledError
from operator import index

from ._turns import Turns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable
    from typing import Any, Self

    from _typeshed import ReadableBuffer, WriteableBuffer

    from ._core import File, FileOp

# Bytes read at once, at most, where less was asked for: lines come out of it without a trip to the loop.
AHEAD = 256 * 1024
# Bytes written before they are given to the kernel, unless `buffering` says something else.
BUFFER = 64 * 1024


def no_operation(name: str) -> io.UnsupportedOperation:
    return io.UnsupportedOperation(name)


def invalid() -> OSError:
    return OSError(errno.EINVAL, os.strerror(errno.EINVAL))


class BinaryFile(Turns):
    """A file that was opened by `rondeau.open` in a binary mode, with a buffer."""

    name: Any
    mode: str

    def __init__(self, file: File, name: Any, flags: int, known: os.stat_result, buffering: int) -> None:
        access = flags & os.O_ACCMODE
        self.name = name
        self._file = file
        self._reads = access != os.O_WRONLY
        self._writes = access != os.O_RDONLY
        self._appends = bool(flags & os.O_APPEND)
        self._closed = False
        self._left: FileOp[Any] | None = None
        self._out = bytearray()
        self._room = buffering if buffering > 0 else BUFFER
        # A small file's chunk is as large as the file, and one byte more finds its end with the same read.
        known_size = known.st_size + 1 if stat.S_ISREG(known.st_mode) and known.st_size else AHEAD
        self._ahead = buffering if buffering > 0 else min(max(known_size, 8192), AHEAD)
        self._chunk = b""
        self._end = 0
        try:
            self._end = os.lseek(file.fileno(), 0, os.SEEK_END if self._appends else os.SEEK_CUR)
            self._seeks = True
        except OSError:
            self._seeks = False
        created = bool(flags & os.O_EXCL)
        letter = "x" if created else "a" if self._appends else "r" if self._reads else "w"
        self.mode = letter + ("b+" if self._reads and self._writes else "b")

    # What is known without asking.

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def raw(self) -> File:
        """The native file, whose operations know no position and no buffer."""
        return self._file

    def _check(self, message: str = "I/O operation on closed file.") -> None:
        if self._closed:
            raise ValueError(message)

    def fileno(self) -> int:
        self._check("I/O operation on closed file")
        return self._file.fileno()

    def isatty(self) -> bool:
        self._check("I/O operation on closed file")
        return os.isatty(self._file.fileno())

    def readable(self) -> bool:
        self._check("I/O operation on closed file")
        return self._reads

    def writable(self) -> bool:
        self._check("I/O operation on closed file")
        return self._writes

    def seekable(self) -> bool:
        self._check("I/O operation on closed file")
        return self._seeks

    def __repr__(self) -> str:
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
            self._left = None
            if name == "write":
                self._wrote(came)
            elif name == "read" and not self._seeks:
                self._chunk = self._chunk[self._used :] + came
            return

    async def _carry(self, operation: FileOp[Any]) -> Any:
        """Begins an operation, which is left where it is if the wait for it is cancelled."""
        self._left = operation = operation.start()
        try:
            came = await operation
        except OSError:
            self._left = None
            raise
        self._left = None
        return came

    # Reading.

    async def _more(self, size: int) -> bytes:
        """The next bytes of the file, behind the chunk: one operation. None at the end."""
        came: bytes = await self._carry(self._file.read(size, self._end if self._seeks else None))
        self._end += len(came)
        return came

    def _take(self, size: int) -> bytes:
        """Up to so many bytes of the chunk."""
        used = self._used
        chunk = self._chunk
        end = min(used + size, len(chunk))
        self._used = end
        return chunk[used:end] if used or end < len(chunk) else chunk  # type: ignore[no-any-return]

    async def _read(self, size: int) -> bytes:
        """So many bytes, fewer at the end only; in turn."""
        have = len(self._chunk) - self._used
        if size <= have:
            return self._take(size)
        if self._out:
            await self._flush()
        pieces = [self._take(have)] if have else []
        total = have
        try:
            while total < size:
                came = await self._more(max(size - total, self._ahead))
                if not came:
                    break
                pieces.append(came)
                total += len(came)
                if not self._seeks and total < size and not self._fills:
                    break
        except BaseException:
            self._chunk = b"".join(pieces)  # Nothing was moved.
            raise
        if total <= size:
            self._chunk = b""
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
        last = pieces[-1]
        cut = len(last) - (total - size)
        self._chunk = last
        self._used = cut
        pieces[-1] = last[:cut]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    _fills = True  # A buffered read of a pipe waits until there is as much as was asked for.

    async def _read_all(self) -> bytes:
        if self._out:
            await self._flush()
        have = len(self._chunk) - self._used
        pieces = [self._take(have)] if have else []
        try:
            size = AHEAD
            if self._seeks:
                known = await self._file.stat()
                size = max(known.st_size - self._end, 0) + 1
            while came := await self._more(min(size, 0x7FFFF000)):
                pieces.append(came)
                size = max(size - len(came), AHEAD if len(came) == size else 8192)
        except BaseException:
            self._chunk = b"".join(pieces)
            raise
        self._chunk = b""
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def read(self, size: int | None = -1, /) -> bytes:
        """So many bytes, all up to the end if negative or None; fewer only at the end."""
        size = -1 if size is None else index(size)
        if size >= 0 and not self._busy and not self._closed and not self._out and self._left is None and self._reads:
            if size <= len(self._chunk) - self._used:
                return self._take(size)
        elif size < -1:
            self._check("read of closed file")
            raise ValueError("read length must be non-negative or -1")
        await self._begin("read", closed="read of closed file")
        try:
            return await (self._read_all() if size < 0 else self._read(size))
        finally:
            self._end_turn()

    async def read1(self, size: int = -1, /) -> bytes:
        """Up to so many bytes, with one operation at most."""
        await self._begin("read", closed="read of closed file")
        try:
            if size < 0:
                size = self._ahead
            await self._look(size)
            return self._take(size)
        finally:
            self._end_turn()

    async def _look(self, size: int) -> None:
        if self._out:
            await self._flush()
        if len(self._chunk) == self._used and size:
            self._chunk = await self._more(max(size, self._ahead))

    async def peek(self, size: int = 0, /) -> bytes:
        """What is there without another operation, or what one gives; it is not used up."""
        await self._begin("peek", closed="peek of closed file")
        try:
            await self._look(1)
            return self._chunk[self._used :]  # type: ignore[no-any-return]
        finally:
            self._end_turn()

    async def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill a writable buffer, less at the end only; how many bytes."""
        view = memoryview(buffer).cast("B")
        await self._begin("readinto", closed="readinto of closed file")
        try:
            came = await self._read(len(view))
            view[: len(came)] = came
            return len(came)
        finally:
            self._end_turn()

    async def readinto1(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        came = await self.read1(len(view))
        view[: len(came)] = came
        return len(came)

    # Lines.

    def _refill(self) -> bool:
        return False

    async def _line(self, limit: int) -> bytes:
        """In turn: a line; none at the end."""
        pieces: list[bytes] = []
        total = 0
        try:
            while True:
                used = self._used
                found = self._chunk.find(b"\n", used) + 1
                if 0 <= limit <= total + ((found or len(self._chunk)) - used):
                    pieces.append(self._take(limit - total))
                    break
                if found:
                    pieces.append(self._take(found - used))
                    break
                if used < len(self._chunk):
                    pieces.append(self._take(len(self._chunk) - used))
                    total += len(pieces[-1])
                if self._out:
                    await self._flush()
                self._chunk = await self._more(self._ahead)
                if not self._chunk:
                    break
        except BaseException:
            self._chunk = b"".join([*pieces, self._chunk[self._used :]])
            raise
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def readline(self, size: int | None = -1, /) -> bytes:
        """The next line with its end; of at most so many bytes if not negative; none at the end."""
        limit = -1 if size is None else index(size)
        if limit < 0 and not self._busy and not self._closed and self._left is None and self._reads:
            line = self._take_line()
            if line is not None:
                return line  # type: ignore[no-any-return]
        if limit == 0 and not self._reads:
            self._check("readline of closed file")
            return b""  # As io.IOBase: nothing is asked.
        await self._begin("read", closed="readline of closed file")
        try:
            return await self._line(limit)
        finally:
            self._end_turn()

    async def _next_line(self) -> bytes:
        await self._begin("read", closed="readline of closed file")
        try:
            line = await self._line(-1)
        finally:
            self._end_turn()
        if not line:
            raise StopAsyncIteration
        return line

    async def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        """The lines up to the end, or until they are so many bytes."""
        self._check()
        most = 0 if hint is None else index(hint)
        lines: list[bytes] = []
        total = 0
        while line := await self.readline():
            lines.append(line)
            total += len(line)
            if 0 < most < total:
                break
        return lines

    # Writing.

    def _wrote(self, count: int) -> None:
        """Moves the position behind what was written."""
        del self._out[:count]
        if not count:
            return
        if self._appends and self._seeks:
            self._end = os.lseek(self._file.fileno(), 0, os.SEEK_CUR)
        else:
            self._end += count

    async def _flush(self) -> None:
        """In turn: gives the kernel what is buffered. What it does not take stays."""
        while self._out:
            self._wrote(await self._put(self._out))

    async def _put(self, data: ReadableBuffer) -> int:
        """One write at the position; how much the kernel took."""
        offset = None if self._appends or not self._seeks else self._end
        count: int = await self._carry(self._file.write(data, offset, False))
        return count

    def _forget_chunk(self) -> None:
        """What was read ahead is not the file's any more, or soon."""
        if self._chunk:
            self._end -= len(self._chunk) - self._used
            self._chunk = b""

    async def write(self, data: ReadableBuffer, /) -> int:
        """Write all of it, into the buffer if there is room; how many bytes."""
        if isinstance(data, str):
            raise TypeError("a bytes-like object is required, not 'str'")
        view = memoryview(data).cast("B") if not isinstance(data, bytes) else data
        size = len(view)
        ready = not self._busy and not self._closed and self._writes and self._left is None
        if ready and len(self._out) + size <= self._room:
            self._forget_chunk()
            self._out += view
            return size
        await self._begin(writable="write", closed="write to closed file")
        try:
            self._forget_chunk()
            if len(self._out) + size > self._room:
                await self._flush()
                if size > self._room:
                    await self._put_all(view)
                    return size
            self._out += view
            return size
        finally:
            self._end_turn()

    async def _put_all(self, view: bytes | memoryview) -> None:
        done = 0
        while done < len(view):
            count = await self._put(view[done:] if done else view)
            self._wrote(count)
            done += count

    async def writelines(self, lines: Iterable[ReadableBuffer], /) -> None:
        self._check()
        for line in lines:
            await self.write(line)

    async def flush(self) -> None:
        """Give the kernel what is buffered."""
        await self._begin(closed="flush of closed file")
        try:
            await self._flush()
        finally:
            self._end_turn()

    async def fsync(self, *, data_only: bool = False) -> None:
        """Flush, then wait until all of it is on the disk; with data_only without the times (fdatasync)."""
        await self._begin()
        try:
            await self._flush()
            await self._carry(self._file.sync(data_only))
        finally:
            self._end_turn()

    # The position.

    def _position(self) -> int:
        return self._end - (len(self._chunk) - self._used) + len(self._out)

    async def tell(self) -> int:
        """The position: how many bytes lie before it."""
        await self._begin()
        self._end_turn()
        if not self._seeks:
            raise OSError(errno.ESPIPE, os.strerror(errno.ESPIPE))
        return self._position()

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
            size = self._position() if size is None else index(size)
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

    async def close(self) -> None:
        """Write what is buffered and close. A file is closed whatever comes of that; a cancellation is told afterwards.

        On a pipe or terminal, where a write may wait for ever, a cancellation ends that.
        """
        if self._closed:
            return
        failed: BaseException | None = None
        while not self._closed:
            try:
                await self._take_turn()
            except CancelledError as error:
                failed = error
                continue
            if self._closed:
                self._end_turn()
                break
            while True:
                try:
                    if self._left is not None:
                        await self._settle()
                    await self._flush()
                    break
                except CancelledError as error:
                    failed = error
                    if not self._seeks:
                        if self._left is not None:
                            self._left.cancel()
                            self._left = None
                        break
                except OSError as error:
                    failed = failed or error
                    break
            self._closed = True
            self._chunk = None
            self._out = bytearray()
            closing = self._file.close().start()
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
                    done = os.write(fd, data) if self._appends or not self._seeks else os.pwrite(fd, data, self._end)
                    self._end += done
                    data = data[done:]
        finally:
            self._closed = True
            self._file.drop()


class RawFile(BinaryFile):
    """A file that was opened with buffering=0: each read and write is one operation."""

    _fills = False

    async def _begin(self, readable: str = "", writable: str = "", closed: str = "") -> None:
        self._check("I/O operation on closed file")
        if readable and not self._reads:
            raise no_operation("File not open for reading")
        if writable and not self._writes:
            raise no_operation("File not open for writing")
        await super()._begin(closed="I/O operation on closed file")

    async def _read(self, size: int) -> bytes:
        return await self._more(size) if size else b""

    async def read(self, size: int | None = -1, /) -> bytes:
        size = -1 if size is None else index(size)
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
            while not line.endswith(b"\n") and not 0 <= limit <= len(line):
                came = await self._more(1)
                if not came:
                    break
                line += came
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
            return await self._line(-1 if size is None else index(size))
        finally:
            self._end_turn()

    async def write(self, data: ReadableBuffer, /) -> int:
        if isinstance(data, str):
            raise TypeError("a bytes-like object is required, not 'str'")
        await self._begin(writable="write")
        try:
            count = await self._put(memoryview(data).cast("B"))
            self._wrote(count)
            return count
        finally:
            self._end_turn()
