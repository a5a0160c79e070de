"""stdout and stderr: writing that waits for a slow reader in a task, and not in the loop.

The output is `sys.stdout`'s or `sys.stderr`'s, in order with `print`. What `print` has buffered leaves before what is written
here, and while something waits here what `print` gives to the descriptor queues up behind it: a method put on the object
comes before the class's, so the raw layer has a `write` of ours then. It goes when the queue is empty.

What can be written at once is; the rest is written by a task that lives until the queue is empty (_shared.py waits and writes).
What a loop leaves is written at the program's end or before the next print, blocking, as `print`'s own buffer is.

Rejected: O_NONBLOCK (see _shared.py). A transport of `connect_write_pipe`: it sets that, and closes the descriptor in the end.
"""

from __future__ import annotations

import asyncio
import atexit
import io
import os
import sys
import threading
from collections import deque

from ._shared import Shared

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from typing_extensions import Buffer

AT_ONCE = 64  # How many pieces one system call takes.


def stdout() -> Output:
    """The standard output as a stream of bytes, with the methods of asyncio's StreamWriter.

    Raises:
        RuntimeError: `sys.stdout` is None, since the program was started with its descriptor closed.

    >>> import rondeau
    >>> async def serve():
    ...     rondeau.stdout().write(b"soup\\n")
    ...     await rondeau.stdout().drain()
    >>> rondeau.run(serve())
    soup
    """
    return _output("stdout")


def stderr() -> Output:
    """The standard error stream; see `stdout`."""
    return _output("stderr")


class Output:
    """The standard output or error stream. Made by `stdout` and `stderr`, one for all who write there."""

    def __init__(self, text: Any) -> None:
        self._text = text

    def write(self, data: Buffer) -> None:
        """Write `data`, or queue what there is no room for. Never blocks; `await drain()` waits.

        Raises:
            OSError: an earlier write failed, and no `drain` has said so yet.
        """
        raise NotImplementedError

    def write_text(self, text: str) -> None:
        """Write `text`, in the stream's encoding, as `print(text, end="", flush=True)` would."""
        raise NotImplementedError

    def writelines(self, lines: Iterable[Buffer]) -> None:
        """Write all of `lines`, which end as they end."""
        self.write(b"".join(lines))

    async def drain(self) -> None:
        """Wait until all that was written is the kernel's.

        Raises:
            BrokenPipeError: nobody reads any more; what was queued is lost.
            OSError: the descriptor cannot be written.
        """

    def can_write_eof(self) -> bool:
        """False: the stream is the process's, not ours to end."""
        return False

    def write_eof(self) -> None:
        raise NotImplementedError("a standard stream ends with the process")

    def close(self) -> None:
        """Nothing: what is queued is written, and the stream stays open, as it is the process's."""

    def is_closing(self) -> bool:
        """False."""
        return False

    async def wait_closed(self) -> None:
        """As `drain`."""
        await self.drain()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`"pipe"` is the text stream (`sys.stdout`); there is nothing else to know."""
        return self._text if name == "pipe" else default


class _Standard(Output):
    """A `sys.stdout` as Python makes it: text over a buffer (or with -u without one) over a descriptor."""

    def __init__(self, text: io.TextIOWrapper, raw: io.FileIO) -> None:
        super().__init__(text)
        self._raw = raw
        self._queue: deque[bytes] = deque()
        # Held while the queue or the raw layer's `write` changes; a thread may print. Never across a system call.
        self._lock = threading.RLock()
        self._disk = threading.Lock()  # Held by the thread that writes to a file.
        self._task: asyncio.Task[None] | None = None
        self._error: OSError | None = None

    def write(self, data: Buffer) -> None:
        data = _bytes(data)
        self._begin(lambda: self._queue.append(data) if data else None)

    def write_text(self, text: str) -> None:
        self._begin(lambda: self._text.write(text))

    def _begin(self, put: Any) -> None:
        loop = asyncio.get_running_loop()
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        with self._lock:
            if self._task is not None and self._task.done():
                self._task = None  # of a loop that has ended
            self._raw.write = self._printed  # type: ignore[method-assign]
            self._text.flush()  # into the queue
            put()
            self._text.flush()
            if self._task is not None:
                return
            try:
                self._write_now()
            except OSError as error:
                self._fail(error)
            if self._queue:
                self._task = loop.create_task(self._write_on())
            else:
                self._settle()

    def _printed(self, data: Any) -> int:
        """What the raw layer's `write` is while something is queued."""
        task = self._task
        with self._lock:
            if task is None or (not task.done() and task.get_loop().is_running()):
                if data:  # nothing is written of nothing: it would stay for ever
                    self._queue.append(bytes(data))
                return len(data)
        self.write_all()
        return self._raw.write(data)

    def _settle(self) -> None:
        with self._lock:
            if not self._queue:
                self._task = None
                vars(self._raw).pop("write", None)

    def _fail(self, error: OSError) -> None:
        with self._lock:
            self._queue.clear()
            self._error = error

    def _write_now(self) -> None:
        """Write what there is room for. A disk is not written here: it has always room, and takes its time."""
        if not self._queue:
            return
        with Shared(self._raw.fileno(), os.O_WRONLY) as shared:
            if not shared.on_disk:
                self._write_with(shared)

    def _write_with(self, shared: Shared) -> None:
        try:
            while self._queue:
                self._written(shared.write([self._queue[n] for n in range(min(len(self._queue), AT_ONCE))]))
        except BlockingIOError:
            pass

    def _written(self, count: int) -> None:
        with self._lock:
            while count:
                piece = self._queue.popleft()
                if count < len(piece):
                    self._queue.appendleft(piece[count:])
                    return
                count -= len(piece)

    async def _write_on(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            with Shared(self._raw.fileno(), os.O_WRONLY) as shared:
                while self._queue:
                    if shared.on_disk:
                        await loop.run_in_executor(None, self._to_disk)
                    else:
                        await shared.ready(loop)
                        self._write_with(shared)
        except OSError as error:
            self._fail(error)
        finally:
            self._settle()

    def _to_disk(self) -> None:
        with self._disk:
            while self._queue:
                self._written(os.write(self._raw.fileno(), self._queue[0]))

    async def drain(self) -> None:
        while self._task is not None and not self._task.done() and self._task.get_loop() is asyncio.get_running_loop():
            await asyncio.wait([self._task])
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def write_all(self) -> None:
        """Write what a loop has left, blocking. At the program's end, and before a print that comes after that loop."""
        if not self._queue:
            return
        with self._disk, self._lock:
            vars(self._raw).pop("write", None)
            self._task = None
            try:
                while self._queue:
                    self._written(self._raw.write(self._queue[0]) or 0)
            finally:
                self._queue.clear()

    def forget(self) -> None:
        """In a forked child: what is queued is the parent's to write."""
        self._lock = threading.RLock()
        self._queue.clear()
        self._settle()


def _bytes(data: Any) -> bytes:
    if isinstance(data, bytes):
        return data
    try:
        return memoryview(data).tobytes()
    except TypeError:
        raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}") from None


class _Foreign(Output):
    """A `sys.stdout` of the program's own: a StringIO, a notebook's. It is called, since nothing is known of it."""

    def write(self, data: Buffer) -> None:
        asyncio.get_running_loop()
        buffer = getattr(self._text, "buffer", None)
        if buffer is None:
            self._text.write(_bytes(data).decode(getattr(self._text, "encoding", None) or "utf-8", "backslashreplace"))
        else:
            self._text.flush()
            buffer.write(data)
        self._text.flush()

    def write_text(self, text: str) -> None:
        self._text.write(text)
        self._text.flush()


_outputs: dict[str, tuple[Any, Output]] = {}


def _output(name: str) -> Output:
    text = getattr(sys, name)
    if text is None:
        raise RuntimeError(f"lost sys.{name}")
    known = _outputs.get(name)
    if known is None or known[0] is not text:
        known = _outputs[name] = text, _make(text)
    return known[1]


def _make(text: Any) -> Output:
    if type(text) is not io.TextIOWrapper:
        return _Foreign(text)
    raw = getattr(text.buffer, "raw", text.buffer)
    if type(raw) is not io.FileIO or type(text.buffer) not in (io.BufferedWriter, io.FileIO):
        return _Foreign(text)
    output = _Standard(text, raw)
    atexit.register(output.write_all)
    os.register_at_fork(after_in_child=output.forget)
    return output
