"""What aiofiles' classes have in common: calling by an executor, opening by `await` or `async with`, going over lines."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager
from functools import partial, wraps

from rondeau.loop import EventLoop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from concurrent.futures import Executor
    from typing import Any


def serves(loop: asyncio.AbstractEventLoop | None, executor: Executor | None) -> bool:
    """Whether the kernel is asked through the loop that runs, and no executor."""
    running = asyncio.get_running_loop()
    return executor is None and isinstance(running, EventLoop) and loop in (None, running)


def wrap(
    func: Callable[..., Any], native: Callable[..., Awaitable[Any] | None] | None = None
) -> Callable[..., Coroutine[Any, Any, Any]]:
    """`func` as a coroutine function, which an executor calls: that of the keyword `executor`, or the loop's.

    Args:
        func: what is called; its parameters are the new function's.
        native: asked first, where our loop runs and no executor is named. Given the same arguments it returns what is to
            be awaited instead, or None where it does not know them.
    """

    @wraps(func)
    async def run(
        *args: Any, loop: asyncio.AbstractEventLoop | None = None, executor: Executor | None = None, **kwargs: Any
    ) -> Any:
        if native is not None and serves(loop, executor):
            try:
                operation = native(*args, **kwargs)
            except (TypeError, ValueError):
                operation = None  # The plain function says what is wrong with them.
            if operation is not None:
                return await operation
        return await (loop or asyncio.get_running_loop()).run_in_executor(executor, partial(func, *args, **kwargs))

    return run


class AsyncBase:
    """A file whose methods an executor calls."""

    def __init__(self, file: Any, loop: asyncio.AbstractEventLoop | None, executor: Executor | None) -> None:
        self._file = file
        self._executor = executor
        self._ref_loop = loop

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return self._ref_loop or asyncio.get_running_loop()

    async def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return await self._loop.run_in_executor(self._executor, partial(getattr(self._file, name), *args, **kwargs))

    async def _leave(self, *raised: Any) -> None:
        await self._call("__exit__", *raised)

    def __aiter__(self) -> Any:
        return self

    def __repr__(self) -> str:
        return f"{super().__repr__()} wrapping {self._file!r}"

    async def __anext__(self) -> Any:
        line = await self.readline()  # type: ignore[attr-defined]
        if not line:
            raise StopAsyncIteration
        return line


class AsyncIndirectBase(AsyncBase):
    """The same of a file that is looked up for each call, as `sys.stdout` is."""

    def __init__(
        self, name: str, loop: asyncio.AbstractEventLoop | None, executor: Executor | None, indirect: Callable[[], Any]
    ) -> None:
        self._indirect = indirect
        self._name = name
        super().__init__(None, loop, executor)

    @property
    def _file(self) -> Any:
        return self._indirect()

    @_file.setter
    def _file(self, value: Any) -> None:
        """Looked up; nothing is kept."""


class AiofilesContextManager(Awaitable["Any"], AbstractAsyncContextManager["Any"]):
    """What opens a file: `await` gives it, `async with` closes it too."""

    __slots__ = ("_coro", "_obj")

    def __init__(self, coro: Coroutine[Any, Any, Any]) -> None:
        self._coro = coro
        self._obj: Any = None

    def __await__(self) -> Generator[Any, Any, Any]:
        if self._obj is None:
            self._obj = yield from self._coro.__await__()
        return self._obj

    async def __aenter__(self) -> Any:
        return await self

    async def __aexit__(self, *raised: Any) -> None:
        opened, self._obj = self._obj, None
        await opened._leave(*raised)
