"""`rondeau.open`: the builtin `open`, for coroutines.

What it says of its arguments is what `open` says: the same exceptions with the same words, a few of them earlier (before
the file is touched), where `open` has opened it already.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import warnings
from operator import index

from . import _core
from ._binary_file import BinaryFile
from ._raw_file import RawFile
from ._text_file import TextFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

    AnyFile = BinaryFile | RawFile | TextFile


def open(
    file: Any,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Callable[[Any, int], int] | None = None,
) -> Opening:
    """Open a file for coroutines: `await` it for the file, or `async with` it, which closes the file.

    The arguments are those of the builtin `open`, and the file has its methods, to be awaited: read, readline, readlines,
    write, writelines, seek, tell, truncate, flush, close, and for bytes read1, readinto, peek; `async for` gives lines.
    Beside them: fsync(); pread(count, offset), pwrite(data, offset), readv and writev, of which any number may be under way.

    Raises what `open` raises: OSError with the file's name, ValueError, TypeError, LookupError; UnicodeError when text is
    read or written.

    >>> import rondeau
    >>> async def main():
    ...     async with rondeau.open("/tmp/rondeau-menu", "w+") as menu:
    ...         await menu.write("soup\\nroast\\nsalad\\n")
    ...         await menu.seek(0)
    ...         print([dish.rstrip() async for dish in menu])
    >>> rondeau.run(main())
    ['soup', 'roast', 'salad']
    """
    if not isinstance(file, int):
        file = os.fspath(file)
    for name, value in (("mode", mode), ("encoding", encoding), ("errors", errors), ("newline", newline)):
        if not isinstance(value, str) and (value is not None or name == "mode"):
            wanted = "str" if name == "mode" else "str or None"
            given_type = "None" if value is None else type(value).__name__
            raise TypeError(f"open() argument '{name}' must be {wanted}, not {given_type}")
    binary = "b" in mode
    if set(mode) - set("axrwb+t") or len(mode) > len(set(mode)):
        raise ValueError(f"invalid mode: {mode!r}")
    if binary and "t" in mode:
        raise ValueError("can't have text and binary mode at once")
    buffering = index(buffering)
    if not -(1 << 31) <= buffering < 1 << 31:
        raise OverflowError("Python int too large to convert to C int")
    kinds = len(set(mode) & set("xrwa"))
    if kinds > 1:
        raise ValueError("must have exactly one of create/read/write/append mode")
    if kinds == 0:
        raise ValueError("Must have exactly one of create/read/write/append mode and at most one plus")
    if binary:
        for name, given in (("encoding", encoding), ("errors", errors), ("newline", newline)):
            if given is not None:
                raise ValueError(f"binary mode doesn't take {'a' if name == 'newline' else 'an'} {name} argument")
        if buffering == 1:
            warnings.warn(
                "line buffering (buffering=1) isn't supported in binary mode, the default buffer size will be used",
                RuntimeWarning,
                stacklevel=2,
            )
    elif encoding is None:
        encoding = io.text_encoding(None, 2)
        encoding = None if encoding == "locale" else encoding
    if not isinstance(file, int) and not closefd:
        raise ValueError("Cannot use closefd=False with file name")
    if isinstance(file, int) and file < 0:
        raise ValueError("negative file descriptor")
    return Opening((file, mode, buffering, encoding, errors, newline, closefd, opener))


class Opening:
    """What `open` returns. Nothing is opened before it is awaited or entered."""

    __slots__ = ("_arguments", "_begun", "_file")

    def __init__(self, arguments: tuple[Any, ...]) -> None:
        self._arguments = arguments
        self._begun = False
        self._file: AnyFile | None = None

    def __del__(self) -> None:
        if not self._begun:
            warnings.warn(f"{self!r} was never awaited", RuntimeWarning, stacklevel=2, source=self)

    def __repr__(self) -> str:
        return f"<rondeau.open({self._arguments[0]!r}, {self._arguments[1]!r})>"

    def __await__(self) -> Generator[Any, Any, Any]:
        self._begun = True
        return _open(*self._arguments).__await__()

    async def __aenter__(self) -> Any:
        self._begun = True
        self._file = await _open(*self._arguments)
        return self._file

    async def __aexit__(self, *_: object) -> None:
        assert self._file is not None
        await self._file.close()


def flags_of(mode: str) -> int:
    """The flags of open(2) for a mode of `open`."""
    access = os.O_RDWR if "+" in mode else os.O_RDONLY if "r" in mode else os.O_WRONLY
    if "w" in mode:
        return access | os.O_CREAT | os.O_TRUNC
    if "a" in mode:
        return access | os.O_CREAT | os.O_APPEND
    if "x" in mode:
        return access | os.O_CREAT | os.O_EXCL
    return access


async def _native(file: Any, flags: int, closefd: bool, opener: Callable[[Any, int], int] | None) -> _core.File:
    if isinstance(file, int):
        return _core.file_adopt(file, bool(closefd))
    if opener is None:
        return await _core.file_open(file, flags, 0o666)
    number = opener(file, flags | os.O_CLOEXEC)
    if not isinstance(number, int):
        raise TypeError("expected integer from opener")
    if number < 0:
        raise ValueError(f"opener returned {number}")
    os.set_inheritable(number, False)
    return _core.file_adopt(number, True)


async def _open(
    file: Any,
    mode: str,
    buffering: int,
    encoding: str | None,
    errors: str | None,
    newline: str | None,
    closefd: bool,
    opener: Callable[[Any, int], int] | None,
) -> AnyFile:
    flags = flags_of(mode)
    native = await _native(file, flags, closefd, opener)
    try:
        # Of a file that has just been opened the kernel knows this without asking a disk or a network.
        known = os.fstat(native.fileno())
        if stat.S_ISDIR(known.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), file)
        binary = "b" in mode
        line_buffering = not binary and (
            buffering == 1 or (buffering < 0 and stat.S_ISCHR(known.st_mode) and os.isatty(native.fileno()))
        )
        if buffering == 0 and not binary:
            raise ValueError("can't have unbuffered text I/O")
        kind = RawFile if buffering == 0 else BinaryFile
        bytes_file = kind(native, file, flags, known, -1 if buffering in (0, 1) else buffering)
        if "+" in mode and buffering and not bytes_file._seeks:
            bytes_file._closed = True
            raise io.UnsupportedOperation("File or stream is not seekable.")
    except BaseException:
        native.drop()
        raise
    if binary:
        return bytes_file
    try:
        text = TextFile(bytes_file, encoding, errors, newline, line_buffering=line_buffering)
    except BaseException:
        bytes_file._closed = True
        native.drop()
        raise
    text.mode = mode
    return text
