"""aiofiles' classes over a file of `rondeau.open`, which waits in the loop and not in a thread.

`adopt(file)` gives the form that aiofiles has for such a file. Its methods are the file's own, put on the object, so that a
call costs what it costs there. Where aiofiles awaits what is known without asking (`seekable`, `writable`, `isatty`) there is
a coroutine.
"""

from __future__ import annotations

import io
import os

from rondeau._binary_file import BinaryFile
from rondeau._raw_file import RawFile
from rondeau._text_file import TextFile

from .binary import AsyncBufferedIOBase, AsyncBufferedReader, AsyncFileIO
from .text import AsyncTextIOWrapper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_COMMON = ("close", "flush", "read", "readline", "readlines", "seek", "tell", "truncate", "write", "writelines")
_TEXT = _COMMON
_RAW = (*_COMMON, "readall", "readinto")
_BINARY = (*_COMMON, "read1", "readinto", "peek")


class _Native:
    """The methods that are not the file's own."""

    _file: Any

    async def _leave(self, *_: object) -> None:
        await self._file.close()

    async def isatty(self) -> bool:
        return bool(self._file.isatty())

    async def seekable(self) -> bool:
        return bool(self._file.seekable())

    async def writable(self) -> bool:
        return bool(self._file.writable())

    def __aiter__(self) -> Any:
        return self._file.__aiter__()


class NativeTextIOWrapper(_Native, AsyncTextIOWrapper):
    def detach(self) -> Any:
        """The plain buffered file that is left, at the same position. From then on every method raises ValueError."""
        self._file._check()
        buffer = self._file.buffer
        plain = _detached(buffer)
        left = io.TextIOWrapper(io.BytesIO())
        left.detach()
        vars(self).clear()
        self.__init__(left, None, None)  # type: ignore[misc]
        if buffer._reads and buffer._writes:
            return io.BufferedRandom(plain)
        return io.BufferedReader(plain) if buffer._reads else io.BufferedWriter(plain)


class _Detached:
    def detach(self: Any) -> io.FileIO:
        """The plain raw file that is left, at the same position. From then on every method raises ValueError."""
        plain = _detached(self._file)
        left = io.BufferedRandom(io.BytesIO())  # type: ignore[arg-type]
        left.detach()
        vars(self).clear()
        self.__init__(left, None, None)
        return plain


class NativeBufferedIOBase(_Native, _Detached, AsyncBufferedIOBase):
    pass


class NativeBufferedReader(_Native, _Detached, AsyncBufferedReader):
    pass


class NativeFileIO(_Native, AsyncFileIO):
    pass


def adopt(file: BinaryFile | TextFile) -> Any:
    kind: Any
    names: tuple[str, ...]
    if isinstance(file, TextFile):
        kind, names = NativeTextIOWrapper, _TEXT
    elif isinstance(file, RawFile):
        kind, names = NativeFileIO, _RAW
    else:
        kind, names = (NativeBufferedReader if file._reads else NativeBufferedIOBase), _BINARY
    adopted = kind(file, None, None)
    vars(adopted).update({name: getattr(file, name) for name in names})
    return adopted


def _detached(file: BinaryFile) -> io.FileIO:
    """A plain file in place of `file`. What it has not written yet is written here and now, as detach cannot wait."""
    file._check("raw stream has been detached")
    number = os.dup(file.fileno())
    try:
        if file._out:
            if file._seeks and not file._appends:
                os.lseek(number, file._end, os.SEEK_SET)
            while file._out:
                del file._out[: os.write(number, file._out)]
        elif file._seeks:
            os.lseek(number, file._position(), os.SEEK_SET)
        plain = io.FileIO(number, file.mode)
    except BaseException:
        os.close(number)
        raise
    file._closed = True
    file._file.drop()
    return plain
