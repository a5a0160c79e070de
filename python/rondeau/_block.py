"""What the watchdog tells of something that blocked a loop, and what can be done about it. Made by `_watchdog` alone."""

from __future__ import annotations

import dataclasses
import traceback

_LATE = 0.05  # Seconds: what is longer was a call that kept the GIL.


@dataclasses.dataclass(frozen=True)
class Block:
    """Something that kept a loop from coming round.

    It is told twice: while it lasts (`ended` is False), and when it is over. One that goes on for very long is told of again in
    between.
    """

    kind: str
    """`"blocked"`: one callback or step; `"busy"`: one turn of many; `"kept"`: other threads held the GIL."""
    key: tuple[int, bool, int]
    """Equal for all that is told of one block."""
    task: str | None
    """The task's name; None where it was no task."""
    what: str
    """Who it was, for people: `Task-2 (coroutine cook)`."""
    filename: str | None
    """The file of the innermost frame that is the program's own; None where no Python code ran."""
    lineno: int
    function: str
    """The function; where no Python code ran, what the loop called, such as `time.sleep`, if that is known."""
    line: str
    """Its line, as it is in the source."""
    stack: traceback.StackSummary
    """The whole stack within the loop, the outermost frame first."""
    seconds: float
    """How long it held the loop, so far. Not counted: while the machine had no processor for it, or the process was stopped."""
    computed: float
    """How much of that it computed, in seconds; the rest it waited in the kernel."""
    callbacks: int
    """For a busy turn: how many callbacks and steps ran in it."""
    call: str | None
    """The system call that it waited in; None where it did not, or the kernel does not say."""
    late: float
    """How long after it was seen the stack was taken, in seconds: a C call that keeps the GIL is found only at its end."""
    thread: int
    """The blocked thread's `ident`."""
    missed: bool = False
    """It kept the GIL to its end, and was gone when its stack was to be taken."""
    ended: bool = False

    @property
    def place(self) -> str:
        """`kitchen.py:12 in cook: time.sleep(0.3)`, or where no Python code ran, that."""
        if self.missed:
            return "in a call that kept the GIL to its end, so that its stack could not be taken"
        if self.filename is None:
            return f"in {self.function}, which is not Python code" if self.function else "in code that is not Python's"
        line = f": {self.line}" if self.line else ""
        return f"at {self.filename}:{self.lineno} in {self.function}{line}"

    def __str__(self) -> str:
        if self.kind == "busy":
            held = f"a turn of the loop has run {self.callbacks} callbacks in {self.seconds:.2f} s"
            if self.ended:
                return f"{held.replace('has run', 'ran')}, in which it did not look at sockets and timers"
            return f"{held} and goes on; it does not look at sockets and timers meanwhile. Among them, {self.what} {self.place}"
        if self.kind == "kept":
            verb = "could not go on" if self.ended else "cannot go on"
            return (
                f"{self.what} {verb} for {self.seconds:.2f} s, since other threads of this program held the GIL; {self.place}"
            )
        if self.ended:
            return f"{self.what} blocked the loop for {self.seconds:.2f} s {self.place}"
        return f"{self.what} has blocked the loop for {self.seconds:.2f} s {self.place}{self._doing()}"

    @property
    def computes(self) -> bool:
        """Whether it computes, more than it waits."""
        return self.computed * 2 > self.seconds

    def _doing(self) -> str:
        if self.missed:
            return ""
        if self.late > _LATE:
            return f"\nIt kept the GIL: its stack could be taken only {self.late:.2f} s after it was seen"
        if self.computes:
            return "\nIt computes"
        return f"\nIt waits in {self.call}(2)" if self.call else "\nIt waits"

    @property
    def advice(self) -> str:
        """What can be done about it, in a sentence."""
        if self.kind == "busy":
            return "Start less at once, or give way in between: await asyncio.sleep(0)."
        if self.kind == "kept":
            return "Have these threads' work done in other processes: concurrent.futures.ProcessPoolExecutor."
        if self.computes or self.late > _LATE:
            return (
                "Have another process do it: loop.run_in_executor(concurrent.futures.ProcessPoolExecutor(), ...);"
                " or give way in between: await asyncio.sleep(0)."
            )
        if self.call in ("clock_nanosleep", "nanosleep"):
            return "Sleep without blocking: await asyncio.sleep(...)."
        return "Use what can be awaited instead, or have a thread wait: await asyncio.to_thread(...)."
