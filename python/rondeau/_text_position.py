"""Where in an open text file one is: `tell` and `seek` with io's opaque positions. A base of `TextFile`."""

from __future__ import annotations

import io
from operator import index

from ._text_reading import TextReading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class TextPosition(TextReading):
    """What a text file does to tell its position and to move it."""

    _encoder: Any

    async def tell(self) -> int:
        """The position, an opaque number for `seek`: for most encodings how many bytes lie before it."""
        self._check()
        if not self._buffer._seeks:
            raise io.UnsupportedOperation("underlying stream is not seekable")
        if self._iterating:
            raise OSError("telling position disabled by next() call")
        await self._begin()
        try:
            await self._buffer._flush()
            return self._cookie()
        finally:
            self._end()

    def _cookie(self) -> int:
        """What io.TextIOWrapper's tell returns here: the last place before this one at which the decoder holds nothing
        back, and what to do from there: flags for it, bytes to feed, whether they are the last, characters to skip."""
        position = self._buffer._told()
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
        if skip <= 0:
            return position | flags << 64
        saved = self._decoder.getstate()
        try:
            return position + self._replay(data, flags, skip, position == 0 and flags == 0)
        finally:
            self._decoder.setstate(saved)

    def _replay(self, data: bytes, flags: int, skip: int, from_start: bool) -> int:
        """The cookie, counted from the beginning of `data`, for so many characters on.

        More than one place may do (before or behind a "\\r" that the decoder holds back), so these are io's steps: a place
        that the ratio of bytes to characters suggests, then a byte at a time. Leaves the decoder in another state; where the
        file begins it is reset, as io does, so that `newlines` is what was seen from there on.
        """
        decoder = self._decoder

        def begin() -> None:
            if from_start:
                decoder.reset()
            else:
                decoder.setstate((b"", flags))

        # Beyond the data, io would decode what lies behind it in memory.
        safe = min(int(self._ratio * skip), len(data))
        back = 1
        while safe > 0:
            begin()
            count = len(decoder.decode(data[:safe]))
            if count <= skip:
                held, after = decoder.getstate()
                if not held:
                    flags = after
                    skip -= count
                    break
                safe -= len(held)
                back = 1
            else:
                safe -= back
                back *= 2
        if safe <= 0:
            safe = 0
            begin()
        if skip == 0:
            return safe | flags << 64
        fed = count = 0
        final = False
        for place in range(safe, len(data)):
            count += len(decoder.decode(data[place : place + 1]))
            fed += 1
            held, after = decoder.getstate()
            if not held and count <= skip:
                safe += fed
                skip -= count
                flags = after
                fed = count = 0
            if count >= skip:
                break
        else:
            count += len(decoder.decode(b"", True))
            final = True
            if count < skip:
                raise OSError("can't reconstruct logical file position")
        return safe | flags << 64 | fed << 96 | skip << 128 | final << 160

    async def seek(self, cookie: int, whence: int = 0, /) -> int:
        """Move to a position that `tell` gave; to the beginning (0) or, with whence 2, the end. Returns it."""
        self._check()
        if not self._buffer._seeks:
            raise io.UnsupportedOperation("underlying stream is not seekable")
        if whence == 1:
            if cookie != 0:
                raise io.UnsupportedOperation("can't do nonzero cur-relative seeks")
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
                await self._buffer._flush()
                place = await self._buffer._seek(0, 2)
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
        await self._buffer._seek(place, 0)
        self._forget()
        decoder = self._decoder
        if decoder is not None:
            if place == 0 and flags == 0:
                decoder.reset()
            else:
                decoder.setstate((b"", flags))
            self._marks = [(0, flags, b"", 0)]
        if skip:
            data = await self._buffer._read(fed)
            decoder.setstate((b"", flags))
            self._chunk = decoder.decode(data, final)
            self._has_read = True
            self._marks = [(0, flags, data, len(data))]
            if len(self._chunk) < skip:
                raise OSError("can't restore logical file position")
            self._used = skip
        self._restart_encoder(cookie)
