"""How text is read from an open file: decoded in front of a `BinaryFile`, its `buffer`. The base of `TextFile`.

The file is decoded in the pieces that io.TextIOWrapper takes (8192 bytes, more where more is asked for), out of the much
larger ones that the buffer has read ahead: so positions are its positions too, also where they are cookies, and what is
written after a read without a seek lands where it would.

What was decoded and not given out is the chunk. `_marks` says where in it each piece begins, with the state that the
decoder was in there and the bytes that it got: `tell` decodes again from there. A mark may lie before the chunk (negative)
when its line is partly used.
"""

from __future__ import annotations

import io
import sys
from operator import index

from ._arguments import size_of
from ._descriptor import no_operation
from ._turns import Turns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._binary_file import BinaryFile

PIECE = 8192
# A line that is longer than this is read in pieces that grow with it.
LONG = 8 * PIECE


def always_forgets() -> bool:
    """Whether io forgets what it has decoded at a write and a read up to the end also where it has no mark, as while
    iterating: up to CPython 3.12."""
    with io.TextIOWrapper(io.BytesIO(b"leek\nsoup\n")) as text:
        next(text)
        text.write("")
        return next(text, None) is None


ALWAYS_FORGETS = always_forgets()


class TextReading(Turns):
    """What a text file does to be read."""

    _buffer: BinaryFile
    _decoder: Any
    _tells: bool
    _marks: list[tuple[int, int, bytes, int]]
    _ratio: float
    # Whether io would say that reading has begun, so that the encoding cannot be changed.
    _has_read = False

    def _check(self) -> None:
        self._buffer._check()

    # Turns: the text's, and within it the buffer's, since a program may use that by itself.

    async def _begin(self, *, readable: bool = False, writable: bool = False) -> None:
        self._check()
        if readable and not self._buffer._reads:
            raise no_operation("not readable")
        if writable and not self._buffer._writes:
            raise no_operation("not writable")
        await self._take_turn()
        try:
            await self._buffer._begin()
        except BaseException:
            self._end_turn()
            raise

    def _end(self) -> None:
        self._buffer._end_turn()
        self._end_turn()

    # Decoding.

    def _feed(self, data: bytes, final: bool, ratio: bool = True) -> None:
        """Decodes the next piece, behind what is left of the chunk."""
        decoder = self._decoder
        rest = self._chunk[self._used :]
        if self._tells:
            marks = self._marks
            if self._iterating:
                # io makes none then, and counts from its last one: `tell` after a flush.
                if marks:
                    marks = [(len(rest), *marks[-1][1:])]
            else:
                before, flags = decoder.getstate()
                used = self._used
                # Those before the one in which the rest begins are of no use any more.
                marks = [(mark[0] - used, *mark[1:]) for mark in marks] if rest else []
                while len(marks) > 1 and marks[1][0] <= 0:
                    del marks[0]
                marks.append((len(rest), flags, before + data, len(data)))
        text = decoder.decode(data, final)
        if ratio:
            self._ratio = len(data) / len(text) if text else 0.0
        self._chunk = rest + text if rest else text
        self._has_read = True
        if self._tells:
            self._marks = marks

    def _refill(self) -> bool:
        """Decodes a piece that the buffer has in memory: whether there was one."""
        buffer = self._buffer
        if self._decoder is None or buffer._busy or buffer._left is not None or buffer._out or buffer._closed:
            return False
        used = buffer._used
        if len(buffer._chunk) - used < PIECE or len(self._chunk) - self._used > LONG:
            return False
        buffer._used = end = used + PIECE
        self._feed_line(buffer._chunk[used:end], False)
        return True

    def _feed_line(self, data: bytes, final: bool) -> None:
        """`_feed` for a line that is not whole yet. As io has it, what there is of it is lost where the piece cannot be
        decoded, and a position is then counted from where the last piece began."""
        try:
            self._feed(data, final)
        except Exception:
            self._chunk = ""
            self._marks = [(0, *self._marks[-1][1:])] if self._marks else []
            raise

    async def _read_piece(self, hint: int = 0, *, line: bool = False) -> bool:
        """In turn: decodes the next piece; False at the end, once the decoder has given what it held back."""
        size = max(PIECE, int(max(self._ratio, 1.0) * hint)) if hint > 0 else PIECE
        buffer = self._buffer
        if buffer._seeks:
            data = await buffer._read(size)
        else:
            await buffer._look(size)
            data = buffer._take(size)
        have = len(self._chunk) - self._used
        (self._feed_line if line else self._feed)(data, not data)
        return bool(data) or len(self._chunk) > have

    def _take_text(self, size: int) -> str:
        used = self._used
        end = min(used + size, len(self._chunk))
        self._used = end
        return self._chunk[used:end]  # type: ignore[no-any-return]

    def _changed(self) -> None:
        """What was decoded ahead is not what a read gives next."""
        self._forget()
        if self._decoder is not None:
            self._decoder.reset()

    def _written(self) -> None:
        """As `_changed`, for a write, which in some versions of io keeps what was decoded while iterating."""
        if self._marks or ALWAYS_FORGETS:
            self._forget()
        if self._decoder is not None:
            self._decoder.reset()

    # Reading.

    async def _read(self, size: int) -> str:
        if size < 0:
            data = await self._buffer._read_all()
            text: str = self._chunk[self._used :] + self._decoder.decode(data, True)
            if self._marks or ALWAYS_FORGETS:
                self._forget()
            else:
                self._used = len(self._chunk)
            return text
        # All pieces stay in the chunk until there are enough characters: a cancelled read has used none.
        while len(self._chunk) - self._used < size:
            try:
                if not await self._read_piece(size - (len(self._chunk) - self._used)):
                    break
            except UnicodeError:
                self._used = len(self._chunk)  # As io: what was decoded before what cannot be is gone.
                raise
        return self._take_text(size)

    def _forget(self) -> None:
        self._has_read = False
        self._chunk = ""
        self._marks = []

    async def read(self, size: int | None = -1, /) -> str:
        """So many characters, all up to the end if negative or None; fewer only at the end."""
        if type(size) is not int:
            size = size_of(size)
        ready = not self._busy and not self._buffer._busy and not self._buffer._closed
        if 0 <= size <= len(self._chunk or "") - self._used and ready and self._buffer._reads:
            return self._take_text(size)
        size = size_of(size)
        await self._begin(readable=True)
        try:
            return await self._read(size)
        finally:
            self._end()

    async def _line(self, limit: int) -> str:
        while True:
            begins = self._used
            line: str | None = self._take_line()
            if line is not None and 0 <= limit < len(line):
                self._used = begins + limit
                return line[:limit]
            if line is not None:
                return line
            have = len(self._chunk) - begins
            if 0 <= limit <= have and self._chunk:  # With none, io reads a piece also for no characters.
                return self._take_text(limit)
            if not await self._read_piece(have if have > LONG else 0, line=True):
                rest = self._take_text(len(self._chunk))
                self._forget()  # As io: at the end the position is the buffer's.
                return rest

    async def readline(self, size: int = -1, /) -> str:
        """The next line with its end; of at most so many characters if not negative; empty at the end."""
        if type(size) is not int:
            size = index(size)
        if size < 0 and not self._busy and not self._buffer._busy and self._buffer._left is None and not self._buffer._closed:
            line: str | None = self._take_line()
            if line is not None:
                return line
        if size > sys.maxsize:
            raise OverflowError("Python int too large to convert to C ssize_t")
        await self._begin(readable=True)
        try:
            return await self._line(size)
        finally:
            self._end()

    async def _next_line(self) -> str:
        await self._begin(readable=True)
        try:
            line = await self._line(-1)
        finally:
            self._end()
        if not line:
            self._ended()
            raise StopAsyncIteration
        return line

    def _ended(self) -> None:
        """Iterating has come to the end: a position is told again, and it is the buffer's."""
        self._iterating = False
        if self._used == len(self._chunk):
            self._marks = []

    async def readlines(self, hint: int | None = -1, /) -> list[str]:
        """The lines up to the end, or until they are so many characters."""
        most = size_of(hint)
        lines: list[str] = []
        total = 0
        self._iterating = True  # As io has it: no position is told before the end was reached.
        while line := await self.readline():
            lines.append(line)
            total += len(line)
            if 0 < most < total:
                return lines
        self._ended()
        return lines
