"""`rondeau.StreamReader` and its kin: the native halves in front of asyncio's classes, and the functions that make connections.

Loaded when one of the names is first asked for. Each class has two bases, as `EventLoop` has: what runs per packet or per
read is native and found first; what runs once per connection is asyncio's own code, as this Python has it. That code names the
classes as globals of `asyncio.streams`, so the functions here are asyncio's with these names rebound: its behaviour to the
letter, in each version.
"""

from __future__ import annotations

import asyncio
from asyncio import streams
from types import FunctionType

from rondeau import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class StreamReader(_core.StreamReader, asyncio.StreamReader):
    """asyncio.StreamReader, native.

    Args:
        limit: bytes; the longest line, and half of what is buffered before the transport is paused.
        loop: the event loop; by default the one that runs.

    Raises:
        ValueError: `limit` is not positive.

    >>> import rondeau
    >>> async def main():
    ...     reader = rondeau.StreamReader()
    ...     reader.feed_data(b"soup\\nroast\\n")
    ...     reader.feed_eof()
    ...     return [line async for line in reader]
    >>> rondeau.run(main())
    [b'soup\\n', b'roast\\n']
    """

    __slots__ = ()


class StreamWriter(_core.StreamWriter, asyncio.StreamWriter):
    """asyncio.StreamWriter, native: made by `open_connection` and `start_server`."""

    __slots__ = ()


class StreamReaderProtocol(_core.StreamReaderProtocol, asyncio.StreamReaderProtocol):
    """asyncio.StreamReaderProtocol, native: between a transport and a StreamReader."""

    __slots__ = ()


_core.adopt_streams(StreamReader, StreamWriter, StreamReaderProtocol)

_globals = {
    **vars(streams),
    "StreamReader": StreamReader,
    "StreamWriter": StreamWriter,
    "StreamReaderProtocol": StreamReaderProtocol,
}


def _with_ours(function: Any) -> Any:
    """asyncio's function, with the native classes for the names that it uses."""
    made = FunctionType(function.__code__, _globals, function.__name__, function.__defaults__, function.__closure__)
    made.__kwdefaults__ = function.__kwdefaults__
    made.__qualname__ = function.__qualname__
    made.__doc__ = function.__doc__
    return made


StreamReaderProtocol.connection_made = _with_ours(asyncio.StreamReaderProtocol.connection_made)  # type: ignore[method-assign]
open_connection = _with_ours(streams.open_connection)
start_server = _with_ours(streams.start_server)
open_unix_connection = _with_ours(streams.open_unix_connection)
start_unix_server = _with_ours(streams.start_unix_server)
