"""`rondeau.create_subprocess_exec` and `create_subprocess_shell`: asyncio's functions, with native streams on a child's pipes.

Loaded when one of the names is first asked for. Options, errors and order are asyncio's own code, as this Python has it, with
the classes here for the globals that it names. `Process.communicate` is our own where CPython mended it later: what a cancelled
one had read is kept for the next (cpython#139373), and a child's input is closed also where there is none to send,
which Python 3.11 left open.
"""

from __future__ import annotations

import sys
from asyncio import subprocess
from types import FunctionType

from . import native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_globals = dict(vars(subprocess))


def _with_ours(function: Any) -> Any:
    """asyncio's function, with what is native for the names that it uses."""
    made = FunctionType(function.__code__, _globals, function.__name__, function.__defaults__, function.__closure__)
    made.__kwdefaults__ = function.__kwdefaults__
    made.__qualname__ = function.__qualname__
    made.__doc__ = function.__doc__
    return made


class SubprocessStreamProtocol(subprocess.SubprocessStreamProtocol):
    """asyncio's, which makes native streams."""

    connection_made = _with_ours(subprocess.SubprocessStreamProtocol.connection_made)


class Process(subprocess.Process):
    """asyncio's, whose `communicate` may be called again after it was cancelled."""

    _taken: dict[int, list[bytes]] | None = None  # What an unfinished `communicate` has read of each pipe.
    _unsent: Any = None  # What it was to send, while it has not.

    async def communicate(self, input: Any = None) -> Any:
        """Send `input` to the child, read its output to the end and wait for its own.

        Args:
            input: bytes for the child's stdin, which is then closed; None sends none.

        Returns:
            What it wrote to stdout and to stderr; None for one that is no pipe.

        Raises:
            ValueError: a call before this one was cancelled, and there is `input` again.
        """
        if self._taken is None:
            self._taken = {1: [], 2: []}
            self._unsent = input
        elif input is not None:
            raise ValueError("Cannot send input after starting communication")
        feed = self._noop() if self.stdin is None else self._feed()  # type: ignore[attr-defined]
        read = [self._noop() if each is None else self._read(fd, each) for fd, each in ((1, self.stdout), (2, self.stderr))]  # type: ignore[attr-defined]
        _, out, err = await native.form("gather")(feed, *read)
        await self.wait()
        self._taken = None
        return out, err

    async def _feed(self) -> None:
        unsent, self._unsent = self._unsent, None
        if unsent is None and sys.version_info < (3, 12):
            unsent = b""
        await self._feed_stdin(unsent)  # type: ignore[attr-defined]

    async def _read(self, fd: int, stream: Any) -> bytes:
        assert self._taken is not None
        taken = self._taken[fd]
        while piece := await stream.read(stream._limit):
            taken.append(piece)
        pipe = self._transport.get_pipe_transport(fd)  # type: ignore[attr-defined]
        if pipe is not None:
            pipe.close()
        return b"".join(taken)


_globals.update(streams=native.submodule("streams"), SubprocessStreamProtocol=SubprocessStreamProtocol, Process=Process)
create_subprocess_exec = _with_ours(native.original("create_subprocess_exec"))
create_subprocess_shell = _with_ours(native.original("create_subprocess_shell"))
