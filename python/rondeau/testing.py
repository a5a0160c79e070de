"""`rondeau.testing`: what a test suite can ask of a program on Rondeau.

`no_blocking` fails a test in which something blocked the loop, with the file and the line. It is `rondeau.watchdog` with an
exception at its end. `virtual_clock` has what waits by the loop's time wait for nothing.
"""

from __future__ import annotations

import asyncio
import functools
import inspect

from ._block import Block
from ._virtual_time import StuckError, virtual_clock
from ._watchdog import watchdog
from .loop import EventLoop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    F = TypeVar("F", bound=Callable[..., Any])

__all__ = ["Block", "BlockingError", "StuckError", "no_blocking", "virtual_clock"]


class BlockingError(AssertionError):
    """Something blocked the loop inside of `no_blocking`. `blocks` has each, with file, line and stack."""

    def __init__(self, blocks: list[Block]) -> None:
        self.blocks = blocks
        often = f"{len(blocks)} times" if len(blocks) > 1 else "once"
        super().__init__("\n".join([f"the loop was blocked {often}:", *(f"- {block}\n  {block.advice}" for block in blocks)]))

    def __reduce__(self) -> Any:
        return type(self), (self.blocks,)


class no_blocking:
    """Raise `BlockingError` at the end if anything blocked a Rondeau loop meanwhile.

    A context manager, an asynchronous one, or a decorator. In a test that fails anyway, the blocks become a note of its
    exception. Loops that are not Rondeau's are not seen.

    Args:
        threshold: seconds that a callback, a task's step, or a turn of many may take; from 0.001. What takes a quarter longer
            is always seen.

    Raises:
        BlockingError: at the end.
        RuntimeError: `async with` in a loop that is not Rondeau's; an object that is entered twice at a time.
        ValueError: the threshold is no such number.

    >>> import time, rondeau, rondeau.testing
    >>> @rondeau.testing.no_blocking(0.02)
    ... async def test_soup():
    ...     time.sleep(1)
    >>> try:
    ...     rondeau.run(test_soup())
    ... except rondeau.testing.BlockingError as error:
    ...     print(error.blocks[0].function)
    test_soup
    """

    def __init__(self, threshold: float = 0.1) -> None:
        self._threshold = threshold
        self._new_watchdog()  # A bad threshold fails here.
        self._dog: Any = None
        self._blocks: dict[Any, Block] = {}

    def _new_watchdog(self) -> Any:
        return watchdog(self._threshold, log=False, on_block=self._note)

    def _note(self, block: Block) -> None:
        self._blocks[block.key] = block

    def __enter__(self) -> no_blocking:
        if self._dog is not None:
            raise RuntimeError("this no_blocking is entered already; make another")
        self._blocks = {}
        self._dog = self._new_watchdog().start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._dog.stop()
        self._dog = None
        if not self._blocks:
            return
        blocking = BlockingError(list(self._blocks.values()))
        self._blocks = {}
        if error is None:
            raise blocking
        error.add_note(str(blocking))

    async def __aenter__(self) -> no_blocking:
        loop = asyncio.get_running_loop()
        if not isinstance(loop, EventLoop):
            raise RuntimeError(f"no_blocking sees Rondeau's loops only, and this one is {loop!r}")
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self.__exit__(kind, error, trace)

    def __call__(self, function: F) -> F:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def watched(*args: Any, **kwargs: Any) -> Any:
                async with no_blocking(self._threshold):
                    return await function(*args, **kwargs)

        else:

            @functools.wraps(function)
            def watched(*args: Any, **kwargs: Any) -> Any:
                with no_blocking(self._threshold):
                    return function(*args, **kwargs)

        return watched  # type: ignore[return-value]
