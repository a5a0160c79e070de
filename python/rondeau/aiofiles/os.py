"""aiofiles' `os`: functions of os that touch the disk, to be awaited.

On Rondeau's loop the plain cases are operations of the kernel's, without a thread; with `dir_fd`, with an open file's number
for a name, and for what has no such operation, the executor calls the function of `os`.
"""

from __future__ import annotations

import os

from rondeau import _core

from . import ospath as path
from .base import wrap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import Any

__all__ = [
    "access",
    "getcwd",
    "link",
    "listdir",
    "makedirs",
    "mkdir",
    "path",
    "readlink",
    "remove",
    "removedirs",
    "rename",
    "renames",
    "replace",
    "rmdir",
    "scandir",
    "sendfile",
    "stat",
    "statvfs",
    "symlink",
    "unlink",
    "wrap",
]

# Each of these is called with what the program gave. Names that it does not know (`dir_fd`) are a TypeError, and a number is no
# name to the kernel's operations either: then `wrap` calls the function of `os`.


def _stat(path: Any, *, follow_symlinks: bool = True) -> Awaitable[Any] | None:
    return None if isinstance(path, int) else _core.file_stat(path, follow_symlinks)


def _listdir(path: Any = ".") -> Awaitable[Any] | None:
    if not isinstance(path, str | os.PathLike) or isinstance(os.fspath(path), bytes):
        return None

    async def names() -> list[str]:
        return [name for name, _, _ in await _core.file_list(path)]

    return names()


def _readlink(path: Any) -> Awaitable[Any]:
    plain = os.fspath(path)

    async def target() -> str | bytes:
        found = await _core.file_readlink(plain)
        return found if isinstance(plain, bytes) else os.fsdecode(found)

    return target()


def _symlink(src: Any, dst: Any) -> Awaitable[Any]:
    return _core.file_symlink(src, dst)


def _mkdir(path: Any, mode: int = 0o777) -> Awaitable[Any]:
    return _core.file_mkdir(path, mode)


def _access(path: Any, mode: int, *, follow_symlinks: bool = True) -> Awaitable[Any] | None:
    if isinstance(path, int):
        return None

    async def allowed() -> bool:
        try:
            await _core.file_access(path, mode, False, follow_symlinks)
        except OSError:
            return False
        return True

    return allowed()


def _rename(src: Any, dst: Any) -> Awaitable[Any]:
    return _core.file_rename(src, dst)


def _unlink(path: Any) -> Awaitable[Any]:
    return _core.file_unlink(path)


def _rmdir(path: Any) -> Awaitable[Any]:
    return _core.file_rmdir(path)


access = wrap(os.access, _access)
getcwd = wrap(os.getcwd)
link = wrap(os.link)
listdir = wrap(os.listdir, _listdir)
makedirs = wrap(os.makedirs)
mkdir = wrap(os.mkdir, _mkdir)
readlink = wrap(os.readlink, _readlink)
remove = wrap(os.remove, _unlink)
removedirs = wrap(os.removedirs)
rename = wrap(os.rename, _rename)
renames = wrap(os.renames)
replace = wrap(os.replace, _rename)
rmdir = wrap(os.rmdir, _rmdir)
scandir = wrap(os.scandir)
sendfile = wrap(os.sendfile)
stat = wrap(os.stat, _stat)
statvfs = wrap(os.statvfs)
symlink = wrap(os.symlink, _symlink)
unlink = wrap(os.unlink, _unlink)
