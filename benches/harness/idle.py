"""The parent's half of an `Idle` round: many connections open, memory at each level, then silence.

Memory is read after garbage collection and `malloc_trim`, as the growth from level to level for each
connection. The first level's is too small, since it also fills the room that the allocator had left (up to 1 MiB);
the floors look at the later ones.
"""

import itertools
import select
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from harness import process
from harness.child import Child, ChildFailedError
from harness.load import SECONDS, command, control
from harness.workload import Case, Figure

QUIET_SECONDS = 2.0
FIRST_WAVE = 64


class Held:
    """The load generator's `hold` process and how many connections it holds."""

    def __init__(self, binary: Path, port: int) -> None:
        words = command(binary, "hold", port)
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        print(line, file=self._process.stdin, flush=True)
        if not select.select([self._process.stdout], [], [], SECONDS)[0]:
            raise ChildFailedError("the load generator is silent")
        if not self._process.stdout.readline():
            raise ChildFailedError(self._process.stderr.read().strip())

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


def idle_round(child: Child, case: Case, binary: Path, ports: dict[str, Any]) -> list[Figure]:
    hard = process.raise_descriptor_limit()
    if hard < case.levels[-1] + 100:
        raise ChildFailedError(f"the hard limit of descriptors is {hard}")
    figures: list[Figure] = []
    with control(ports["control"]) as connection:
        held = Held(binary, ports["port"])
        try:
            held.say(f"open {FIRST_WAVE}")
            before = settled_memory(connection, child.pid)
            opening = []
            for low, high in itertools.pairwise((FIRST_WAVE, *case.levels)):
                cpu = process.cpu_time(child.pid)
                held.say(f"open {high}")
                cpu = process.cpu_time(child.pid) - cpu
                opening.append(Figure(f"opening {low:,} to {high:,}", "ns", cpu / (high - low)))
                memory = settled_memory(connection, child.pid)
                figures.append(Figure(f"memory {low:,} to {high:,}", "B", (memory - before) / (high - low)))
                before = memory
            figures += [*opening, *quiet(child.pid)]
        finally:
            held.end()
    return figures


def settled_memory(connection: socket.socket, pid: int) -> int:
    connection.sendall(b"settle\n")
    connection.recv(64)
    return process.private_memory(pid)


def quiet(pid: int) -> list[Figure]:
    """Wake-ups and CPU time while nothing happens, after a moment in which a server may still settle."""
    time.sleep(0.2)
    switches, cpu = process.context_switches(pid), process.cpu_time(pid)
    time.sleep(QUIET_SECONDS)
    switches, cpu = process.context_switches(pid) - switches, process.cpu_time(pid) - cpu
    return [
        Figure("wake-ups a second", "/s", switches / QUIET_SECONDS),
        Figure("CPU a second of idling", "ns", cpu / QUIET_SECONDS),
    ]
