"""What Linux tells about a process: CPU time, private memory, context switches, descriptors.

The parent reads these of a child from outside, so that reading wakes nobody in the child.
"""

import ctypes
import gc
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CORES = os.cpu_count() or 1
SERVER_CORE = 0
LOAD_CORE = 1
ALLOWED = os.sched_getaffinity(0)
"""The cores that the process was started with."""


def settle() -> None:
    """Collects garbage and gives freed memory back to the kernel, so that what remains is in use."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; musl has none
    if trim is not None:
        trim(0)


def private_memory(process: int | str = "self") -> int:
    """Bytes that the process alone has in memory: its heap, stacks and mappings, no kernel memory."""
    text = Path(f"/proc/{process}/smaps_rollup").read_text()
    fields = (line.split() for line in text.splitlines()[1:])
    return sum(int(field[1]) * 1024 for field in fields if field[0].startswith("Private_"))


def cpu_time(process: int) -> int:
    """Nanoseconds of CPU that the process has used: its clock as clock_getcpuclockid(3) names it.

    Of another process it is exact only while that process sleeps, so this waits until it does.
    """
    deadline = time.monotonic() + 5
    while Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "S":
        if time.monotonic() > deadline:
            raise TimeoutError("the process does not come to rest")
        time.sleep(0.0001)
    return time.clock_gettime_ns((~process << 3) | 2)


def context_switches(process: int) -> int:
    """Times that a thread of the process gave up its core to wait: each wake-up ends in one."""
    return sum(
        int(line.split()[1])
        for status in Path(f"/proc/{process}/task").glob("*/status")
        for line in status.read_text().splitlines()
        if line.startswith("voluntary_ctxt_switches")
    )


def raise_descriptor_limit() -> int:
    """The soft limit rises to the hard one, which is returned."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def pin(core: int) -> None:
    """Keeps this process and its threads on one core; does nothing where there is only one."""
    if CORES > LOAD_CORE:
        os.sched_setaffinity(0, {core})


@contextmanager
def on_all_cores() -> Iterator[None]:
    """For a row that asks how long something waits: as a program runs that nobody pinned."""
    pinned = os.sched_getaffinity(0)
    os.sched_setaffinity(0, ALLOWED)
    try:
        yield
    finally:
        os.sched_setaffinity(0, pinned)
