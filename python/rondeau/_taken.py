"""What the recorder's ring holds, taken at once and made into a recording when there is time, in any thread.

Made by the recorder, which holds its lock meanwhile.
"""

from __future__ import annotations

import os
import sys
import threading
import time

from . import _core
from .recording import Block, Events, Kind, Recording, TaskInfo, Wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Taken:
    """A copy of the ring.

    Attributes:
        program: the file that runs, or the name of the module that does.
        time: when it was taken, as `time.time()`.

    Args:
        since: where it begins, as `time.monotonic_ns()`.
        blocks: the blocks by their numbers; None for one that was told of anew under a later number.
        ran: each loop's thread, identity and name, in the order in which the loops first ran.
    """

    def __init__(self, since: int, blocks: Iterable[tuple[int, Block | None]], ran: Iterable[tuple[int, str]]) -> None:
        self._snapshot = _core.record_snapshot()
        self._blocks = dict(blocks)
        self._ran = list(ran)
        self._since = max(since, 0)
        self._alive = {thread.ident: thread.name for thread in threading.enumerate()}
        self.program = _program()
        self.time = time.time()
        self._now = time.monotonic_ns()

    def recording(self) -> Recording:
        found = _core.recorded(self._snapshot, self._since)
        events, blocks = _with_blocks(found["events"], self._blocks)
        return Recording(
            program=self.program,
            argv=[str(word) for word in sys.argv],
            python=sys.version.split()[0],
            rondeau=_version(),
            pid=os.getpid(),
            driver=_driver(),
            started=self.time - (self._now - found["began"]) / 1e9,
            duration=found["duration"],
            lost=found["lost"],
            loops=_threads(found["loops"], self._ran, self._alive) or ["MainThread"],
            tasks={row[0]: TaskInfo(*row) for row in found["tasks"]},
            waits=[Wait(*row) for row in found["waits"]],
            blocks=blocks,
            events=Events(events),
        )


def _threads(idents: list[int], ran: list[tuple[int, str]], alive: dict[int | None, str]) -> list[str]:
    """The name of each loop's thread. Threads may have one identity, one after another; a loop may have run before all this.

    >>> _threads([1, 2, 1, 3], [(2, "mailer"), (1, "second")], {1: "third"})
    ['third', 'mailer', 'second', 'a thread that ended']
    """
    named: dict[int, list[str]] = {}
    for ident, name in ran:
        named.setdefault(ident, []).append(name)
    names = []
    for ident in reversed(idents):
        names.append(named[ident].pop() if named.get(ident) else alive.get(ident, "a thread that ended"))
    return names[::-1]


def _with_blocks(events: bytes, known: dict[int, Block | None]) -> tuple[bytes | bytearray, list[Block]]:
    """The events with each BLOCK pointing into the list of blocks, and that list."""
    kinds = events[22::24]
    found = kinds.find(Kind.BLOCK)
    if found < 0:
        return events, []
    changed = bytearray(events)
    blocks: list[Block] = []
    again: list[int] = []
    while found >= 0:
        at = found * 24
        number, task = int.from_bytes(events[at + 16 : at + 20], "little"), int.from_bytes(events[at + 8 : at + 12], "little")
        block = known.get(number, Block(0))
        if block is None:
            again.append(at)
        else:
            changed[at + 16 : at + 20] = len(blocks).to_bytes(4, "little")
            blocks.append(Block(block.duration, block.file, block.line, block.stack, task))
        found = kinds.find(Kind.BLOCK, found + 1)
    for at in reversed(again):
        del changed[at : at + 24]
    return changed, blocks


def _program() -> str:
    """The file that runs, or the name of the module that does."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    return str(getattr(main, "__file__", None) or getattr(spec, "name", None) or sys.argv[0])


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("rondeau")
    except metadata.PackageNotFoundError:
        return ""


_found_driver = ""


def _driver() -> str:
    global _found_driver
    if not _found_driver:
        try:
            _found_driver = "uring" if _core.probe()["files"] == "io_uring" else "epoll"
        except OSError:  # No descriptors left, say: no reason to lose the recording.
            return ""
    return _found_driver
