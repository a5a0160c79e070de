"""How times, places and names are said, the same in the summary, the page's head and the command line.

Names come from the program that was recorded, and may hold anything: `plain` lets nothing through that moves a cursor, changes
a colour or breaks a line.
"""

import os
import re

from .model import TaskInfo

_GIVEN = re.compile(r"Task-\d+")  # the name of a task that nobody named
_PACKAGE = re.compile(r".*/(?:site-packages|dist-packages|lib/python3\.\d+t?)/")  # what stands before an installed module


def duration(ns: int) -> str:
    """Three figures and a unit.

    >>> [duration(ns) for ns in (0, 850, 12_345, 20_149_000, 999_999_999, 5_500_000_000, 65_000_000_000, 3_725_000_000_000)]
    ['0 s', '850 ns', '12.3 µs', '20.1 ms', '1.00 s', '5.50 s', '1 min 05 s', '1 h 02 min']
    """
    if ns == 0:
        return "0 s"
    for unit, size in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)):
        value = ns / size
        if value < (59.95 if unit == "s" else 999.5):
            digits = 0 if size == 1 or value >= 99.95 else 1 if value >= 9.995 else 2
            return f"{value:.{digits}f} {unit}"
    seconds = round(ns / 1e9)
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min"


def many(number: int, noun: str, plural: str = "") -> str:
    """
    >>> many(1, "wait"), many(1200, "wait"), many(2, "process", "processes")
    ('1 wait', '1,200 waits', '2 processes')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def plain(text: str, most: int = 60) -> str:
    r"""`text` on one line, without anything that a terminal obeys, at most `most` characters.

    >>> plain("soup"), plain("a\x1b[31mb\n"), plain("long" * 20, 12)
    ('soup', 'a\\x1b[31mb\\n', 'longlonglon…')
    """
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    return text if len(text) <= most else text[: most - 1] + "…"


def called(info: TaskInfo) -> str:
    """A name a person recognises.

    >>> called(TaskInfo(7, "Task-7", coroutine="Shop.fetch")), called(TaskInfo(8, "mailer", coroutine="worker"))
    ('Shop.fetch (Task-7)', 'mailer')
    """
    if info.coroutine and (not info.name or _GIVEN.fullmatch(info.name)):
        return f"{info.coroutine} ({info.name})" if info.name else info.coroutine
    return info.name or f"#{info.id}"


def place(file: str, line: int, program: str = "") -> str:
    """A file and a line, as short as it stays clear: from the program's folder on, or from the package.

    >>> place("/srv/app/jobs/mail.py", 12, "/srv/app/main.py"), place("/usr/lib/python3/site-packages/requests/api.py", 7)
    ('jobs/mail.py:12', 'requests/api.py:7')
    >>> place("/usr/lib/python3.13/asyncio/runners.py", 80)
    'asyncio/runners.py:80'
    """
    if not file:
        return ""
    folder = os.path.dirname(program)
    if package := _PACKAGE.match(file):
        file = file[package.end() :]
    elif folder and file.startswith(folder + "/"):
        file = file[len(folder) + 1 :]
    return plain(f"{file}:{line}" if line else file, 100)
