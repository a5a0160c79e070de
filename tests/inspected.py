"""Programs that are looked into: started as children, told apart by what they print, and ended with the test.

A program's source is the body of a function `main(aio)` whose names are asyncio's or Rondeau's. It calls `ready()` when it is
where the test wants it, and is killed at the test's end.
"""

import contextlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator

from rondeau.inspection import asking, stuck
from rondeau.inspection.snapshot import Snapshot, Task

FRAME = """\
import asyncio, os, sys, threading, time
import rondeau

def ready():
    # Once whoever says so waits.
    asyncio.get_running_loop().call_soon(lambda: print("ready", flush=True))

async def main(aio):
{body}

aio = {{"asyncio": asyncio, "rondeau": rondeau}}[{names!r}]
loop = rondeau.new_event_loop()
loop.run_until_complete(main(aio))
"""


@contextlib.contextmanager
def program(body: str, names: str = "rondeau", wait: bool = True, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A program that has said that it is ready, unless the test listens itself (`wait`)."""
    source = FRAME.format(body=textwrap.indent(textwrap.dedent(body), "    "), names=names)
    with script(source, **environment) as child:
        if wait:
            said(child, "ready")
        yield child


@contextlib.contextmanager
def script(source: str, *options: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A child that runs this source, with its standard input and output at hand."""
    child = subprocess.Popen(
        [sys.executable, *options, "-c", source],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def said(child: subprocess.Popen[str], word: str) -> str:
    """What the child says behind this word, once it does."""
    assert child.stdout is not None
    for line in child.stdout:
        if line.startswith(word):
            return line.removeprefix(word).strip()
    raise AssertionError(f"the program ended without saying {word!r}: status {child.wait()}")


def look(child: subprocess.Popen[str], patience: float = 60.0) -> Snapshot:
    """All of a program's tasks."""
    with asking.connect(child.pid, patience) as there:
        return Snapshot(there.ask("tasks", patience))


def judge(child: subprocess.Popen[str]) -> stuck.Stuck:
    """Which tasks of a program are stuck."""
    with asking.connect(child.pid, 60.0) as there:
        return stuck.find(there, Snapshot(there.ask("tasks", 60.0)))


def by_name(snapshot: Snapshot) -> dict[str, Task]:
    return {task.name: task for task in snapshot.tasks}


def threads() -> set[int]:
    """This process's threads by number, without those that the kernel has for an io_uring, which end when they are idle.

    Ask what is new and what is gone: one that was joined a moment ago, as pytest's own is after each test, may still be there.
    """
    found = set()
    for number in os.listdir("/proc/self/task"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/self/task/{number}/comm") as file:
            if not file.read().startswith("iou-"):
                found.add(int(number))
    return found
