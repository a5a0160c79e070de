"""Colour for a terminal that wants it, and lines that fit its width. Used by everything that the command line prints.

The rules are CPython's own (its tracebacks and its argparse obey them): PYTHON_COLORS first, then NO_COLOR, then FORCE_COLOR,
then a dumb terminal, and else whether it is one. What is printed is made harmless before it is coloured, never after.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import unicodedata

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

BOLD, DIM, RED, GREEN, YELLOW, BLUE = "1", "2", "31", "32", "33", "34"


def wanted(stream: TextIO | None) -> bool:
    """Whether what is written to this stream should be coloured."""
    if not sys.flags.ignore_environment:
        if (asked := os.environ.get("PYTHON_COLORS")) in ("0", "1"):
            return asked == "1"
        if os.environ.get("NO_COLOR"):
            return False
        if os.environ.get("FORCE_COLOR"):
            return True
        if os.environ.get("TERM") == "dumb":
            return False
    return is_terminal(stream)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person looks at this stream."""
    try:
        return stream is not None and os.isatty(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return False


def width(stream: TextIO | None) -> int | None:
    """How many columns a line may have: the terminal's, or COLUMNS; None where a program reads, which wants whole lines."""
    return max(shutil.get_terminal_size().columns, 20) if is_terminal(stream) else None


def painted(text: str, *how: str) -> str:
    """A text in a colour, whoever reads it.

    >>> painted("soup", BOLD, RED)
    '\\x1b[1;31msoup\\x1b[0m'
    """
    return f"\x1b[{';'.join(how)}m{text}\x1b[0m"


def columns(text: str) -> int:
    """How wide a terminal shows a printable text.

    >>> columns("soup"), columns("スープ"), columns("e\\u0301")
    (4, 6, 1)
    """
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "FW") for c in text)


def cut(text: str, most: int | None) -> str:
    """A line that is no wider than `most` columns; what is left out is told by an ellipsis.

    >>> cut("soup and roast", 8), cut("soup", 8), cut("soup", None)
    ('soup an…', 'soup', 'soup')
    """
    if most is None or columns(text) <= most:
        return text
    return f"{text[: _fitting(text, most - 1)]}…"


def folded(text: str, most: int | None, indent: str) -> Iterator[str]:
    """The same text in lines of at most `most` columns, broken between words where there are any.

    Args:
        indent: what the second line and the ones after it begin with.

    >>> list(folded("waiter  waiting on the cook", 14, "  "))
    ['waiter', '  waiting on', '  the cook']
    """
    while most is not None and columns(text) > most:
        end = _fitting(text, most)
        start = len(text) - len(text.lstrip())
        blank = text.rfind(" ", start, end + 1)
        # A name that is longer than a line is broken where the line ends.
        at = blank if blank > start else end
        yield text[:at].rstrip()
        text = indent + text[at:].lstrip()
    yield text


def _fitting(text: str, most: int) -> int:
    """How many characters of it are at most that wide; at least one."""
    wide = 0
    for index, letter in enumerate(text):
        wide += columns(letter)
        if wide > most:
            return max(index, 1)
    return len(text)


# What a report's lines begin with, and how these words look.
_LINES = (
    (re.compile(r"^(deadlock|stuck|rondeau):"), (BOLD, RED)),
    (re.compile(r"^(usage|positional arguments|options|commands|examples):"), (BOLD, BLUE)),
    (re.compile(r"^(process \d+|loop \d+)\b"), (BOLD,)),
    (re.compile(r"^ *PID .*"), (BOLD,)),
    (re.compile(r"^    \S.*"), (DIM,)),
)
_STATES = {"running": GREEN, "ready": YELLOW, "new": YELLOW}
_STATE = re.compile(r"(?<=  )(running|ready|new)(?= |$)")


def line(text: str) -> str:
    """A line of `ps`, `pstree` or `top` in colours."""
    for pattern, how in _LINES:
        if found := pattern.match(text):
            return painted(found[0], *how) + text[found.end() :]
    return _STATE.sub(lambda found: painted(found[0], _STATES[found[0]]), text)
