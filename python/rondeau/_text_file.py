"""An open file of text: what `await rondeau.open(path)` gives.

Here are what is known of it, writing and the end; reading and positions are the bases'.
"""

from __future__ import annotations

import codecs
import io
import os
from asyncio import CancelledError

from ._binary_file import BinaryFile
from ._descriptor import no_operation
from ._text_position import TextPosition

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Self

    from ._core import FileOp

NEWLINES = {None: 0, "": 1, "\n": 0, "\r": 2, "\r\n": 3}
ENDS = {0: "\n", 2: "\r", 3: "\r\n"}


class TextFile(TextPosition):
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
