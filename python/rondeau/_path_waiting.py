"""Where a path's methods wait: whether the loop asks the kernel, and if not, how a thread is asked.

`ask` is the one place where a path waits for a thread of the default executor.
"""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import islice

from .loop import EventLoop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from typing import Any, TypeVar

    T = TypeVar("T")

BATCH = 64  # How many entries a thread looks for at a time.


async def ask(function: Callable[..., T], *args: Any, **options: Any) -> T:
    """Call what blocks."""
    return await asyncio.get_running_loop().run_in_executor(None, partial(function, *args, **options))


def native() -> bool:
    """Whether the kernel is asked through the loop."""
    return isinstance(asyncio.get_running_loop(), EventLoop)


async def each_of(make: Callable[[], Iterable[T]], batch: int = BATCH) -> AsyncIterator[T]:
    """What `make()` gives, a batch in a thread each; an error comes after what was found before it."""
    iterator = iter(await ask(make))

    def some() -> tuple[list[T], BaseException | None]:
        found: list[T] = []
        try:
            for each in islice(iterator, batch):
                found.append(each)
        except Exception as error:
            return found, error
        return found, None

    while True:
        found, error = await ask(some)
        for each in found:
            yield each
        if error is not None:
            raise error
        if len(found) < batch:
            return
