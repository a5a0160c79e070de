"""How bytes are written to an open file: through a buffer, in turn. A base of `BinaryFile`."""

from __future__ import annotations

from ._arguments import bytes_of
from ._descriptor import Descriptor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed import ReadableBuffer


class Writing(Descriptor):
    """What a file of bytes does to be written."""

    async def _flush(self) -> None:
        """In turn: gives the kernel what is buffered. What it does not take stays."""
        while self._out:
            self._wrote(await self._put(self._out))

    async def _put(self, data: ReadableBuffer) -> int:
        """One write at the position; how much the kernel took."""
        count: int = await self._carry(self._file.write(data, self._place(appends=self._appends), False))
        return count

    async def write(self, data: ReadableBuffer, /) -> int:
        """Write all of it, into the buffer if there is room; how many bytes."""
        view = data if isinstance(data, bytes) else bytes_of(data)
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
