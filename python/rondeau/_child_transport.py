"""The transport of a child: asyncio's, with what CPython mended in later patch releases, on every Python.

Made by `children.start`, which also tells it of the child's end. Starting the child, its pipes and the order of callbacks are
asyncio's own code; each method here is one that some supported Python has wrong:

- `wait()` returns when the child ends, though a grandchild holds a pipe (cpython#119710), and a `wait()` that was
  cancelled leaves nothing behind.
- A start that is cancelled or fails while pipes connect ends, and closes the pipes that were there already (cpython#125502).
- A signal goes to no child that was reaped (cpython#127049): not even in the turn between its end and `process_exited`.
- A transport may be closed after its loop (cpython#114177).
- What a cancelled `communicate()` had read is there for the next one (cpython#139373).

Rejected: the interpreter's newest file beside each older interpreter: four versions of code that is not ours.
"""

from __future__ import annotations

import os
import signal
from asyncio import unix_events
from asyncio.log import logger
from asyncio.subprocess import SubprocessStreamProtocol as _Protocol

from .native import original

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import StreamReader as _StreamReader
    from typing import Any
else:
    _StreamReader = original("StreamReader")


class SubprocessTransport(unix_events._UnixSubprocessTransport):  # type: ignore[name-defined,misc]
    """A child that runs, and the transports of its pipes."""

    _reaped = False  # Its status was taken: the number may be another's.
    _connecting = False
    _closed: bool

    def __init__(self, loop: Any, protocol: Any, *args: Any, **options: Any) -> None:
        if type(protocol) is _Protocol:
            protocol.__class__ = _StreamProtocol
        self._waiting: set[Any] = set()  # Who waits for the child's end.
        super().__init__(loop, protocol, *args, **options)

    def __repr__(self) -> str:
        # The class's name as asyncio has it.
        return str(super().__repr__()).replace("<SubprocessTransport", "<_UnixSubprocessTransport", 1)

    # Signals

    def send_signal(self, signal: int) -> None:
        """Send the child a signal; nothing where it has ended.

        Raises:
            ProcessLookupError: the transport is closed and told so.
        """
        self._check_proc()
        if self._reaped or self._returncode is not None or self._proc.poll() is not None:
            return
        try:
            os.kill(self._pid, signal)
        except ProcessLookupError:
            pass

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    # The end

    def close(self) -> None:
        """Close the pipes and kill the child if it runs."""
        if self._closed:
            return
        self._closed = True
        if self._loop is not None and not self._loop.is_closed():
            for each in self._pipes.values():
                if each is not None:
                    each.pipe.close()
        if self._proc is None or self._returncode is not None or self._reaped or self._proc.poll() is not None:
            return
        if self._loop is not None and self._loop.get_debug():
            logger.warning("Close running child process: kill %r", self)
        try:
            self._proc.kill()
        except (ProcessLookupError, PermissionError):
            pass  # It has ended, or runs as another user.

    async def _wait(self) -> int:
        if self._returncode is None:
            waiter = self._loop.create_future()
            self._waiting.add(waiter)
            try:
                await waiter
            finally:
                self._waiting.discard(waiter)
        code: int = self._returncode
        return code

    def _process_exited(self, returncode: int) -> None:
        waiters = tuple(self._waiting)
        self._waiting.clear()
        super()._process_exited(returncode)
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(returncode)

    # The beginning

    async def _connect_pipes(self, waiter: Any) -> None:
        self._connecting = True
        try:
            if not self._closed:
                await super()._connect_pipes(waiter)
        finally:
            self._connecting = False
            if self._closed or self._pending_calls is not None:
                self.let_go()

    def let_go(self) -> None:
        """The start failed or was cancelled: close what pipes there are. Nothing may connect them meanwhile."""
        loop = self._loop
        if loop is None or self._proc is None:
            return
        owned = []
        for each in self._pipes.values():
            if each is not None:
                owned.append(each.pipe.get_extra_info("pipe"))
                each.pipe.close()
        for pipe in (self._proc.stdin, self._proc.stdout, self._proc.stderr):
            if pipe is not None and pipe not in owned:
                # One whose transport was closed a moment ago is still watched: its turn comes first.
                loop.call_soon(pipe.close)


class _Reader(_StreamReader):
    """A child's output; a reading to the end that is cancelled puts back what it had."""

    async def read(self, n: int = -1) -> bytes:
        """Read up to `n` bytes; to the end where `n` is negative."""
        if n >= 0:
            return await super().read(n)
        this: Any = self
        blocks: list[bytes] = []
        try:
            while block := await super().read(this._limit):
                blocks.append(block)
        except BaseException:
            this._buffer[:0] = b"".join(blocks)
            raise
        return b"".join(blocks)


class _StreamProtocol(_Protocol):
    """asyncio's, with such readers. Native ones are never lent: `_subprocess.Process` keeps what it takes out of them."""

    def connection_made(self, transport: Any) -> None:
        """Make the streams."""
        super().connection_made(transport)
        for reader in (self.stdout, self.stderr):
            if type(reader) is _StreamReader:
                reader.__class__ = _Reader


# As asyncio names them, in reprs.
_Reader.__name__ = _Reader.__qualname__ = "StreamReader"
_StreamProtocol.__name__ = _StreamProtocol.__qualname__ = "SubprocessStreamProtocol"
