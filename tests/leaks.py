"""What a test may leave behind: nothing. Called by conftest.py before and after each test."""

import asyncio
import gc
import os
import threading
from dataclasses import dataclass

from rondeau import _core

WATCHED = (
    asyncio.Future,
    asyncio.Handle,
    asyncio.AbstractEventLoop,
    asyncio.BaseTransport,
    *(kind for name in ("Handle", "TimerHandle", "Future", "Task") if isinstance(kind := getattr(_core, name, None), type)),
)


@dataclass
class State:
    descriptors: dict[int, str]
    threads: set[threading.Thread]
    objects: list[str]


def start() -> None:
    """From here on, count. What the imports made is frozen, which also keeps each count short."""
    gc.collect()
    gc.freeze()


def look(wait: bool = False) -> State:
    """What is there now. With `wait`, threads that are on their way out are joined first."""
    if wait:
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and thread not in _known:
                thread.join(timeout=10)
    for _ in range(3):  # A finalizer may leave new garbage.
        gc.collect()
    if not wait:
        gc.freeze()  # What a failed test left is not this one's.
        _known.clear()
        _known.update(threading.enumerate())
    return State(_descriptors(), set(threading.enumerate()), _objects())


def compare(before: State, after: State) -> None:
    """Raises AssertionError with what is new. What leaked is then frozen, so that no later test is blamed."""
    leaked = {
        "descriptors": {fd: name for fd, name in after.descriptors.items() if before.descriptors.get(fd) != name},
        "threads": after.threads - before.threads,
        "objects": after.objects,
    }
    if any(leaked.values()):
        gc.freeze()
        raise AssertionError(f"left behind: {leaked}")


_known: set[threading.Thread] = set()


def _descriptors() -> dict[int, str]:
    found = {}
    with os.scandir("/proc/self/fd") as entries:
        for entry in entries:
            try:
                found[int(entry.name)] = os.readlink(entry.path)
            except FileNotFoundError:  # The descriptor that lists them.
                pass
    return {fd: name for fd, name in found.items() if not name.startswith("/proc/")}


def _objects() -> list[str]:
    found = []
    for thing in gc.get_objects():
        if issubclass(type(thing), WATCHED) and not (isinstance(thing, asyncio.BaseEventLoop) and thing.is_closed()):
            found.append(repr(thing))
    return found
