"""A recording: what happened in the loop, and the tables that say who and what was meant.

Filled by the recorder, kept by file.py, read by analysis.py and all that builds on it.

    - Times are nanoseconds since the recording began, on the monotonic clock, and events are in the order of their times.
    - A task or a callback is a number from 1 on, given once and never again within one recording; 0 is nobody: the kernel, a
      timer, another thread, or not known.
    - Whoever is a subject of an event has its entry in `tasks`. Who is only pointed at (`other`, `creator`) needs none: a long
      recording forgets, and the readers say "not recorded".

Events are one block of packed rows (24 bytes each), since there may be millions: objects would take ten times the room and
the time. Rejected: a column for each field (cheaper to search, but the recorder writes rows, and rows compress as well).
"""

from __future__ import annotations

import enum
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

ROW = struct.Struct("<QIIIHBx")  # time, subject, other, wait, loop, kind


class Kind(enum.IntEnum):
    """What happened. The numbers are those of the file, and stay."""

    CREATED = 1  # subject, a task, was made by `other`. It has no turn yet: READY follows, unless it starts at once.
    READY = 2  # subject is on the agenda; `other` put it there (0: the loop itself, for a timer, a socket or a thread).
    RUN = 3  # subject's step begins. A step within a step is an eager task's: the outer one stands aside until it ends.
    WAIT = 4  # subject's step is over, it waits for waits[wait].
    DONE = 5  # subject's last step is over: it returned,
    CANCELLED = 6  # was cancelled,
    FAILED = 7  # or raised.
    CALLBACK = 8  # subject, a callback, begins to run; `other` asked for it, if known.
    RETURN = 9  # subject, a callback, has returned.
    PARK = 10  # The loop has nothing to do and asks the kernel to wake it.
    UNPARK = 11  # It is awake again.
    BLOCK = 12  # A watchdog's find: blocks[wait] has just ended (or the recording has), so it began its duration ago.


class Event(NamedTuple):
    """One row, in the order in which it is packed."""

    time: int  # ns since the recording began
    subject: int = 0  # a task's or a callback's number; 0 for PARK and UNPARK
    other: int = 0  # who did it to the subject
    wait: int = 0  # WAIT: index into Recording.waits; BLOCK: index into Recording.blocks
    loop: int = 0  # index into Recording.loops
    kind: int = 0  # a Kind


class Events:
    """Many events as packed rows: a sequence of Event that takes 24 bytes for each.

    >>> events = Events.of([Event(5, subject=1, kind=Kind.RUN), Event(9, subject=1, kind=Kind.DONE)])
    >>> len(events), events[1].time, [Kind(event.kind).name for event in events]
    (2, 9, ['RUN', 'DONE'])
    """

    __slots__ = ("packed",)

    def __init__(self, packed: bytes | bytearray | memoryview = b"") -> None:
        """`packed`: rows as `ROW` lays them out. ValueError if they are not whole."""
        view = memoryview(packed).cast("B")
        if len(view) % ROW.size:
            raise ValueError(f"{len(view)} bytes are no whole number of events of {ROW.size} bytes")
        self.packed = view

    @classmethod
    def of(cls, events: Iterable[Event]) -> Events:
        return cls(b"".join(ROW.pack(*event) for event in events))

    def __len__(self) -> int:
        return len(self.packed) // ROW.size

    def __getitem__(self, index: int) -> Event:
        index = range(len(self))[index]
        return Event(*ROW.unpack_from(self.packed, index * ROW.size))

    def __iter__(self) -> Iterator[Event]:
        return map(Event._make, ROW.iter_unpack(self.packed))

    def rows(self) -> Iterator[tuple[int, int, int, int, int, int]]:
        """The same as plain tuples (time, subject, other, wait, loop, kind), three times as fast."""
        return ROW.iter_unpack(self.packed)

    def column(self, name: str) -> list[int]:
        """One field of every event: `events.column("time")`."""
        before, code, after = _COLUMNS[name]
        return [value for (value,) in struct.iter_unpack(f"<{before}x{code}{after}x", self.packed)]


_COLUMNS = {"time": (0, "Q", 16), "subject": (8, "I", 12), "other": (12, "I", 8), "wait": (16, "I", 4)}
_COLUMNS |= {"loop": (20, "H", 2), "kind": (22, "B", 1)}


@dataclass(slots=True)
class TaskInfo:
    """Who a number is: a task, or a callback that the loop ran."""

    id: int
    name: str  # Task.get_name(), or the callback's qualified name
    kind: str = "task"  # "task" or "callback"
    coroutine: str = ""  # its qualified name
    file: str = ""  # where the coroutine or the function is written
    line: int = 0
    creator: int = 0  # the task that made it
    created_file: str = ""  # and the line that did
    created_line: int = 0


WAIT_KINDS = (
    "timer socket queue lock event condition semaphore future task thread subprocess file other".split()  # noqa: SIM905
)


@dataclass(slots=True)
class Wait:
    """What somebody waits for. Many WAIT events may share one entry."""

    kind: str  # one of WAIT_KINDS. gather, wait, a TaskGroup's end and `await task` are "task": other tasks' work
    text: str = ""  # a person's words: "sleep 0.5 s", "read from 127.0.0.1:8080", "Queue.get"
    other: int = 0  # the task that can end it: who holds the lock, who is awaited


@dataclass(slots=True)
class Block:
    """A stretch in which the loop could not come round."""

    duration: int  # ns
    file: str = ""  # the line that blocked
    line: int = 0
    stack: str = ""  # the thread's Python stack meanwhile, as traceback prints it
    task: int = 0  # whose step or callback it was


@dataclass(slots=True)
class Recording:
    """All of it. Everything has a default, so that a test writes only what it is about."""

    program: str = ""  # the file or module that ran
    argv: list[str] = field(default_factory=list)
    python: str = ""  # versions
    rondeau: str = ""
    pid: int = 0
    driver: str = ""  # "epoll" or "uring"
    started: float = 0.0  # Unix time, in seconds, at time 0
    duration: int = 0  # ns that were recorded; no event is later
    lost: int = 0  # events that were overwritten before the first one here
    loops: list[str] = field(default_factory=lambda: ["MainThread"])  # the name of each loop's thread
    tasks: dict[int, TaskInfo] = field(default_factory=dict)
    waits: list[Wait] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    events: Events = field(default_factory=Events)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to `path`, which is replaced in one go. OSError as from open(); RecordingError if it contradicts itself.

        >>> import tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Recording(program="app.py").save(pathlib.Path(folder) / "app.rondeau")
        ...     Recording.load(pathlib.Path(folder) / "app.rondeau").program
        'app.py'
        """
        from . import file

        file.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recording:
        """Read it back. OSError as from open(); RecordingError (a ValueError) says what is wrong with the file."""
        from . import file

        return file.load(path)
