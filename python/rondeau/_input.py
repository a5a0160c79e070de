"""ainput and stdin: what a person types, or what is piped in, without blocking the loop.

The input is `sys.stdin`'s. Bytes are taken out of `sys.stdin.buffer`, never past the line that was asked for, and lines of
text go through `sys.stdin` itself: what a plain `input()` left in these buffers comes first, and what is left here a plain
`input()` finds. Only the beginning of a line whose end has not come yet is kept here, for whoever reads next.

These buffers can be asked without blocking because a method that is put on the object comes before the class's: while one of
them is asked, the layer below it has a `readinto` or `read1` of ours, which says `_NotYet` where it would block.
_shared.py reads and waits.

Reads are pulled: while nobody waits nothing is read, so that a child process which has the same input gets it. Readers take
turns in the order in which they came, and a prompt is shown when its turn has come. The terminal's own line editing stays;
GNU readline is not used, since it sets the terminal to a mode that a killed program leaves behind.

A `sys.stdin` that a program has put there itself (an editor's, a notebook's) is asked by a thread, a line at a time.
"""

from __future__ import annotations

import asyncio
import codecs
import io
import os
import sys
import threading
from contextlib import asynccontextmanager

from ._shared import Shared, told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any

CHUNK = 65536
_LOST = "lost " if sys.version_info >= (3, 14) else "input(): lost "  # as `input` says it


class _NotYet(Exception):
    """Nothing is there without waiting. Goes through the C code of `io`, which loses nothing on its way."""


def _not_yet(*_: Any) -> Any:
    raise _NotYet


async def ainput(prompt: object = "") -> str:
    """Wait for a line of input and return it without its newline, as `input` does, while other tasks run.

    Two that wait at once take turns. A cancelled one loses nothing of what was typed: the next gets it. Ctrl-C does what it
    does elsewhere in the program (in `run`, KeyboardInterrupt). The terminal's own editing is there, that of `readline` is not.

    Args:
        prompt: shown on `sys.stdout`, when it is this call's turn.

    Raises:
        EOFError: the input has ended (Ctrl-D), and there was nothing before its end.
        RuntimeError: `sys.stdin` or `sys.stdout` is None.

    >>> import io, sys, rondeau
    >>> typed, sys.stdin = sys.stdin, io.StringIO("cherries\\n")
    >>> rondeau.run(rondeau.ainput("What goes on the cake? "))
    What goes on the cake? 'cherries'
    >>> sys.stdin = typed
    """
    sys.audit("builtins.input", prompt)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name, None) is None:
            raise RuntimeError(f"{_LOST}sys.{name}")
    source = _source()
    async with source.turn():
        sys.stderr.flush()
        await _show(str(prompt))
        line = await source.line()
    if not line:
        raise EOFError("EOF when reading a line")
    line = line.removesuffix("\n")
    sys.audit("builtins.input/result", line)
    return line


async def _show(prompt: str) -> None:
    from ._output import stdout

    output = stdout()
    output.write_text(prompt)
    if prompt:
        await output.drain()


def stdin() -> Input:
    """The standard input as a stream of bytes, with the reading half of asyncio's StreamReader.

    It is `sys.stdin`'s input, and shared with it: what one has read the other does not see again.

    Raises:
        RuntimeError: `sys.stdin` is None, since the program was started with its descriptor closed.

    >>> import io, sys, rondeau
    >>> async def count():
    ...     return [len(line) async for line in rondeau.stdin()]
    >>> typed, sys.stdin = sys.stdin, io.StringIO("soup\\nroast\\n")
    >>> rondeau.run(count())
    [5, 6]
    >>> sys.stdin = typed
    """
    if sys.stdin is None:
        raise RuntimeError("lost sys.stdin")
    return Input(_source())


class Input:
    """The standard input. Made by `stdin`; any number of them read the same input, in turns."""

    def __init__(self, source: _Source) -> None:
        self._source = source
        self._ended = False

    async def read(self, n: int = -1) -> bytes:
        """Wait for input and return up to `n` bytes of it, as soon as there are any; with -1, all until its end."""
        if n == 0:
            return b""
        async with self._source.turn():
            if n < 0:
                while piece := await self._source.some(CHUNK):
                    self._source.begun += piece
                self._ended = True
                return self._source.take(len(self._source.begun))
            found = self._source.take(n) or await self._source.some(n)
        self._ended = not found
        return found

    async def readline(self) -> bytes:
        """Wait for a line and return it with its newline; without one at the input's end, and nothing after that."""
        try:
            return await self.readuntil(b"\n")
        except asyncio.IncompleteReadError as error:
            return error.partial

    async def readuntil(self, separator: bytes = b"\n") -> bytes:
        """Wait for bytes that end with `separator` and return them.

        Raises:
            asyncio.IncompleteReadError: the input ended before; `partial` is what there was.
        """
        if not separator:
            raise ValueError("Separator should be at least one-byte string")
        async with self._source.turn():
            found, self._ended = await self._source.until(separator)
        if self._ended:
            raise asyncio.IncompleteReadError(found, None)
        return found

    async def readexactly(self, n: int) -> bytes:
        """Wait for `n` bytes and return them.

        Raises:
            asyncio.IncompleteReadError: the input ended before; `partial` is what there was.
        """
        if n < 0:
            raise ValueError("readexactly size can not be less than zero")
        async with self._source.turn():
            begun = self._source.begun
            while len(begun) < n:
                piece = await self._source.some(n - len(begun))
                if not piece:
                    self._ended = True
                    raise asyncio.IncompleteReadError(self._source.take(len(begun)), n)
                begun += piece
            return self._source.take(n)

    def at_eof(self) -> bool:
        """Whether the last read met the input's end. A terminal's input goes on after it."""
        return self._ended

    def __aiter__(self) -> Input:
        return self

    async def __anext__(self) -> bytes:
        line = await self.readline()
        if not line:
            raise StopAsyncIteration
        return line


class _Source:
    """One input, whoever reads it, and the turns in which they do."""

    def __init__(self) -> None:
        # What was taken and not yet given: what came of a read that was cancelled before it had all it wanted.
        self.begun = bytearray()
        self._queues: dict[asyncio.AbstractEventLoop, tuple[asyncio.Lock, list[None]]] = {}

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """First come, first served. Kept only while somebody is there: a lock that was waited for keeps its loop alive."""
        loop = asyncio.get_running_loop()
        lock, there = self._queues.setdefault(loop, (asyncio.Lock(), []))
        there.append(None)
        try:
            async with lock:
                yield
        finally:
            there.pop()
            if not there:
                del self._queues[loop]

    def take(self, most: int) -> bytes:
        taken = bytes(self.begun[:most])
        del self.begun[:most]
        return taken

    async def until(self, separator: bytes) -> tuple[bytes, bool]:
        """What ends with `separator`, or what there is until the end; and whether it is the latter."""
        begun, looked = self.begun, 0
        while (at := begun.find(separator, looked)) < 0:
            looked = max(0, len(begun) - len(separator) + 1)
            piece = await self.some(CHUNK, separator[-1:])
            if not piece:
                return self.take(len(begun)), True
            begun += piece
        return self.take(at + len(separator)), False

    async def some(self, most: int, last: bytes = b"") -> bytes:
        """Between one and `most` bytes, and none beyond the first `last`; nothing at the end."""
        raise NotImplementedError

    async def line(self) -> str:
        """A line of text with its newline; nothing at the end."""
        raise NotImplementedError


class _Standard(_Source):
    """A `sys.stdin` as Python makes it: text over a buffer over a descriptor."""

    def __init__(self, text: io.TextIOWrapper, buffer: io.BufferedReader, raw: io.FileIO) -> None:
        super().__init__()
        self._text, self._buffer, self._raw = text, buffer, raw
        self._typed: list[str] = []  # the same, of what `sys.stdin` had decoded already

    async def some(self, most: int, last: bytes = b"") -> bytes:
        there = self._peek(_not_yet)
        if there is None:
            there = await self._wait()
        if last and (at := there.find(last, 0, most)) >= 0:
            most = at + 1
        # What was peeked at is there, so this does not ask the descriptor.
        return self._buffer.read1(min(most, len(there))) if there else b""

    def _peek(self, readinto: Any) -> bytes | None:
        """What is in the buffer; where it is empty, after `readinto` has filled it. None if nothing is there yet."""
        self._raw.readinto = readinto  # type: ignore[method-assign]
        try:
            return self._buffer.peek()
        except _NotYet:
            return None
        finally:
            del self._raw.readinto

    async def _wait(self) -> bytes:
        loop = asyncio.get_running_loop()
        fd = self._raw.fileno()
        with Shared(fd, os.O_RDONLY) as shared:
            if shared.on_disk:
                return await self._from_disk(loop, fd)
            while (there := self._peek(lambda buffer: _or_not_yet(shared, buffer))) is None:
                await shared.ready(loop)
            return there

    async def _from_disk(self, loop: asyncio.AbstractEventLoop, fd: int) -> bytes:
        # The file's position moves only when the bytes are ours, so a cancelled read takes none.
        at = os.lseek(fd, 0, os.SEEK_CUR)
        found = await loop.run_in_executor(None, os.pread, fd, io.DEFAULT_BUFFER_SIZE, at)

        def readinto(buffer: memoryview) -> int:
            count = min(len(buffer), len(found))
            buffer[:count] = found[:count]
            os.lseek(fd, at + count, os.SEEK_SET)
            return count

        return self._peek(readinto) or b""

    async def line(self) -> str:
        if self._decoded():
            return self._give()
        found, _ = await self.until(b"\n")
        pieces = iter([found])
        # To `sys.stdin` these bytes are what its buffer had, and then nothing more.
        self._buffer.read1 = lambda *_: next(pieces, b"")  # type: ignore[method-assign]
        try:
            rest = self._text.readline()
        finally:
            del self._buffer.read1
        return self._give() + rest

    def _decoded(self) -> bool:
        """Take the characters that `sys.stdin` has ready. True at the end of a line."""
        self._buffer.read1 = _not_yet  # type: ignore[method-assign]
        try:
            while not self._typed or self._typed[-1] != "\n":
                self._typed.append(self._text.read(1))
            return True
        except _NotYet:
            return False
        finally:
            del self._buffer.read1

    def _give(self) -> str:
        line = "".join(self._typed)
        self._typed.clear()
        return line


def _or_not_yet(shared: Shared, buffer: Any) -> int:
    try:
        return shared.read_into(buffer)
    except BlockingIOError:
        raise _NotYet from None


class _Foreign(_Source):
    """A `sys.stdin` of the program's own. Its `readline` may block, so a thread calls it."""

    def __init__(self, text: Any) -> None:
        super().__init__()
        self._text = text
        self._encoding = getattr(text, "encoding", None) or "utf-8"
        self._rest = b""  # of the last line that was asked for
        self._asked: _Ask | None = None

    async def some(self, most: int, last: bytes = b"") -> bytes:
        found = self._rest or (await self._ask()).encode(self._encoding, "surrogateescape")
        at = found.find(last, 0, most) if last else -1
        cut = at + 1 if at >= 0 else most
        self._rest = found[cut:]
        return found[:cut]

    async def line(self) -> str:
        if self.begun or self._rest:
            return (await self.until(b"\n"))[0].decode(self._encoding, "surrogateescape")
        return await self._ask()

    async def _ask(self) -> str:
        if type(self._text) is io.StringIO:
            return str(self._text.readline())
        # A thread that waits for a line is not called off with the task: the next one gets the line.
        asked = self._asked = self._asked or _Ask(self._text.readline)
        await asked.ended()
        self._asked = None
        if asked.error is not None:
            raise asked.error
        return asked.line


class _Ask:
    """One call of `readline`, in a daemon thread: what nobody types must not hold up the end of the program."""

    def __init__(self, readline: Any) -> None:
        self.line = ""
        self.error: BaseException | None = None
        self._done = False
        self._lock = threading.Lock()
        self._waiter: asyncio.Future[None] | None = None
        threading.Thread(target=self._run, args=(readline,), name="rondeau stdin", daemon=True).start()

    def _run(self, readline: Any) -> None:
        try:
            self.line = readline()
        except BaseException as error:
            self.error = error
        with self._lock:
            self._done = True
            waiter = self._waiter
        if waiter is not None:
            try:
                waiter.get_loop().call_soon_threadsafe(told, waiter)
            except RuntimeError:
                pass  # That loop is closed; the line is the next one's.

    async def ended(self) -> None:
        with self._lock:
            if self._done:
                return
            self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter


_last: tuple[Any, _Source] | None = None


def _source() -> _Source:
    """The input behind `sys.stdin` as it is now. One each, since it holds what was begun."""
    global _last
    text = sys.stdin
    if _last is None or _last[0] is not text:
        _last = text, _standard(text) or _Foreign(text)
    return _last[1]


def _standard(text: Any) -> _Standard | None:
    if type(text) is not io.TextIOWrapper or type(text.buffer) is not io.BufferedReader:
        return None
    raw = text.buffer.raw
    if type(raw) is not io.FileIO or not _ends_lines_with_a_byte(text.encoding):
        return None
    return _Standard(text, text.buffer, raw)


def _ends_lines_with_a_byte(encoding: str) -> bool:
    return codecs.encode("\n\n", encoding) == b"\n\n"
