"""Subprocesses, watched by pidfd: no SIGCHLD handler, no thread a child, on every Python and in every thread.

Called by `EventLoop._make_subprocess_transport`. Starting a child and what runs beside it is asyncio's code (`_child_transport`
has what this project mends of it); what is ours is how the end of the child is learnt. A child watcher that the program set
itself (CPython up to 3.13) is obeyed.

Always: a descriptor belongs to one `_Child`, which the loop's table holds; whoever lets go of it (the child's end,
`loop.close()`) closes it. A status is taken in the loop's thread and noted in the same step, so that no signal goes to a number
that is nobody's. Rejected: asyncio's `PidfdChildWatcher`: its descriptor leaks with the loop;
it waits by pid, which may be another child's by then; and where `pidfd_open` fails, the child that was started is forgotten.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import sys
import threading
from asyncio import unix_events
from asyncio.log import logger

from ._child_transport import SubprocessTransport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .loop import EventLoop

# The watchers that a policy makes without being told.
_MADE_BY_POLICY = ["ThreadedChildWatcher"] + ["PidfdChildWatcher"] * (sys.version_info >= (3, 12))


def set_by_program() -> bool:
    """Whether asyncio's own way must be gone, since the program chose a child watcher."""
    base: Any = getattr(unix_events, "_UnixDefaultEventLoopPolicy", None)
    if base is None or not hasattr(base, "get_child_watcher"):
        return False  # 3.14: watchers are gone.
    policy: Any = asyncio.get_event_loop_policy()
    method = type(policy).get_child_watcher
    if method is asyncio.AbstractEventLoopPolicy.get_child_watcher:
        return False  # It has none, and says so by NotImplementedError.
    if method is not base.get_child_watcher:
        return True
    watcher = policy._watcher
    return watcher is not None and type(watcher) not in [getattr(unix_events, name) for name in _MADE_BY_POLICY]


async def start(loop: EventLoop, protocol: Any, args: Any, shell: bool, *streams: Any, **options: Any) -> Any:
    """Start a child; its transport, once its pipes are connected.

    A cancelled or failed start leaves no child: it is killed and waited for.
    """
    waiter = loop.create_future()
    transport = SubprocessTransport(loop, protocol, args, shell, *streams, waiter=waiter, **options)
    watch(loop, transport)
    try:
        await waiter
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException:
        transport.close()
        if not transport._connecting:
            transport.let_go()
        await transport._wait()
        raise
    return transport


def watch(loop: EventLoop, transport: Any) -> None:
    """Tell `transport` when its child ended.

    Where no pidfd can be had (an old kernel, a filter, no descriptor left), a thread waits for it.
    """
    pid = transport.get_pid()
    try:
        child = _Child(pid, os.pidfd_open(pid), transport)
    except OSError:
        child = _Child(pid, -1, transport)
        threading.Thread(target=child.wait, args=(loop,), name=f"rondeau-child-{pid}", daemon=True).start()
        return
    loop._add_reader(child.descriptor, child.ended, loop)


class _Child:
    """A child that runs, and the descriptor that tells of its end."""

    __slots__ = ("descriptor", "pid", "transport")

    def __init__(self, pid: int, descriptor: int, transport: Any) -> None:
        self.pid = pid
        self.descriptor = descriptor
        self.transport = transport

    def ended(self, loop: EventLoop) -> None:
        """The descriptor became readable: take the exit status, and tell the transport."""
        if self.descriptor >= 0:
            loop._remove_reader(self.descriptor)
        try:
            code = self._status()
        except ChildProcessError:
            # Somebody else read it: Popen, which then knows it, or the program.
            code = self.transport._proc.returncode
            if code is None:
                code = 255
                logger.warning("child process pid %d exit status already read:  will report returncode 255", self.pid)
        finally:
            self._close()
        self.transport._reaped = True
        loop._child_watcher_callback(self.pid, code, self.transport)

    def wait(self, loop: EventLoop) -> None:
        """In a thread: have the loop take the status once there is one. The thread leaves it where it is."""
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(RuntimeError):  # The loop was closed: the child is Popen's to take.
            loop.call_soon_threadsafe(self.ended, loop)

    def _status(self) -> int:
        if self.descriptor < 0:
            return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        try:
            # By descriptor and not by number, which may be a new child's if this one was reaped elsewhere.
            result = os.waitid(os.P_PIDFD, self.descriptor, os.WEXITED)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])  # Linux 5.3 has pidfds but not this.
        assert result is not None
        return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status

    def _close(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(
                OSError
            ):  # The number is free also where close(2) fails, and the child's end must be told.
                os.close(descriptor)

    def __del__(self) -> None:
        self._close()
