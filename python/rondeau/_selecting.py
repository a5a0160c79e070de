"""What stands where asyncio keeps its selector: the native loop is the one that selects.

`select` waits in the kernel by way of the loop; the loop itself calls it only where a program has replaced something of a turn
(`_own_turns`). The rest answers for what the loop watches. What registers is `loop.add_reader` and its kin: a selector's own
`register` would watch behind the loop's back.
"""

from __future__ import annotations

import selectors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from ._running import Running


class Waker:
    """Stands for the loop's own descriptor, where another thread's call ended the wait."""

    def __repr__(self) -> str:
        return "<the loop's own>"


_WAKER = Waker()


class Selector(selectors.BaseSelector):
    """The selector of a native loop."""

    def __init__(self, loop: Running) -> None:
        self._loop = loop

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "select":
            self._loop._look_at_turns()

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        if name == "select":
            self._loop._look_at_turns()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait in the kernel until something is ready, `timeout` seconds at most.

        Returns:
            (key, mask) pairs. One whose `fileobj` is the loop's own stands for what came from another thread.
        """
        found = self._loop._select(timeout)
        return [(self._key(fd), mask) for fd, mask in found]

    def _key(self, fd: int) -> selectors.SelectorKey:
        mask = self._loop._watched(fd)
        if not mask:
            return selectors.SelectorKey(_WAKER, fd, selectors.EVENT_READ, None)  # type: ignore[arg-type]
        return selectors.SelectorKey(fd, fd, mask, None)

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """What is watched for a descriptor; asked by the reprs of asyncio's own transports."""
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        mask = self._loop._watched(fd)
        if not mask:
            raise KeyError(f"{fileobj!r} is not registered")
        return selectors.SelectorKey(fileobj, fd, mask, None)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """All that is watched, by descriptor."""
        return {fd: selectors.SelectorKey(fd, fd, mask, None) for fd, mask in self._watched()}

    def _watched(self) -> Iterator[tuple[int, int]]:
        for fd in self._loop._descriptors():
            if mask := self._loop._watched(fd):
                yield fd, mask

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        raise NotImplementedError(f"the native loop watches descriptors itself: loop.add_reader or add_writer for {fileobj!r}")

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        raise NotImplementedError(
            f"the native loop watches descriptors itself: loop.remove_reader or remove_writer for {fileobj!r}"
        )

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        raise NotImplementedError(f"the native loop watches descriptors itself: loop.add_reader or add_writer for {fileobj!r}")

    def close(self) -> None:
        """Part of `loop.close()`: let go of what still waits."""
        self._loop._release()


_ORIGINAL = Selector.select


def is_plain(selector: object) -> bool:
    """Whether a native turn does what this selector would."""
    return type(selector) is Selector and Selector.select is _ORIGINAL and "select" not in vars(selector)
