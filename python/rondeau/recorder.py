"""The recorder: what the loops of this process do, kept in a ring in memory while it is on.

    with rondeau.record() as record:                 # for a while
        rondeau.run(main())
    record.recording().save("app.rondeau")

    rondeau.flight_recorder("/var/log/app", seconds=10)   # for good: the last ten seconds, when something happens

Called by programs, by `python -m rondeau trace` (`start`, `stop`), and by the watchdog (`blocked`). The native side writes and
keeps the events (`crates/python/src/recorder`); here is who asks for them and when they become a file.

There is one recorder in a process, for all its loops. Who switches it on while it is on shares its ring and sees what
happened since; it goes off with the last of them.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import weakref
from collections import deque

from . import _core
from ._taken import Taken
from .loop import run_hooks
from .recording import Block, Recording

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

CAPACITY = 1 << 20  # Events: 24 MiB, and some ten seconds of a server with 30,000 requests a second.

_lock = threading.RLock()  # A signal's handler may interrupt whoever holds it.
_users = 0
_blocks: deque[tuple[int, Block | None]] = deque(maxlen=4096)  # None: told of anew under a later number.
_block_number = 0
_stall_hooks: list[Callable[[], None]] = []
_ran: deque[tuple[int, str]] = deque(maxlen=1 << 16)  # each loop's thread, in the order in which the loops first ran
_known: weakref.WeakSet[Any] = weakref.WeakSet()  # these loops


def start(capacity: int = CAPACITY) -> int:
    """Switch the recorder on. Each `start` needs a `stop`.

    Args:
        capacity: how many events are kept, rounded up to a power of two; 24 bytes each, touched as they are written. Counts
            only where the recorder was off.

    Returns:
        `time.monotonic_ns()` of the beginning, for `recording`.

    Raises:
        ValueError: `capacity` is not a number from 2 to 2**28.
    """
    global _users
    if not 2 <= capacity <= 1 << 28:
        raise ValueError(f"capacity must be from 2 to 2**28 events, not {capacity!r}")
    with _lock:
        since = time.monotonic_ns()
        if not _users:
            run_hooks.append(_runs)
            try:
                _core.record_start(capacity, *_existing())
            except BaseException:
                run_hooks.remove(_runs)
                raise
        _users += 1
    return since


def stop() -> None:
    """Switch it off again; the last one that does so ends it, and what was recorded is forgotten.

    Raises:
        RuntimeError: the recorder is off.
    """
    global _users
    with _lock:
        if not _users:
            raise RuntimeError("the recorder is off")
        _users -= 1
        if not _users:
            _core.record_stop()
            run_hooks.remove(_runs)
            for kept in (_blocks, _ran, _known):
                kept.clear()


def is_on() -> bool:
    """Whether the recorder is on."""
    return _users > 0


def recording(since: int = 0) -> Recording:
    """What was recorded so far.

    Args:
        since: leave out what happened before that `time.monotonic_ns()`.

    Raises:
        RuntimeError: the recorder is off.
    """
    return _take(since).recording()


def blocked(
    loop: asyncio.AbstractEventLoop, duration: int, file: str, line: int, stack: str, task: Any = None, instead: int = 0
) -> int:
    """Note that the loop does not come round, and have those dump that wait for a stall; called by the watchdog.

    It is called while the block lasts, so that a dump shows what holds a loop that never comes round; and at its end.

    Args:
        loop: whose turn it is.
        duration: for how long, in nanoseconds, until now.
        file: the file of the line that blocks.
        line: its number.
        stack: the thread's Python stack meanwhile, as `traceback` prints it.
        task: the task whose step it is; None for whatever the loop ran last.
        instead: what this function returned for the same block before; 0 for the first time. That is not told of any more.

    Returns:
        The block's number; 0 while the recorder is off.
    """
    global _block_number
    with _lock:
        if not _users:
            return 0
        if instead:
            for at, (number, _) in enumerate(_blocks):
                if number == instead:
                    _blocks[at] = number, None
        _block_number = (_block_number + 1) & 0xFFFFFFFF or 1
        _blocks.append((_block_number, Block(duration, file, line, stack)))
        _core.record_block(loop, task, _block_number)
        noted = _block_number
    if not instead:
        for hook in tuple(_stall_hooks):
            hook()
    return noted


class record:
    """A context in which the recorder is on, around `run()` or within a running loop.

    Args:
        save: a file that is written when the context is left, however it is left; private to the user.
        capacity: how many events are kept (`start`).

    >>> import asyncio, rondeau
    >>> async def dish(name):
    ...     await asyncio.sleep(0.001)
    >>> async def kitchen():
    ...     await asyncio.gather(dish("soup"), dish("salad"))
    >>> with rondeau.record() as record:
    ...     rondeau.run(kitchen())
    >>> sorted({task.coroutine for task in record.recording().tasks.values()} & {"dish", "kitchen"})
    ['dish', 'kitchen']
    """

    def __init__(self, save: str | os.PathLike[str] | None = None, *, capacity: int = CAPACITY) -> None:
        self._save = save
        self._capacity = capacity
        self._since = 0
        self._taken: Recording | None = None
        self._entered = False

    def __enter__(self) -> record:
        if self._entered:
            raise RuntimeError("this record() was entered already: make another")
        self._entered = True
        self._since = start(self._capacity)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._taken = recording(self._since)
        finally:
            stop()
        if self._save is not None:
            self._taken.save(self._save)

    def recording(self) -> Recording:
        """What happened in the context: so far, or all of it once it was left.

        Raises:
            RuntimeError: the context was not entered.
        """
        if not self._entered:
            raise RuntimeError("nothing was recorded: enter the context first, `with rondeau.record() as record:`")
        return self._taken if self._taken is not None else recording(self._since)


def dump(path: str | os.PathLike[str]) -> None:
    """Write what the recorder has to a file, private to the user, and go on recording.

    Raises:
        RuntimeError: the recorder is off.
        OSError: as from `open`.
    """
    recording().save(path)


class flight_recorder:
    """Keep the last seconds, and write them to a file when something happens. On from the call until `stop()`.

    Files are private to the user (0600), written beside their place and renamed. Writing happens in a thread of its own; the
    loop is held for the copy of the ring only. After a stall or an exception there is none for `seconds` more, so that a
    program that fails all the time does not fill the disk.

    Args:
        path: a file, which each dump replaces; or a folder, where each gets a name of its own.
        seconds: how much is kept, if the ring is large enough.
        signal: the signal that asks for a dump, SIGUSR2 unless told; None for none. Only the main thread may take signals.
        on_stall: dump when a watchdog sees a loop blocked, while it is: also one that never comes round leaves a file.
        on_exception: dump when a loop reports an unhandled exception, and when one ends the program.
        capacity: how many events are kept (`start`).

    Raises:
        ValueError: `seconds` is not positive; or a signal is wanted in another thread than the main one.

    >>> import rondeau, tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder, rondeau.flight_recorder(folder, signal=None) as recorder:
    ...     _ = rondeau.run(rondeau.sleep(0))
    ...     recorder.dump("asked").join()
    ...     [path.suffix for path in pathlib.Path(folder).iterdir()]
    ['.rondeau']
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        seconds: float = 10.0,
        *,
        signal: int | None = -1,
        on_stall: bool = False,
        on_exception: bool = True,
        capacity: int = CAPACITY,
    ) -> None:
        import signal as signals

        if not seconds > 0:
            raise ValueError(f"seconds must be positive, not {seconds!r}")
        self._path = os.fspath(path)
        self._folder = os.path.isdir(path) or self._path.endswith(os.sep)
        self._seconds = seconds
        self._quiet_until = 0
        self._undo = contextlib.ExitStack()
        with contextlib.ExitStack() as undo:
            start(capacity)
            undo.callback(stop)
            if signal is not None:
                number = signals.SIGUSR2 if signal == -1 else signal
                before = signals.signal(number, lambda *_: self.dump("signal"))
                undo.callback(signals.signal, number, before if before is not None else signals.SIG_DFL)
            if on_stall:
                _stall_hooks.append(self._stalled)
                undo.callback(_stall_hooks.remove, self._stalled)
            if on_exception:
                self._watch_exceptions(undo)
            self._undo = undo.pop_all()

    def _watch_exceptions(self, undo: contextlib.ExitStack) -> None:
        from . import loop

        loop.exception_hooks.append(self._failed)
        undo.callback(loop.exception_hooks.remove, self._failed)
        before = sys.excepthook

        def hook(kind: type[BaseException], exc: BaseException, trace: TracebackType | None) -> None:
            self._failed()
            before(kind, exc, trace)

        sys.excepthook = hook

        def restore() -> None:
            if sys.excepthook is hook:
                sys.excepthook = before

        undo.callback(restore)

    def _stalled(self) -> None:
        self._dump_rarely("stall")

    def _failed(self) -> None:
        self._dump_rarely("exception")

    def _dump_rarely(self, reason: str) -> None:
        now = time.monotonic_ns()
        if now >= self._quiet_until:
            self._quiet_until = now + int(self._seconds * 1e9)
            self.dump(reason)

    def dump(self, reason: str = "asked") -> threading.Thread:
        """Write the last seconds now; `reason` becomes part of the file's name in a folder.

        Returns:
            The thread that writes; what goes wrong in it is reported by `threading.excepthook`.
        """
        taken = _take(time.monotonic_ns() - int(self._seconds * 1e9))
        writer = threading.Thread(target=self._write, args=(taken, reason), name="rondeau flight recorder")
        writer.start()
        return writer

    def _write(self, taken: Taken, reason: str) -> None:
        path = self._path
        if self._folder:
            os.makedirs(path, mode=0o700, exist_ok=True)
            stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(taken.time))
            program = os.path.splitext(os.path.basename(taken.program))[0] or "python"
            path = os.path.join(path, f"{program}-{os.getpid()}-{stamp}.{int(taken.time % 1 * 1e6):06}-{reason}.rondeau")
        taken.recording().save(path)

    def stop(self) -> None:
        """Record no more, and take back what was set. Again: nothing."""
        self._undo.close()

    def __enter__(self) -> flight_recorder:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def _take(since: int) -> Taken:
    with _lock:
        if not _users:
            raise RuntimeError("the recorder is off: switch it on with rondeau.record() or rondeau.flight_recorder()")
        return Taken(since, _blocks, _ran)


def _runs(loop: Any, what: str) -> None:
    """A loop starts or stops: a thread is known by its name while it lasts, and a loop's may have ended before anybody asks."""
    if what == "loop_started" and loop not in _known:
        _known.add(loop)
        _ran.append((threading.get_ident(), threading.current_thread().name))


def _existing() -> tuple[list[Any], Any]:
    """The tasks that this thread's running loop has, and the one that runs."""
    import asyncio

    loop = asyncio._get_running_loop()
    if not isinstance(loop, _core.EventLoop):
        return [], None
    return list(asyncio.all_tasks(loop)), asyncio.current_task(loop)
