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
from ._detached import Detached
from ._text_position import TextPosition

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Self

    from ._core import FileOp

NEWLINES = {None: 0, "": 1, "\n": 0, "\r": 2, "\r\n": 3}
ENDS = {0: "\n", 2: "\r", 3: "\r\n"}


def buffer_is_refused() -> bool:
    """Whether `buffer` of a detached text file raises here; up to 3.13 it is None."""
    text = io.TextIOWrapper(io.BytesIO())
    text.detach()
    try:
        return text.buffer is not None
    except ValueError:
        return True


BUFFER_IS_REFUSED = buffer_is_refused()


class TextFile(TextPosition):
    """A file that was opened by `rondeau.open` in a text mode."""

    def __init__(
        self, buffer: BinaryFile, encoding: str | None, errors: str | None, newline: str | None, *, line_buffering: bool
    ) -> None:
        # io's own class says what the names mean, and what is wrong with them.
        model = io.TextIOWrapper(io.BytesIO(), encoding, errors, newline)
        self._buffer = buffer
        self._waiters = None
        self.line_buffering = line_buffering
        self.write_through = False
        self.mode = buffer.mode
        self._chunk = ""
        self._marks: list[tuple[int, int, bytes, int]] = []
        self._ratio = 0.0
        self._tells = buffer._seeks
        self._end_lines(newline)
        self._code(model)

    def _end_lines(self, newline: str | None) -> None:
        """Takes over how lines end."""
        self._given_newline = newline
        self._newline = NEWLINES[newline]
        self._ends = None if newline in ("", "\n") else os.linesep if newline is None else newline
        if self._ends == "\n":
            self._ends = None

    def _code(self, model: io.TextIOWrapper) -> None:
        """Takes over the encoding that the model has."""
        buffer = self._buffer
        newline = self._given_newline
        self.encoding: str = model.encoding
        self.errors: str = model.errors  # type: ignore[assignment]
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
    def buffer(self) -> BinaryFile | None:
        """The file of bytes underneath. When it was detached None, or ValueError where this Python's `io` raises it (3.14)."""
        if isinstance(self._buffer, Detached):
            if BUFFER_IS_REFUSED:
                raise ValueError(self._buffer.message)
            return None
        return self._buffer

    @property
    def name(self) -> Any:
        return self._buffer.name

    @property
    def closed(self) -> bool:
        return self._buffer.closed

    @property
    def newlines(self) -> str | tuple[str, ...] | None:
        if isinstance(self._buffer, Detached):
            raise ValueError(self._buffer.message)
        return getattr(self._decoder, "newlines", None)

    def fileno(self) -> int:
        return self._buffer.fileno()

    def isatty(self) -> bool:
        self._check()
        return self._buffer.isatty()

    def readable(self) -> bool:
        return self._buffer.readable()

    def writable(self) -> bool:
        return self._buffer.writable()

    def seekable(self) -> bool:
        self._check()
        return self._buffer._seeks

    def __repr__(self) -> str:
        if isinstance(self._buffer, Detached):
            return f"<rondeau.TextFile mode={self.mode!r} encoding={self.encoding!r}>"
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
        buffer = self._buffer
        flushes = self.line_buffering and ("\n" in text or "\r" in text)
        translated = text.replace("\n", self._ends) if self._ends is not None and "\n" in text else text
        if self._busy or buffer._busy or buffer._left is not None or flushes:
            return await self._write(text, translated, flushes)
        data = self._encoder.encode(translated)
        if len(buffer._out) + len(data) > buffer._room:
            return await self._write_encoded(len(text), data, False)
        self._written()
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
        buffer = self._buffer
        self._written()
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
            await self._buffer._flush()
            self._iterating = False
        finally:
            self._end()

    async def fsync(self, *, data_only: bool = False) -> None:
        """Flush, then wait until all of it is on the disk; with data_only without the times (fdatasync)."""
        await self.flush()
        await self._buffer.fsync(data_only=data_only)

    async def truncate(self, size: int | None = None, /) -> int:
        """Make the file so many bytes long, or as long as the buffer's position says."""
        await self.flush()
        return await self._buffer.truncate(size)

    # Anywhere in the file: bytes.

    def pread(self, count: int, offset: int, /) -> FileOp[bytes]:
        return self._buffer.pread(count, offset)

    def pwrite(self, data: bytes, offset: int, /) -> FileOp[int]:
        return self._buffer.pwrite(data, offset)

    # Another shape.

    def _check_unread(self, given: dict[str, Any]) -> None:
        if self._decoder is not None and self._has_read and not given.keys().isdisjoint(("encoding", "errors", "newline")):
            raise io.UnsupportedOperation("It is not possible to set the encoding or newline of stream after the first read")

    async def reconfigure(
        self,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: Any = ...,
        line_buffering: bool | None = None,
        write_through: bool | None = None,
    ) -> None:
        """Flush, then go on with other settings; what is left out stays. As io.TextIOWrapper's, with its exceptions.

        Raises io.UnsupportedOperation for encoding, errors and newline after the first read.
        """
        given: dict[str, Any] = {
            "encoding": encoding,
            "errors": errors,
            "line_buffering": line_buffering,
            "write_through": write_through,
        }
        given = {name: value for name, value in given.items() if value is not None}
        if newline is not ...:
            given["newline"] = newline
        self._check_unread(given)
        await self._begin()
        try:
            self._check_unread(given)
            model = io.TextIOWrapper(
                io.BytesIO(),
                self.encoding,
                self.errors,
                self._given_newline,
                line_buffering=self.line_buffering,
                write_through=self.write_through,
            )
            coding = {name: given.pop(name) for name in ("encoding", "errors") if name in given}
            if not all(isinstance(value, str) for value in coding.values()):
                model.reconfigure(**coding)  # Raises TypeError, before anything else.
            model.reconfigure(**given)
            await self._buffer._flush()
            self._iterating = False
            self._ratio = 0.0
            if "newline" in given:
                self._end_lines(newline)  # Stays, as io has it, also where the encoding turns out to be wrong.
            model.reconfigure(**coding)
            self.line_buffering, self.write_through = model.line_buffering, model.write_through
            if coding or "newline" in given:
                self._code(model)
        finally:
            self._end()

    async def detach(self) -> BinaryFile:
        """Flush, and give the file of bytes; this object is of no use any more: it raises ValueError.

        As io has it: the position is behind what was decoded, at most 8192 bytes more than what was read.
        """
        await self._begin()
        try:
            await self._buffer._flush()
        except BaseException:
            self._end()
            raise
        self._end()
        buffer = self._buffer
        left: Any = Detached("underlying buffer has been detached")
        self._buffer = left
        self._decoder = None  # So that `_refill` has nothing to do, and `_next_line` says what is wrong.
        self._chunk = None
        self._marks = []
        return buffer

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
            await self._buffer.close()
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
