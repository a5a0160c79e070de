"""What is in the file that a path names: read whole, written whole, opened. A base of `Path`."""

from __future__ import annotations

import io
import os
import pathlib
import stat
import sys
import tempfile

from . import _core, files
from ._open import open as _open
from ._path_name import PathName
from ._path_waiting import ask, native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import Buffer


class Contents(PathName):
    """A name whose file is read and written."""

    __slots__ = ()

    async def read_bytes(self) -> bytes:
        if not native():
            return await ask(self._path.read_bytes)
        return await files.read_bytes(str(self._path))

    async def write_bytes(self, data: Buffer) -> int:
        """Write `data` in place of what is there; return how many bytes."""
        if not native():
            return await ask(self._path.write_bytes, data)
        with memoryview(data) as view:
            count = view.nbytes
        await _core.file_write(str(self._path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666, data)
        return count

    if sys.version_info >= (3, 13):

        async def read_text(self, encoding: str | None = None, errors: str | None = None, newline: str | None = None) -> str:
            return _decoded(await self.read_bytes(), encoding, errors, newline)
    else:

        async def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
            return _decoded(await self.read_bytes(), encoding, errors)

    async def write_text(
        self, data: str, encoding: str | None = None, errors: str | None = None, newline: str | None = None
    ) -> int:
        """Write `data` in place of what is there; return how many characters."""
        await self.write_bytes(_encoded(data, encoding, errors, newline))
        return len(data)

    async def write_atomic(
        self, data: Buffer | str, encoding: str | None = None, errors: str | None = None, newline: str | None = None
    ) -> None:
        """Write `data` whole or not at all: a reader and a crash find the old contents or the new.

        A new file beside this one is written, synced and renamed, and its folder synced. An old file's mode is kept, and
        its owner where that is allowed; without one the mode is 0600. A symbolic link is replaced, and not followed.
        """
        raw = _encoded(data, encoding, errors, newline) if isinstance(data, str) else data
        if native():
            await _core.file_replace(str(self._path), raw)
        else:
            await ask(_write_atomic, self._path, raw)

    def open(
        self,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> Any:
        """`rondeau.open` of this path: to be awaited, or entered with `async with`."""
        return _open(self._path, mode, buffering, encoding, errors, newline)


def _decoded(data: bytes, encoding: str | None, errors: str | None, newline: str | None = None) -> str:
    encoding = io.text_encoding(encoding, 3)
    return io.TextIOWrapper(io.BytesIO(data), encoding, errors, newline).read()


def _encoded(data: str, encoding: str | None, errors: str | None, newline: str | None) -> bytes:
    if not isinstance(data, str):
        raise TypeError(f"data must be str, not {type(data).__name__}")
    raw = io.BytesIO()
    text = io.TextIOWrapper(raw, io.text_encoding(encoding, 3), errors, newline)
    text.write(data)
    text.flush()
    return raw.getvalue()


def _kept(fd: int, old: os.stat_result) -> int:
    """Give the new file the old one's owner and group where that is allowed; return the bits of its mode that may be kept."""
    mode, new = old.st_mode, os.fstat(fd)
    for name, owner, group, bit in (("st_gid", -1, old.st_gid, stat.S_ISGID), ("st_uid", old.st_uid, -1, stat.S_ISUID)):
        try:
            if getattr(new, name) != getattr(old, name):
                os.fchown(fd, owner, group)
        except OSError:
            mode &= ~bit  # What runs as its owner must not run as another.
    return mode


def _write_atomic(path: pathlib.Path, data: Buffer) -> None:
    """In a thread, where the loop is not ours."""
    fd, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(fd, "wb") as file:
            file.write(data)
            if path.exists():
                os.fchmod(fd, stat.S_IMODE(_kept(fd, path.stat())))
            file.flush()
            os.fsync(fd)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
