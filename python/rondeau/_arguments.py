"""What the methods of an open file take: sizes and buffers, with io's words for what is none. Called by the file classes."""

from __future__ import annotations

import sys
from operator import index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def size_of(value: Any) -> int:
    """A count of bytes, characters or lines; -1 for None.

    Raises TypeError and, beyond what memory can be, OverflowError.
    """
    if value is None:
        return -1
    try:
        count = index(value)
    except TypeError:
        raise TypeError(f"argument should be integer or None, not {type(value).__name__!r}") from None
    if not -sys.maxsize - 1 <= count <= sys.maxsize:
        raise OverflowError("cannot fit 'int' into an index-sized integer")
    return count


def bytes_of(data: Any) -> memoryview:
    """The bytes of a bytes-like object.

    Raises TypeError, and BufferError where they do not lie in one piece.
    """
    try:
        view = memoryview(data)
    except TypeError:
        raise TypeError(f"a bytes-like object is required, not {type(data).__name__!r}") from None
    if not view.c_contiguous:
        raise BufferError("memoryview: underlying buffer is not C-contiguous")
    return view.cast("B")


def space_of(buffer: Any, name: str) -> memoryview:
    """The bytes that the method `name` may write to. Raises TypeError."""
    try:
        view = memoryview(buffer)
        if view.c_contiguous and not view.readonly:
            return view.cast("B")
    except TypeError:
        pass
    raise TypeError(f"{name}() argument must be read-write bytes-like object, not {type(buffer).__name__}")
