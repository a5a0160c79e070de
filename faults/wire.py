"""What a scenario speaks with: bytes that say whose they are, and the place where what went wrong is noted.

Each connection has a number; its bytes are that number's pattern from the first on. Whoever receives checks, at both ends, so
a byte of another connection, a lost one and a doubled one are all seen.
"""

import asyncio
import contextlib
import functools
import random
from collections.abc import AsyncIterator, Coroutine
from typing import Any

HEAD = 4


class Wire:
    def __init__(self, step=None) -> None:
        self.wrong: list[str] = []
        self.ended: list[str] = []
        self._step = step

    @staticmethod
    @functools.lru_cache(64)
    def pattern(number: int, size: int) -> bytes:
        """`size` bytes of connection `number`; the first four name it."""
        return number.to_bytes(HEAD, "big") + random.Random(number).randbytes(size - HEAD)

    def check(self, number: int, size: int, got: bytes, where: str) -> None:
        """What came so far must be the beginning of what was sent."""
        if not self.pattern(number, size).startswith(bytes(got)):
            at = next(index for index, (a, b) in enumerate(zip(self.pattern(number, size), got, strict=False)) if a != b)
            self.wrong.append(f"{where}: connection {number} got a byte that is not its own, at {at} of {len(got)}")

    def check_any(self, size: int, got: bytes, where: str) -> None:
        """The same at the end that learns the number from the bytes."""
        if len(got) >= HEAD:
            self.check(int.from_bytes(got[:HEAD], "big"), size, got, where)

    def steps(self, coro: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
        """`coro`, to be cancelled at one of its awaits where the sweep is of that kind."""
        return coro if self._step is None else self._step(coro)


async def all_of(*coros: Coroutine[Any, Any, Any]) -> None:
    """Runs all to their end, or until one fails, which is raised: nothing is left running."""
    tasks = [asyncio.ensure_future(coro) for coro in coros]
    try:
        left = set(tasks)
        while left:  # FIRST_EXCEPTION does not end for one that was cancelled.
            done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            if any(task.cancelled() or task.exception() for task in done):
                break
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


@contextlib.asynccontextmanager
async def serving(server: asyncio.Server) -> AsyncIterator[Any]:
    """A server for a while; gives its first address."""
    try:
        if not server.sockets:
            raise OSError("create_server() skips an address that it can make no socket for")
        yield server.sockets[0].getsockname()
    finally:
        server.close()
        await server.wait_closed()


async def close(writer: asyncio.StreamWriter) -> None:
    """Closes a stream whatever state it is in."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
