"""`rondeau.watchdog()`: names what blocks a loop, while it blocks.

The native `_core.Watchdog` sees that a loop is held up: its `wait()` returns then, in the thread that this file starts. Here
the blocked thread's stack is taken, the task and the line are named, and who wants to know is told: the log, `on_block`, and
the listeners of this package.

Always holds: what fails in here, or in a program's `on_block`, is logged and ends no thread; a watchdog has ended its
thread when `stop()` returns. In a fork nothing watches until the child asks for it.

Rejected: a watchdog in Python that pings the loop with `call_soon_threadsafe`: it wakes an idle loop, and takes the GIL each
time.
"""

from __future__ import annotations

import asyncio
import atexit
import dataclasses
import functools
import logging
import os
import sys
import threading
import traceback
import types
from typing import Any, NamedTuple

from rondeau import _core

from . import _green, _own_turns
from ._block import Block
from .loop import EventLoop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

logger = logging.getLogger("rondeau.watchdog")

# Told of every block that any watchdog of the process sees.
listeners: list[Callable[[Block], object]] = []


class Watchdog:
    """What `rondeau.watchdog` returns: a context manager, or `start()` and `stop()`."""

    def __init__(self, threshold: float | str, log: bool, on_block: Callable[[Block], object] | None) -> None:
        adapts = threshold == "auto"
        self._native = _core.Watchdog(None if adapts else threshold)  # type: ignore[arg-type]
        self._threshold = None if adapts else float(threshold)
        self._log = log
        self._on_block = on_block
        self._thread: threading.Thread | None = None
        self._known: dict[tuple[int, bool, int], tuple[Block, Any, int]] = {}

    def start(self) -> Watchdog:
        """Watch all loops of this process, from now on.

        Raises:
            RuntimeError: it was started before; one that was stopped stays stopped. Or threads are greenlets here (gevent).
        """
        if self._thread is not None:
            raise RuntimeError("this watchdog was started before")
        _green.needs_threads("the watchdog")
        # A daemon: others are joined before the functions of `atexit` run, one of which ends it.
        self._thread = threading.Thread(target=self._watch, name="rondeau watchdog", daemon=True)
        _started.add(self)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Watch no longer. What was seen is told before this returns."""
        self._native.stop()
        if self in _started:
            _started.discard(self)
            assert self._thread is not None
            if self._thread is not threading.current_thread():
                self._thread.join()

    def __enter__(self) -> Watchdog:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def _watch(self) -> None:
        while (reports := self._native.wait()) is not None:
            # All stacks first: whatever takes long, such as writing a log, lets the loop's thread go on.
            seen = [(report, _look(report)) for report in map(_Report._make, reports)]
            del reports
            for report, sight in seen:
                try:
                    self._told(report, sight)
                except Exception:
                    logger.exception("the watchdog could not tell of a block")
            seen.clear()
            report = sight = None  # type: ignore[assignment]  # They hold the loop.

    def _told(self, report: _Report, sight: _Sight | None) -> None:
        key = (report.whose, report.of_turn, report.number)
        if report.kind == "over":
            self._over(key, report)
            return
        if sight is not None and any(os.path.basename(code.co_filename) in _DEBUGGERS for code, _ in sight.frames):
            return
        stack, own = _summary(sight.frames if sight is not None else [])
        # What it computed until the GIL could be had; a machine that was slow to run this thread is another matter.
        late = report.since if sight is not None else 0.0
        block = Block(
            kind=report.kind,
            key=key,
            task=sight.name if sight is not None else None,
            what=sight.what if sight is not None else "something",
            filename=own.filename if own else None,
            lineno=(own.lineno or 0) if own else 0,
            function=own.name if own else sight.called if sight is not None else "",
            line=(own.line or "") if own else "",
            stack=stack,
            seconds=(report.kept if report.kind == "kept" else report.seconds) + late,
            computed=report.computed + late,
            callbacks=report.callbacks,
            call=report.call,
            late=late,
            thread=report.thread,
            missed=sight is None,
        )
        before = self._known.get(key)
        task, number = sight.task if sight is not None else None, before[2] if before else 0
        if not block.missed:  # Else it is over, and is told of once.
            # First of all: whoever dumps at a stall has this one in the dump.
            number = _note(block, report.loop, task, number)
        self._known[key] = block, task, number
        if not block.missed:
            self._tell(block)

    def _over(self, key: tuple[int, bool, int], report: _Report) -> None:
        block, task, number = self._known.pop(key, (None, None, 0))
        if block is not None:
            seconds = report.kept if block.kind == "kept" else report.seconds
            block = dataclasses.replace(
                block,
                seconds=max(seconds, block.seconds),
                computed=max(report.computed, block.computed),
                callbacks=report.callbacks,
                ended=True,
            )
            _note(block, report.loop, task, number)
            self._tell(block)

    def _tell(self, block: Block) -> None:
        if self._log:
            if block.ended:
                logger.warning("%s", block)
            else:
                stack = "".join(block.stack.format()).rstrip()
                logger.warning("%s. %s%s", block, block.advice, f"\nStack, the innermost call last:\n{stack}" if stack else "")
        for listener in (*listeners, *((self._on_block,) if self._on_block is not None else ())):
            try:
                listener(block)
            except Exception:
                logger.exception("%r, which is told of blocks, failed", listener)


def watchdog(threshold: float | str = 0.1, *, log: bool = True, on_block: Callable[[Block], object] | None = None) -> Watchdog:
    """Name what blocks a loop of this process, while it blocks: a task, its file and line, and for how long.

    A thread watches; a loop pays one store a callback for it, whether watched or not. Not taken for a block: a loop that waits
    for events, a machine that is too busy to run the loop, a process that is stopped, a program that is held by a debugger.

    Args:
        threshold: seconds that a callback, a task's step, or a turn of many may take; from 0.001. What takes a quarter longer
            is always seen. `"auto"` begins at 0.01 and adapts, so that of many blocks the longest are told.
        log: write a warning to the logger `rondeau.watchdog` when a block is seen, and one when it is over.
        on_block: called with a `Block`, in the watchdog's thread, when it is seen and when it is over (`block.ended`).

    Returns:
        A context manager that watches while it is entered; `start()` and `stop()` do the same by hand.

    Raises:
        ValueError: the threshold is no such number.

    >>> import time, rondeau
    >>> async def main():
    ...     while not seen:
    ...         time.sleep(0.3)
    >>> seen = []
    >>> with rondeau.watchdog(0.02, log=False, on_block=seen.append):
    ...     rondeau.run(main())
    >>> seen[0].function, seen[0].ended, seen[-1].ended
    ('main', False, True)
    """
    return Watchdog(threshold, log, on_block)


def from_text(text: str, source: str) -> Watchdog | None:
    """The watchdog that `RONDEAU_WATCHDOG` or `--watchdog=` asks for; None where it is switched off.

    Raises:
        ValueError: it is neither a number of seconds nor `auto`.
    """
    try:
        threshold = text if text == "auto" else float(text)
        return watchdog(threshold) if threshold else None
    except ValueError:
        raise ValueError(f"{source}={text!r}: expected a number of seconds from 0.001 on, auto, or 0 for none") from None


def from_environment() -> None:
    """Start what the environment asks for, once in a process. Called by a loop that is made."""
    global _environment_of
    if _environment_of != os.getpid():
        asked = from_text(os.environ.get("RONDEAU_WATCHDOG") or "0", "RONDEAU_WATCHDOG")
        _environment_of = os.getpid()
        if asked is not None:
            asked.start()


_environment_of = 0
_started: set[Watchdog] = set()
_LIBRARY = os.path.dirname(os.__file__) + os.sep
_OURS = os.path.dirname(__file__) + os.sep
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
# What a callback is called from, natively or in a turn that is taken in Python.
_RUN_THE_LOOP = {EventLoop._take_turns.__code__, _own_turns.run_once.__code__, _own_turns.run.__code__}
_DEBUGGERS = ("bdb.py", "pdb.py", "pydevd.py")


class _Report(NamedTuple):
    """What `_core.Watchdog.wait()` gives, one of its list."""

    kind: str
    of_turn: bool
    loop: Any
    thread: int
    whose: int
    number: int
    seconds: float
    wall: float
    computed: float
    kept: float
    callbacks: int
    again: bool
    goes_on: bool
    seen_at: float
    since: float
    call: str | None
    called: Any


class _Sight(NamedTuple):
    """What the blocked thread was in when it was looked at."""

    frames: list[tuple[CodeType, int]]
    task: Any
    name: str | None
    what: str
    called: str


def _look(report: _Report) -> _Sight | None:
    """The stack within the loop, the outermost frame first; None where it was too late. Gives the GIL away nowhere."""
    if report.kind == "over" or not report.goes_on or report.loop is None:
        return None
    frame = sys._current_frames().get(report.thread)
    frames = []
    while frame is not None and frame.f_code not in _RUN_THE_LOOP:
        frames.append((frame.f_code, frame.f_lineno or 0))
        frame = frame.f_back
    frames.reverse()
    try:
        task = asyncio.current_task(report.loop)
        if task is not None:
            name = task.get_name()
            coro: Any = task.get_coro()
            called = getattr(coro, "__qualname__", None) or type(coro).__name__
            return _Sight(frames, task, name, f"{name} (coroutine {called})", "")
    except Exception:  # A program's own type of task may do anything.
        pass
    called = frames[0][0].co_qualname if frames else _name(report.called)
    return _Sight(frames, None, None, f"the callback {called}" if called else "a callback", "" if frames else called)


def _name(called: Any) -> str:
    """What to call something that the loop calls and that is not Python code; empty where nothing is known."""
    while type(called) is functools.partial:
        called = called.func
    if called is None:
        return ""
    if not isinstance(called, (types.BuiltinFunctionType, types.MethodWrapperType, type)):
        called = type(called)  # Its own attributes may be anything.
    owner = getattr(called, "__self__", None)
    if isinstance(owner, types.ModuleType) or isinstance(called, type):
        return f"{called.__module__}.{called.__qualname__}".removeprefix("builtins.")
    return str(called.__qualname__)


def _note(block: Block, loop: Any, task: Any, number: int) -> int:
    """Have the recorder note a block as it is now, in place of what it noted as `number`, if a program uses the recorder."""
    recorder = sys.modules.get("rondeau.recorder")
    if recorder is None or loop is None or block.kind != "blocked":
        return number
    stack = "".join(block.stack.format())
    length = int(block.seconds * 1e9)
    return int(recorder.blocked(loop, length, block.filename or "", block.lineno, stack, task, number))


def _summary(frames: list[tuple[CodeType, int]]) -> tuple[traceback.StackSummary, traceback.FrameSummary | None]:
    """The stack for people, and of it the innermost frame that is the program's own."""
    stack = traceback.StackSummary.from_list(
        [traceback.FrameSummary(code.co_filename, line, code.co_name) for code, line in frames]
    )
    for belongs in (_is_own, lambda name: not name.startswith(_OURS)):
        for summary in reversed(stack):
            if belongs(summary.filename):
                return stack, summary
    return stack, None


def _is_own(filename: str) -> bool:
    if filename.startswith(("<frozen ", _OURS)):
        return False
    if any(part in filename for part in _INSTALLED):
        return False
    return not filename.startswith(_LIBRARY)


def _stop_all() -> None:
    for one in tuple(_started):
        one.stop()


def _forget_all() -> None:
    # The child of a fork has none of its parent's threads.
    _started.clear()


atexit.register(_stop_all)
os.register_at_fork(after_in_child=_forget_all)
