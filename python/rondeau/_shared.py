"""A descriptor that other programs share (the standard streams): reading and writing what can be had at once, and waiting.

Called by _input.py and _output.py. O_NONBLOCK belongs to the open file, which the shell and everybody else in the pipeline
hold too, and a program that is killed cannot take it back. So it is never set, nor are a terminal's settings touched.
Instead, in this order:

    preadv2, pwritev2 with RWF_NOWAIT     pipes and sockets (Linux 6), some file systems
    /proc/self/fd/N opened once more      terminals and named pipes: an open file of our own, and only that is non-blocking
    poll, then read or write              what is left. Between the two another reader may take what was there, and then
                                          the read blocks; a write is at most PIPE_BUF, for which poll answers

One `Shared` serves one reading or writing, or one wait: what it opens it closes, so that nothing outlives the await.

Rejected: a thread that blocks in read(2). It cannot be called off, and takes the next line that is typed, which somebody
else waits for by then. Watching the descriptor itself: a program's own `add_reader(0)` would be replaced; a duplicate it is.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

NOWAIT = getattr(os, "RWF_NOWAIT", 8)
# What preadv2 says where the file or the kernel has no such thing.
_UNKNOWN = {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ESPIPE}


class Shared:
    """`with Shared(fd, os.O_RDONLY) as shared: shared.read_into(buffer)`."""

    def __init__(self, fd: int, access: int) -> None:
        self.fd = fd
        self._access = access
        self._own = -1
        self._how = 0  # which of the three ways is the next to try
        self.mode = os.fstat(fd).st_mode

    def __enter__(self) -> Shared:
        return self

    def __exit__(self, *_: object) -> None:
        if self._own >= 0:
            os.close(self._own)
            self._own = -1

    @property
    def on_disk(self) -> bool:
        """Whether it is a file or a block device: always ready, and yet a disk may be waited for."""
        return stat.S_ISREG(self.mode) or stat.S_ISBLK(self.mode)

    def read_into(self, buffer: Any) -> int:
        """Read what is there into `buffer`; return how much, 0 at the end.

        Raises:
            BlockingIOError: nothing is there yet.
        """
        if self._how == 0:
            try:
                return os.preadv(self.fd, [buffer], -1, NOWAIT)
            except OSError as error:
                if error.errno not in _UNKNOWN:
                    raise
                self._reopen()
        if self._own >= 0:
            return os.readv(self._own, [buffer])
        self._ask(select.POLLIN)
        return os.readv(self.fd, [buffer])

    def write(self, pieces: Sequence[Any]) -> int:
        """Write what there is room for; return how many bytes.

        Raises:
            BlockingIOError: there is no room now.
        """
        if self._how == 0:
            try:
                return os.pwritev(self.fd, pieces, -1, NOWAIT)
            except OSError as error:
                if error.errno not in _UNKNOWN:
                    raise
                self._reopen()
        if self._own >= 0:
            return os.writev(self._own, pieces)
        self._ask(select.POLLOUT)
        return os.write(self.fd, memoryview(pieces[0])[: select.PIPE_BUF])

    def _reopen(self) -> None:
        self._how = 1
        if not stat.S_ISFIFO(self.mode) and not os.isatty(self.fd):
            return
        try:
            self._own = os.open(f"/proc/self/fd/{self.fd}", self._access | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            pass  # no /proc, not ours to open, nobody at the other end: the third way meets what there is

    def _ask(self, event: int) -> None:
        poll = select.poll()
        poll.register(self.fd, event)
        if not poll.poll(0):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    async def ready(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait until there is something to read, or room to write."""
        future: asyncio.Future[None] = loop.create_future()
        watched = os.dup(self.fd)
        try:
            reads = self._access == os.O_RDONLY
            try:
                (loop.add_reader if reads else loop.add_writer)(watched, told, future)
            except PermissionError:
                return  # /dev/null and the like: epoll does not take what is always ready
            try:
                await future
            finally:
                (loop.remove_reader if reads else loop.remove_writer)(watched)
        finally:
            os.close(watched)


def told(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
