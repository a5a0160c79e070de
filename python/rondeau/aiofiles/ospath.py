"""aiofiles' `ospath`: what of os.path asks the disk, to be awaited. On Rondeau's loop one operation, and no thread."""

from __future__ import annotations

import os
import stat
from os import path

from rondeau import _core

from .base import wrap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

__all__ = [
    "abspath",
    "exists",
    "getatime",
    "getctime",
    "getmtime",
    "getsize",
    "isdir",
    "isfile",
    "islink",
    "ismount",
    "samefile",
    "sameopenfile",
]


def _of_stat(look: Callable[[os.stat_result], Any]) -> Callable[..., Awaitable[Any] | None]:
    """What one `stat` says. A number is an open file's: for that os.path asks."""

    def native(name: Any) -> Awaitable[Any] | None:
        if isinstance(name, int):
            return None

        async def ask() -> Any:
            return look(await _core.file_stat(name))

        return ask()

    return native


def _whether(kind: Callable[[int], bool], follow: bool = True) -> Callable[..., Awaitable[Any] | None]:
    """Whether there is such a file; not, whatever keeps it from being looked at."""

    def native(name: Any) -> Awaitable[Any] | None:
        if not isinstance(name, str | bytes | os.PathLike):
            return None

        async def ask() -> bool:
            try:
                return kind((await _core.file_stat(name, follow)).st_mode)
            except (OSError, ValueError):
                return False

        return ask()

    return native


abspath = wrap(path.abspath)
exists = wrap(path.exists, _whether(bool))
getatime = wrap(path.getatime, _of_stat(lambda known: known.st_atime))
getctime = wrap(path.getctime, _of_stat(lambda known: known.st_ctime))
getmtime = wrap(path.getmtime, _of_stat(lambda known: known.st_mtime))
getsize = wrap(path.getsize, _of_stat(lambda known: known.st_size))
isdir = wrap(path.isdir, _whether(stat.S_ISDIR))
isfile = wrap(path.isfile, _whether(stat.S_ISREG))
islink = wrap(path.islink, _whether(stat.S_ISLNK, False))
ismount = wrap(path.ismount)
samefile = wrap(path.samefile)
sameopenfile = wrap(path.sameopenfile)
