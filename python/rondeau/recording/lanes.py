"""What analysis.py finds: each task's time, each loop's, what held a loop, and every change of a state.

Read by summary.py (figures), page.py and perfetto.py (the segments too). All times are nanoseconds since the recording began.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from .model import WAIT_KINDS, Recording, TaskInfo, Wait
from .words import called

# The states of a lane: RUNNING, READY, and from WAITING on one for each kind of wait. Numbers of the page's data as well.
NOTHING, RUNNING, READY, WAITING = 0, 1, 2, 3
WORKING, IDLE = 32, 33  # of a loop's lane
HOUSEKEEPING = frozenset(["BaseEventLoop.shutdown_asyncgens", "BaseEventLoop.shutdown_default_executor"])


@dataclass(slots=True)
class Lane:
    """One task's time."""

    task: TaskInfo
    index: int  # in Analysis.lanes, and in the page's data
    began: int  # ns
    ended: int = 0
    outcome: str = "pending"  # or "done", "cancelled", "failed"
    running: int = 0
    ready: int = 0
    waiting: list[int] = field(default_factory=lambda: [0] * len(WAIT_KINDS))
    steps: int = 0
    longest_ready: int = 0  # the longest single wait for its turn
    housekeeping: bool = False  # a task that asyncio's runner makes at the end, which no program knows of
    # What it is doing now; while the pass goes on.
    state: int = NOTHING
    since: int = 0
    reference: int = 0  # waiting: index into waits; ready: who woke it; a callback's run: which
    step: int = 0  # how long this step has run by itself
    step_began: int = 0

    @property
    def waited(self) -> int:
        return sum(self.waiting)

    @property
    def lifetime(self) -> int:
        return self.ended - self.began


@dataclass(slots=True)
class Loop:
    """One loop's time."""

    name: str
    callbacks: Lane  # all its callbacks, one after another
    seen: bool = False  # it has an event
    began: int = 0
    ended: int = 0
    idle: int = 0
    blocked: int = 0
    callback_runs: int = 0
    longest_step: int = 0
    longest_step_of: int = 0  # a task's or callback's number
    parked: int = -1  # since when, while the pass goes on
    running: list[Lane] = field(default_factory=list)  # innermost last
    spans: list[tuple[int, int]] = field(default_factory=list)  # what was blocked

    @property
    def worked(self) -> int:
        return self.ended - self.began - self.idle - self.blocked


@dataclass(slots=True)
class Held:
    """A stretch in which the loop could not come round."""

    began: int  # ns
    duration: int
    loop: int  # index into Recording.loops
    task: int  # whose step or callback; 0 if not known
    file: str
    line: int
    stack: str = ""  # "" if no watchdog looked
    caught: bool = False  # a watchdog saw it: file and line are those that blocked, not the function's first


@dataclass(slots=True)
class Segments:
    """Every change of state, in the order of time; a state lasts until the lane's next one."""

    lane: array[int] = field(default_factory=lambda: array("I"))
    start: array[int] = field(default_factory=lambda: array("Q"))
    state: array[int] = field(default_factory=lambda: array("B"))
    reference: array[int] = field(default_factory=lambda: array("I"))


@dataclass(slots=True)
class Analysis:
    """What analyse() returns. All times in ns."""

    recording: Recording
    threshold: int
    began: int = 0  # when the first loop did
    ended: int = 0  # when the last one did; what was before and after is not the loop's time
    lanes: list[Lane] = field(default_factory=list)  # in the order in which they began
    loops: list[Loop] = field(default_factory=list)  # as Recording.loops
    held: list[Held] = field(default_factory=list)  # in the order in which they began
    outside: int = 0  # the sum of all waits that are outside
    most_at_once: int = 0  # such waits at one time
    by_wait: list[tuple[Wait, int, int]] = field(default_factory=list)  # what, how often, how long; the longest first
    delays: list[int] = field(default_factory=list)  # each wait for a turn, sorted
    segments: Segments = field(default_factory=Segments)  # lane 2n is loop n's, 2n + 1 its callbacks', then the tasks'

    def name(self, number: int) -> str:
        """What to call a task or callback."""
        info = self.recording.tasks.get(number)
        return called(info) if info else f"#{number}" if number else "the loop"
