"""How bytes are read from an open file: ahead, into the chunk, in turn. The base of `BinaryFile`.

What is buffered to be written is written before anything is read, which is why this stands on `Writing`.
"""

from __future__ import annotations

from ._arguments import size_of, space_of
from ._binary_writing import Writing
from ._descriptor import AHEAD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Reading(Writing):
    """What a file of bytes does to be read."""

    async def _more(self, size: int) -> bytes:
        """The next bytes of the file, behind the chunk: one operation. None at the end."""
        came: bytes = await self._carry(self._file.read(size, self._place()))
        self._moved(len(came))
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
            last = pieces[-1] if total > size else b""
            cut = len(last) - (total - size)
            wanted = [*pieces[:-1], last[:cut]] if last else pieces
            found = b"".join(wanted)
        except BaseException:
            self._put_back(pieces)
            raise
        self._chunk = last
        if last:
            self._used = cut
        return found

    def _put_back(self, pieces: list[bytes]) -> None:
        """A read that failed has moved nothing: what it has is the chunk, or is read again where that needs too much memory."""
        try:
            self._chunk = b"".join(pieces)
        except MemoryError:
            if not self._seeks:
                raise  # It is lost.
            self._chunk = b""
            self._end -= sum(map(len, pieces))
            self._tell_others()

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
            found = b"".join(pieces)
        except BaseException:
            self._put_back(pieces)
            raise
        self._chunk = b""
        return found

    async def read(self, size: int | None = -1, /) -> bytes:
        """So many bytes, all up to the end if negative or None; fewer only at the end."""
        if type(size) is not int:
            size = size_of(size)
        if size >= 0 and not self._busy and not self._closed and not self._out and self._left is None and self._reads:
            if size <= len(self._chunk) - self._used:
                return self._take(size)
        elif size < -1:
            self._check("read of closed file")
            raise ValueError("read length must be non-negative or -1")
        size = size_of(size)
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
        view = space_of(buffer, "readinto")
        await self._begin("readinto", closed="readinto of closed file")
        try:
            came = await self._read(len(view))
            view[: len(came)] = came
            return len(came)
        finally:
            self._end_turn()

    async def readinto1(self, buffer: WriteableBuffer, /) -> int:
        view = space_of(buffer, "readinto1")
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
            return b"".join(pieces)
        except BaseException:
            self._put_back([*pieces, self._chunk[self._used :]])
            raise

    async def readline(self, size: int | None = -1, /) -> bytes:
        """The next line with its end; of at most so many bytes if not negative; none at the end."""
        limit = size_of(size)
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
        most = size_of(hint)
        lines: list[bytes] = []
        total = 0
        while line := await self.readline():
            lines.append(line)
            total += len(line)
            if 0 < most < total:
                break
        return lines
