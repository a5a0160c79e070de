"""`open`, `wrap`, and the standard streams, under aiofiles' names."""

from __future__ import annotations

import asyncio
import builtins
import sys
from functools import partial, singledispatch
from io import BufferedIOBase, BufferedRandom, BufferedReader, BufferedWriter, FileIO, TextIOBase

from ..base import AiofilesContextManager, serves
from .binary import AsyncBufferedIOBase, AsyncBufferedReader, AsyncFileIO
from .standard import BytesStream, TextStream
from .text import AsyncTextIOWrapper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from typing import Any

__all__ = ("open", "stderr", "stderr_bytes", "stdin", "stdin_bytes", "stdout", "stdout_bytes")

# What opens where an executor does; a program (or a test) may put its own function here, and then that is called.
sync_open = builtins.open


def open(
    file: Any,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Callable[[str, int], int] | None = None,
    *,
    loop: asyncio.AbstractEventLoop | None = None,
    executor: Executor | None = None,
) -> AiofilesContextManager:
    """`open` as aiofiles has it: `await` it, or `async with` it. With `executor`, and on another loop, threads do the work."""
    arguments = (file, mode, buffering, encoding, errors, newline, closefd, opener)
    return AiofilesContextManager(_open(arguments, loop, executor))


async def _open(arguments: Any, loop: asyncio.AbstractEventLoop | None, executor: Executor | None) -> Any:
    if serves(loop, executor) and sync_open is builtins.open:
        from rondeau._open import open as native_open

        from .native import adopt

        return adopt(await native_open(*arguments))
    running = loop or asyncio.get_running_loop()
    opened = await running.run_in_executor(executor, partial(sync_open, *arguments))
    return wrap(opened, loop=loop, executor=executor)


@singledispatch
def wrap(
    file: Any, *, loop: asyncio.AbstractEventLoop | None = None, executor: Executor | None = None
) -> AsyncTextIOWrapper | AsyncBufferedIOBase | AsyncFileIO:
    """A plain file that is open already, with methods that an executor calls.

    Raises:
        TypeError: it is no file of `io`'s.
    """
    raise TypeError(f"Unsupported io type: {file}.")


for _kinds, _class in (
    ((TextIOBase,), AsyncTextIOWrapper),
    ((BufferedWriter, BufferedIOBase), AsyncBufferedIOBase),
    ((BufferedReader, BufferedRandom), AsyncBufferedReader),
    ((FileIO,), AsyncFileIO),
):
    for _kind in _kinds:
        wrap.register(_kind, lambda file, *, loop=None, executor=None, made=_class: made(file, loop, executor))
del _kinds, _class, _kind

stdin = TextStream("sys.stdin", None, None, indirect=lambda: sys.stdin)
stdout = TextStream("sys.stdout", None, None, indirect=lambda: sys.stdout)
stderr = TextStream("sys.stderr", None, None, indirect=lambda: sys.stderr)
stdin_bytes = BytesStream("sys.stdin.buffer", None, None, indirect=lambda: sys.stdin.buffer)
stdout_bytes = BytesStream("sys.stdout.buffer", None, None, indirect=lambda: sys.stdout.buffer)
stderr_bytes = BytesStream("sys.stderr.buffer", None, None, indirect=lambda: sys.stderr.buffer)
