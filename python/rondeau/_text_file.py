"""An open file of text: what `await rondeau.open(path)` gives. It decodes and encodes in front of a `BinaryFile`, its `buffer`.

The file is decoded in the pieces that io.TextIOWrapper takes (8192 bytes, more where more is asked for), out of the much
larger ones that the buffer has read ahead: so positions are its positions too, also where they are cookies, and what is
written after a read without a seek lands where it would.

What was decoded and not given out is the chunk. `_marks` says where in it each piece begins, with the state that the
decoder was in there and the bytes that it got: `tell` decodes again from there. A mark may lie before the chunk (negative)
when its line is partly used.
"""

from __future__ import annotations

import codecs
import io
import os
from asyncio import CancelledError
from operator import index

from ._binary_file import BinaryFile, no_operation
from ._turns import Turns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Self

    from ._core import FileOp

PIECE = 8192
# A line that is longer than this is read in pieces that grow with it.
LONG = 8 * PIECE
NEWLINES = {None: 0, "": 1, "\n": 0, "\r": 2, "\r\n": 3}
ENDS = {0: "\n", 2: "\r", 3: "\r\n"}


class TextFile(Turns):
    """A file that was opened by `rondeau.open` in a text mode."""

    def __init__(
        self, buffer: BinaryFile, encoding: str | None, errors: str | None, newline: str | None, *, line_buffering: bool
    ) -> None:
        # io's own class says what the names mean, and what is wrong with them.
        model = io.TextIOWrapper(io.BytesIO(), encoding, errors, newline)
        self.buffer = buffer
        self.encoding: str = model.encoding
        self.errors: str = model.errors  # type: ignore[assignment]
        self.line_buffering = line_buffering
        self.mode = buffer.mode
        self._newline = NEWLINES[newline]
        self._ends = None if newline in ("", "\n") else os.linesep if newline is None else newline
        if self._ends == "\n":
            self._ends = None
        self._chunk = ""
        self._marks: list[tuple[int, int, bytes, int]] = []
        self._ratio = 0.0
        self._tells = buffer._seeks
        self._decoder: Any = None
        if buffer._reads:
            decoder = codecs.getincrementaldecoder(self.encoding)(self.errors)
            self._decoder = io.IncrementalNewlineDecoder(decoder, newline is None) if not newline else decoder
        self._encoder = None
        if buffer._writes:
            self._encoder = codecs.getincrementalencoder(self.encoding)(self.errors)
            if buffer._seeks and buffer._position():
                self._encoder.setstate(0)  # No byte order mark in the middle.

    # What is known without asking.

    @property
    def name(self) -> Any:
        return self.buffer.name

    @property
    def closed(self) -> bool:
        return self.buffer.closed

    @property
    def newlines(self) -> str | tuple[str, ...] | None:
        return getattr(self._decoder, "newlines", None)

    def _check(self) -> None:
        self.buffer._check()

    def fileno(self) -> int:
        return self.buffer.fileno()

    def isatty(self) -> bool:
        self._check()
        return self.buffer.isatty()

    def readable(self) -> bool:
        self._check()
        return self.buffer._reads

    def writable(self) -> bool:
        self._check()
        return self.buffer._writes

    def seekable(self) -> bool:
        self._check()
        return self.buffer._seeks

    def __repr__(self) -> str:
        closed = " closed" if self.closed else ""
        return f"<rondeau.TextFile name={self.name!r} mode={self.mode!r} encoding={self.encoding!r}{closed}>"

    # Turns: the text's, and within it the buffer's, since a program may use that by itself.

    async def _begin(self, *, readable: bool = False, writable: bool = False) -> None:
        self._check()
        if readable and not self.buffer._reads:
            raise no_operation("not readable")
        if writable and not self.buffer._writes:
            raise no_operation("not writable")
        await self._take_turn()
        try:
            await self.buffer._begin()
        except BaseException:
            self._end_turn()
            raise

    def _end(self) -> None:
        self.buffer._end_turn()
        self._end_turn()

    # Decoding.

    def _feed(self, data: bytes, final: bool, ratio: bool = True) -> None:
        """Decodes the next piece, behind what is left of the chunk."""
        decoder = self._decoder
        rest = self._chunk[self._used :]
        if self._tells:
            before, flags = decoder.getstate()
            if rest:
                used = self._used
                marks = [(mark[0] - used, *mark[1:]) for mark in self._marks]
                # Those before the one in which the rest begins are of no use any more.
                while len(marks) > 1 and marks[1][0] <= 0:
                    del marks[0]
                marks.append((len(rest), flags, before + data, len(data)))
            else:
                marks = [(0, flags, before + data, len(data))]
        text = decoder.decode(data, final)
        if ratio:
            self._ratio = len(data) / len(text) if text else 0.0
        self._chunk = rest + text if rest else text
        if self._tells:
            self._marks = marks

    def _refill(self) -> bool:
        """Decodes a piece that the buffer has in memory: whether there was one."""
        buffer = self.buffer
        if self._decoder is None or buffer._busy or buffer._left is not None or buffer._out or buffer._closed:
            return False
        used = buffer._used
        if len(buffer._chunk) - used < PIECE or len(self._chunk) - self._used > LONG:
            return False
        buffer._used = end = used + PIECE
        self._feed(buffer._chunk[used:end], False)
        return True

    async def _read_piece(self, hint: int = 0) -> bool:
        """In turn: decodes the next piece; False at the end."""
        size = max(PIECE, int(max(self._ratio, 1.0) * hint)) if hint > 0 else PIECE
        buffer = self.buffer
        if buffer._seeks:
            data = await buffer._read(size)
        else:
            await buffer._look(size)
            data = buffer._take(size)
        self._feed(data, not data)
        return bool(data)

    def _take_text(self, size: int) -> str:
        used = self._used
        end = min(used + size, len(self._chunk))
        self._used = end
        return self._chunk[used:end]  # type: ignore[no-any-return]

    # Reading.

    async def _read(self, size: int) -> str:
        if size < 0:
            data = await self.buffer._read_all()
            text: str = self._chunk[self._used :] + self._decoder.decode(data, True)
            self._forget()
            return text
        # All pieces stay in the chunk until there are enough characters: a cancelled read has used none.
        while len(self._chunk) - self._used < size:
            if not await self._read_piece(size - (len(self._chunk) - self._used)):
                break
        return self._take_text(size)

    def _forget(self) -> None:
        self._chunk = ""
        self._marks = []

    async def read(self, size: int | None = -1, /) -> str:
        """So many characters, all up to the end if negative or None; fewer only at the end."""
        size = -1 if size is None else index(size)
        ready = not self._busy and not self.buffer._busy and not self.buffer._closed
        if 0 <= size <= len(self._chunk or "") - self._used and ready and self.buffer._reads:
            return self._take_text(size)
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
            if 0 <= limit <= have:
                return self._take_text(limit)
            if not await self._read_piece(have if have > LONG else 0):
                line = self._take_line()  # The decoder may have held one back.
                return self._take_text(len(self._chunk)) if line is None else line

    async def readline(self, size: int = -1, /) -> str:
        """The next line with its end; of at most so many characters if not negative; empty at the end."""
        size = index(size)
        if size < 0 and not self._busy and not self.buffer._busy and self.buffer._left is None and not self.buffer._closed:
            line: str | None = self._take_line()
            if line is not None:
                return line
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
        most = 0 if hint is None else index(hint)
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

    # Writing.

    async def write(self, text: str, /) -> int:
        """Encode it and write it, into the buffer if there is room; how many characters."""
        self._check()
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if self._encoder is None:
            raise no_operation("not writable")
        buffer = self.buffer
        flushes = self.line_buffering and ("\n" in text or "\r" in text)
        translated = text.replace("\n", self._ends) if self._ends is not None and "\n" in text else text
        if self._busy or buffer._busy or buffer._left is not None or flushes:
            return await self._write(text, translated, flushes)
        data = self._encoder.encode(translated)
        if len(buffer._out) + len(data) > buffer._room:
            return await self._write_encoded(len(text), data, False)
        self._changed()
        buffer._forget_chunk()
        buffer._out += data
        return len(text)

    def _changed(self) -> None:
        """What was decoded ahead is not what a read gives next."""
        self._forget()
        if self._decoder is not None:
            self._decoder.reset()

    async def _write(self, text: str, translated: str, flushes: bool) -> int:
        await self._begin(writable=True)
        try:
            assert self._encoder is not None
            await self._put(self._encoder.encode(translated), flushes)
        finally:
            self._end()
        return len(text)

    async def _write_encoded(self, length: int, data: bytes, flushes: bool) -> int:
        await self._begin(writable=True)
        try:
            await self._put(data, flushes)
        finally:
            self._end()
        return length

    async def _put(self, data: bytes, flushes: bool) -> None:
        buffer = self.buffer
        self._changed()
        buffer._forget_chunk()
        if len(buffer._out) + len(data) > buffer._room:
            await buffer._flush()
        if len(data) > buffer._room:
            await buffer._put_all(data)
        else:
            buffer._out += data
        if flushes:
            await buffer._flush()

    async def writelines(self, lines: Iterable[str], /) -> None:
        self._check()
        for line in lines:
            await self.write(line)

    async def flush(self) -> None:
        """Give the kernel what is buffered."""
        await self._begin()
        try:
            await self.buffer._flush()
            self._iterating = False
        finally:
            self._end()

    async def fsync(self, *, data_only: bool = False) -> None:
        """Flush, then wait until all of it is on the disk; with data_only without the times (fdatasync)."""
        await self.flush()
        await self.buffer.fsync(data_only=data_only)

    async def truncate(self, size: int | None = None, /) -> int:
        """Make the file so many bytes long, or as long as the buffer's position says."""
        await self.flush()
        return await self.buffer.truncate(size)

    # The position.

    async def tell(self) -> int:
        """The position, an opaque number for `seek`: for most encodings how many bytes lie before it."""
        self._check()
        if not self.buffer._seeks:
            raise io.UnsupportedOperation("underlying stream is not seekable")
        if self._iterating:
            raise OSError("telling position disabled by next() call")
        await self._begin()
        try:
            await self.buffer._flush()
            return self._cookie()
        finally:
            self._end()

    def _cookie(self) -> int:
        """What io.TextIOWrapper's tell returns here: the last place before this one at which the decoder holds nothing
        back, and what to do from there: flags for it, bytes to feed, whether they are the last, characters to skip."""
        position = self.buffer._position()
        if self._decoder is None or not self._marks:
            return position
        used = self._used
        at = len(self._marks) - 1
        while at > 0 and self._marks[at][0] > used:
            at -= 1
        begins, flags, data, size = self._marks[at]
        # What the decoder held back lies before the bytes of its own piece.
        position -= sum(mark[3] for mark in self._marks[at:]) + len(data) - size
        skip = used - begins
        if skip == 0:
            return position | flags << 64
        decoder = self._decoder
        saved = decoder.getstate()
        try:
            safe, safe_flags, left = self._last_safe(data, flags, skip)
            position += safe
            if left == 0:
                return position | safe_flags << 64
            decoder.setstate((b"", safe_flags))
            fed = count = 0
            final = False
            rest = data[safe:]
            for byte in rest:
                fed += 1
                count += len(decoder.decode(bytes((byte,))))
                if count >= left:
                    break
            else:
                count += len(decoder.decode(b"", True))
                final = True
                if count < left:
                    raise OSError("can't reconstruct logical file position")
            return position | safe_flags << 64 | fed << 96 | left << 128 | final << 160
        finally:
            decoder.setstate(saved)

    def _last_safe(self, data: bytes, flags: int, skip: int) -> tuple[int, int, int]:
        """The last place in `data`, at most `skip` characters on, at which the decoder holds nothing back: where, its
        flags, how many characters are left from there."""
        decoder = self._decoder
        # Halves first: the largest beginning that decodes to no more than that and leaves nothing.
        low = 0
        low_flags, low_count = flags, 0
        high = len(data)
        while high - low > 16:
            middle = (low + high) // 2
            decoder.setstate((b"", low_flags))
            count = low_count + len(decoder.decode(data[low:middle]))
            held, after = decoder.getstate()
            if count > skip:
                high = middle
            elif held:
                if middle - len(held) <= low:
                    break
                # What is held back is tried with the rest.
                decoder.setstate((b"", low_flags))
                count = low_count + len(decoder.decode(data[low : middle - len(held)]))
                again, after = decoder.getstate()
                if again:
                    break
                low, low_flags, low_count = middle - len(held), after, count
                if high - middle <= 16:
                    break
            else:
                low, low_flags, low_count = middle, after, count
        decoder.setstate((b"", low_flags))
        safe, safe_flags, safe_count, count = low, low_flags, low_count, low_count
        for place in range(low, len(data)):
            if count >= skip:
                break
            count += len(decoder.decode(data[place : place + 1]))
            held, after = decoder.getstate()
            if not held and count <= skip:
                safe, safe_flags, safe_count = place + 1, after, count
        return safe, safe_flags, skip - safe_count

    async def seek(self, cookie: int, whence: int = 0, /) -> int:
        """Move to a position that `tell` gave; to the beginning (0) or, with whence 2, the end. Returns it."""
        self._check()
        if not self.buffer._seeks:
            raise io.UnsupportedOperation("underlying stream is not seekable")
        if whence == 1:
            if cookie != 0:
                raise io.UnsupportedOperation("can't do nonzero cur-relative seeks")
            self._iterating = False
            cookie, whence = await self.tell(), 0
        elif whence == 2 and cookie != 0:
            raise io.UnsupportedOperation("can't do nonzero end-relative seeks")
        elif whence not in (0, 2):
            raise ValueError(f"invalid whence ({whence}, should be 0, 1 or 2)")
        if whence == 0 and cookie < 0:
            raise ValueError(f"negative seek position {cookie}")
        await self._begin()
        try:
            if whence == 2:
                await self.buffer._flush()
                place = await self.buffer._seek(0, 2)
                self._changed()
                self._restart_encoder(place)
            else:
                await self._seek_cookie(index(cookie))
                place = cookie
            self._iterating = False
            return place
        finally:
            self._end()

    def _restart_encoder(self, place: int) -> None:
        if self._encoder is not None:
            if place == 0:
                self._encoder.reset()
            else:
                self._encoder.setstate(0)

    async def _seek_cookie(self, cookie: int) -> None:
        if cookie >> 168:
            raise OverflowError("int too big to convert")
        mask = (1 << 32) - 1
        place, flags, fed = cookie & (1 << 64) - 1, cookie >> 64 & mask, cookie >> 96 & mask
        skip, final = cookie >> 128 & mask, bool(cookie >> 160)
        await self.buffer._seek(place, 0)
        self._forget()
        decoder = self._decoder
        if decoder is not None:
            if cookie == 0:
                decoder.reset()
            elif flags or skip:
                decoder.setstate((b"", flags))
                self._marks = [(0, flags, b"", 0)]
            else:
                decoder.reset()
        if skip:
            data = await self.buffer._read(fed)
            decoder.setstate((b"", flags))
            self._chunk = decoder.decode(data, final)
            self._marks = [(0, flags, data, len(data))]
            if len(self._chunk) < skip:
                raise OSError("can't restore logical file position")
            self._used = skip
        self._restart_encoder(cookie)

    # Anywhere in the file: bytes.

    def pread(self, count: int, offset: int, /) -> FileOp[bytes]:
        return self.buffer.pread(count, offset)

    def pwrite(self, data: bytes, offset: int, /) -> FileOp[int]:
        return self.buffer.pwrite(data, offset)

    # The end.

    async def close(self) -> None:
        """As the buffer's: it writes what is left, and closes."""
        if self.closed:
            return
        cancelled: CancelledError | None = None
        while True:
            try:
                await self._take_turn()
                break
            except CancelledError as error:
                cancelled = error
        try:
            await self.buffer.close()
        finally:
            self._chunk = None
            self._marks = []
            self._end_turn()
        if cancelled is not None:
            raise cancelled

    async def __aenter__(self) -> Self:
        self._check()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
