"""aiofiles' `tempfile`: temporary files (mode 0600) and folders (0700), to be awaited. Python's own, which an executor makes
and uses.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from functools import partial

from ..base import AiofilesContextManager
from ..threadpool import wrap
from .temptypes import AsyncSpooledTemporaryFile, AsyncTemporaryDirectory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from typing import Any

    Loop = asyncio.AbstractEventLoop | None

__all__ = ["NamedTemporaryFile", "SpooledTemporaryFile", "TemporaryDirectory", "TemporaryFile"]


if sys.version_info >= (3, 12):

    def NamedTemporaryFile(
        mode: str = "w+b",
        buffering: int = -1,
        encoding: str | None = None,
        newline: str | None = None,
        suffix: str | None = None,
        prefix: str | None = None,
        dir: Any = None,
        delete: bool = True,
        delete_on_close: bool = True,
        loop: Loop = None,
        executor: Executor | None = None,
    ) -> AiofilesContextManager:
        """A temporary file with a name; see `tempfile.NamedTemporaryFile`."""
        made = partial(
            tempfile.NamedTemporaryFile,
            *(mode, buffering, encoding, newline, suffix, prefix, dir, delete),
            delete_on_close=delete_on_close,
        )
        return AiofilesContextManager(_file(made, loop, executor))
else:

    def NamedTemporaryFile(
        mode: str = "w+b",
        buffering: int = -1,
        encoding: str | None = None,
        newline: str | None = None,
        suffix: str | None = None,
        prefix: str | None = None,
        dir: Any = None,
        delete: bool = True,
        loop: Loop = None,
        executor: Executor | None = None,
    ) -> AiofilesContextManager:
        """A temporary file with a name; see `tempfile.NamedTemporaryFile`."""
        made = partial(tempfile.NamedTemporaryFile, *(mode, buffering, encoding, newline, suffix, prefix, dir, delete))
        return AiofilesContextManager(_file(made, loop, executor))


def TemporaryFile(
    mode: str = "w+b",
    buffering: int = -1,
    encoding: str | None = None,
    newline: str | None = None,
    suffix: str | None = None,
    prefix: str | None = None,
    dir: Any = None,
    loop: Loop = None,
    executor: Executor | None = None,
) -> AiofilesContextManager:
    """A temporary file without a name; see `tempfile.TemporaryFile`."""
    made = partial(tempfile.TemporaryFile, *(mode, buffering, encoding, newline, suffix, prefix, dir))
    return AiofilesContextManager(_file(made, loop, executor))


def SpooledTemporaryFile(
    max_size: int = 0,
    mode: str = "w+b",
    buffering: int = -1,
    encoding: str | None = None,
    newline: str | None = None,
    suffix: str | None = None,
    prefix: str | None = None,
    dir: Any = None,
    loop: Loop = None,
    executor: Executor | None = None,
) -> AiofilesContextManager:
    """One that is kept in memory up to `max_size` bytes; see `tempfile.SpooledTemporaryFile`."""
    made = partial(tempfile.SpooledTemporaryFile, *(max_size, mode, buffering, encoding, newline, suffix, prefix, dir))
    return AiofilesContextManager(_made(AsyncSpooledTemporaryFile, made, loop, executor))


def TemporaryDirectory(
    suffix: str | None = None,
    prefix: str | None = None,
    dir: Any = None,
    loop: Loop = None,
    executor: Executor | None = None,
) -> AiofilesContextManagerTempDir:
    """A temporary folder; `async with` gives its name. See `tempfile.TemporaryDirectory`."""
    made = partial(tempfile.TemporaryDirectory, suffix, prefix, dir)
    return AiofilesContextManagerTempDir(_made(AsyncTemporaryDirectory, made, loop, executor))


async def _made(kind: Any, make: Callable[[], Any], loop: Loop, executor: Executor | None) -> Any:
    return kind(await (loop or asyncio.get_running_loop()).run_in_executor(executor, make), loop, executor)


async def _file(make: Callable[[], Any], loop: Loop, executor: Executor | None) -> Any:
    file = await (loop or asyncio.get_running_loop()).run_in_executor(executor, make)
    # A named one has the file in it, which says what it can do; its own methods also remove it.
    wrapped: Any = wrap(getattr(file, "file", file), loop=loop, executor=executor)
    wrapped._file = file
    for name in ("delete", "_closer"):
        if hasattr(file, name):
            setattr(wrapped, name, getattr(file, name))
    return wrapped


class AiofilesContextManagerTempDir(AiofilesContextManager):
    """Gives the folder's name, as `tempfile.TemporaryDirectory` does, and not the object."""

    async def __aenter__(self) -> Any:
        return (await self).name
