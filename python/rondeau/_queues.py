"""`loop._ready` and `loop._scheduled`: what waits in a native loop, as the deque and the list that asyncio's loop has.

Looked at by monitors and debuggers, and used by programs that turn a loop themselves (nest_asyncio). Neither holds anything
that the loop does not: `Ready` asks the loop each time; `Scheduled` is filled when it is asked for and when it is looked
into, since heapq works on a list's own memory. What a program did there since is found by comparing, when the loop next
looks: `settle`.

Rejected: asyncio's containers for good, from the first look on. A metrics exporter that asks for a length each second would
have every callback go through Python.
"""

from __future__ import annotations

import collections
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Iterator
    from typing import Any, SupportsIndex

    from ._running import Running


class Ready(collections.deque["asyncio.Handle"]):
    """The handles that run in the next turn; each method acts on the loop."""

    __slots__ = ("_loop",)

    def __init__(self, loop: Running) -> None:
        super().__init__()
        self._loop = loop

    def _replace(self, handles: Iterable[asyncio.Handle]) -> None:
        new = list(handles)
        self.clear()
        self.extend(new)

    def _changed(self, what: str, *arguments: Any) -> Any:
        """Have a plain list or deque do it."""
        plain = collections.deque(self)
        answer = getattr(plain, what)(*arguments)
        self._replace(plain)
        return answer

    def __len__(self) -> int:
        return self._loop._ready_count()

    def __bool__(self) -> bool:
        return self._loop._ready_count() > 0

    def __iter__(self) -> Iterator[asyncio.Handle]:
        return iter(self._loop._ready_handles())

    def __reversed__(self) -> Iterator[asyncio.Handle]:
        return reversed(self._loop._ready_handles())

    def __contains__(self, handle: object) -> bool:
        return handle in self._loop._ready_handles()

    def __getitem__(self, index: SupportsIndex) -> asyncio.Handle:  # type: ignore[override]
        try:
            return self._loop._ready_handles()[index]
        except IndexError:
            raise IndexError("deque index out of range") from None

    def __setitem__(self, index: SupportsIndex, handle: asyncio.Handle) -> None:  # type: ignore[override]
        self._changed("__setitem__", index, handle)

    def __delitem__(self, index: SupportsIndex) -> None:  # type: ignore[override]
        self._changed("__delitem__", index)

    def __iadd__(self, handles: Iterable[asyncio.Handle]) -> Ready:
        self.extend(handles)
        return self

    def __repr__(self) -> str:
        return repr(collections.deque(self))

    def __eq__(self, other: object) -> bool:
        return collections.deque(self) == other

    __hash__ = None

    def __copy__(self) -> collections.deque[asyncio.Handle]:  # type: ignore[override]
        return collections.deque(self)

    copy = __copy__  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        return collections.deque, (list(self),)

    def append(self, handle: asyncio.Handle) -> None:
        if isinstance(handle, _timer_handle()):
            self._loop._timer_take(handle)  # heapq took it out of a list of which the loop was not told yet.
        self._loop._add_callback(handle)

    def appendleft(self, handle: asyncio.Handle) -> None:
        if isinstance(handle, _timer_handle()):
            self._loop._timer_take(handle)
        self._loop._ready_put_first(handle)

    def extend(self, handles: Iterable[asyncio.Handle]) -> None:
        for handle in list(handles):
            self.append(handle)

    def extendleft(self, handles: Iterable[asyncio.Handle]) -> None:
        for handle in list(handles):
            self.appendleft(handle)

    def popleft(self) -> asyncio.Handle:
        handle = self._loop._ready_take(False)
        if handle is None:
            raise IndexError("pop from an empty deque")
        return handle

    def pop(self) -> asyncio.Handle:  # type: ignore[override]
        handle = self._loop._ready_take(True)
        if handle is None:
            raise IndexError("pop from an empty deque")
        return handle

    def clear(self) -> None:
        while self._loop._ready_take(False) is not None:
            pass

    def count(self, handle: asyncio.Handle) -> int:
        return self._loop._ready_handles().count(handle)

    def index(self, handle: asyncio.Handle, *between: int) -> int:
        return collections.deque(self).index(handle, *between)

    def insert(self, index: int, handle: asyncio.Handle) -> None:
        self._changed("insert", index, handle)

    def remove(self, handle: asyncio.Handle) -> None:
        self._changed("remove", handle)

    def reverse(self) -> None:
        self._changed("reverse")

    def rotate(self, count: int = 1) -> None:
        self._changed("rotate", count)


class Scheduled(list["asyncio.TimerHandle"]):
    """The handles that wait for their time, the next one first."""

    __slots__ = ("__weakref__", "_known", "_loop", "_version")

    def __init__(self, loop: Running) -> None:
        super().__init__()
        self._loop = weakref.ref(loop)
        self._known: list[asyncio.TimerHandle] = []
        self._version: Any = None  # Of the loop's timers when they were last read.

    def __del__(self) -> None:
        self.settle()

    def settle(self) -> None:
        """Tell the loop what was put into the list, or taken out of it, since it was filled."""
        loop = self._loop()
        if loop is None:
            return
        now = list(super().__iter__())
        if len(now) == len(self._known) and all(map(_is, now, self._known)):
            return
        before, after = set(map(id, self._known)), set(map(id, now))
        for handle in self._known:
            if id(handle) not in after:
                loop._timer_take(handle)
        self._known = now
        for handle in now:
            if id(handle) not in before:
                loop._timer_put(handle)
        self._version = ()  # To be filled anew.

    def fill(self) -> None:
        """Have the list hold what the loop holds, unless it does."""
        loop = self._loop()
        if loop is None or loop._timer_version() == self._version:
            return
        self.settle()
        self._known = loop._timer_handles()
        self._version = loop._timer_version()
        super().__setitem__(slice(None), self._known)

    def __len__(self) -> int:
        self.fill()
        return super().__len__()

    def __bool__(self) -> bool:
        return len(self) > 0

    def __iter__(self) -> Iterator[asyncio.TimerHandle]:
        self.fill()
        return super().__iter__()

    def __repr__(self) -> str:
        self.fill()
        return super().__repr__()

    __hash__ = None


def _is(one: object, other: object) -> bool:
    return one is other


def _timer_handle() -> type[asyncio.TimerHandle]:
    from asyncio import TimerHandle

    return TimerHandle


def _filled_first(name: str) -> Any:
    method = getattr(list, name)

    def call(self: Scheduled, *arguments: Any, **options: Any) -> Any:
        self.fill()
        return method(self, *arguments, **options)

    call.__name__ = name
    call.__doc__ = method.__doc__
    return call


for _name in (
    *("__getitem__", "__setitem__", "__delitem__", "__contains__", "__reversed__", "__add__", "__iadd__", "__eq__", "__ne__"),
    *("append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort"),
):
    setattr(Scheduled, _name, _filled_first(_name))
