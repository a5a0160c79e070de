"""aiofiles' standard streams. Lines and writes go through `rondeau.stdin` and `rondeau.stdout` and block no thread; the rest is
called by the executor, and so is everything where the program has put a stream of its own into `sys`.
"""

from __future__ import annotations

import sys

from rondeau import _input, _output

from .binary import AsyncIndirectBufferedReader
from .text import AsyncTextIndirectIOWrapper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _source() -> Any:
    """The input, where it is Python's own."""
    source = None if sys.stdin is None else _input._source()
    return source if isinstance(source, _input._Standard) else None


def _sink(name: str) -> Any:
    """The output of that name, where it is Python's own."""
    output = None if getattr(sys, name, None) is None else _output._output(name)
    return output if isinstance(output, _output._Standard) else None


class TextStream(AsyncTextIndirectIOWrapper):
    async def readline(self, *size: Any) -> str:
        source = _source() if self._name == "sys.stdin" and not size else None
        if source is None:
            return str(await self._call("readline", *size))
        async with source.turn():
            return str(await source.line())

    async def write(self, text: str) -> int:
        sink = _sink(self._name.partition(".")[2]) if self._name != "sys.stdin" else None
        if sink is None:
            return int(await self._call("write", text))
        sink.write_text(text)
        await sink.drain()
        return len(text)


class BytesStream(AsyncIndirectBufferedReader):
    async def readline(self, *size: Any) -> bytes:
        if self._name != "sys.stdin.buffer" or size or _source() is None:
            return bytes(await self._call("readline", *size))
        return await _input.stdin().readline()

    async def write(self, data: Any) -> int:
        sink = _sink(self._name.split(".")[1]) if self._name != "sys.stdin.buffer" else None
        if sink is None:
            return int(await self._call("write", data))
        with memoryview(data) as view:
            count = view.nbytes
        sink.write(data)
        await sink.drain()
        return count
