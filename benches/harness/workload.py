"""What a workload is. Each file under `workloads/` defines one, as `WORKLOAD`.

A `Timed` workload runs whole in the arm's child process and measures itself with the `Meter` it is given. An
`Echo` or `Idle` workload is the server side only; the load generator drives it from another core.
The bodies use plain asyncio calls, and the same source serves every arm.
"""

import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Mode = Literal["quick", "default", "full"]


@dataclass(frozen=True)
class Case:
    """One row's worth of a workload: its label in the table and its parameters."""

    label: str = ""
    count: int = 0
    """Operations (or messages) a round."""
    size: int = 0
    """Bytes a message."""
    connections: int = 0
    levels: tuple[int, ...] = ()
    """Connections open at once, at each step."""


@dataclass(frozen=True)
class Figure:
    """One measured number; `name` is empty for a workload's main figure."""

    name: str
    unit: str
    value: float


class Meter:
    """Sums the CPU and wall time of the stretches inside `with meter:`; collects further figures."""

    def __init__(self) -> None:
        self.cpu = 0
        self.wall = 0
        self.figures: list[Figure] = []

    def __enter__(self) -> None:
        self._wall = time.perf_counter_ns()
        self._cpu = time.process_time_ns()

    def __exit__(self, *exception: object) -> None:
        self.cpu += time.process_time_ns() - self._cpu
        self.wall += time.perf_counter_ns() - self._wall

    def figure(self, name: str, unit: str, value: float) -> None:
        self.figures.append(Figure(name, unit, value))


@dataclass(frozen=True, kw_only=True)
class Workload:
    name: str
    operation: str
    """What one operation is, for the README and the JSON."""
    fresh: bool = False
    """A new child process each round: for memory, which a used process gives back only in part."""
    most_rounds: int | None = None
    """For rounds that take seconds."""

    def cases(self, mode: Mode) -> list[Case]:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Timed(Workload):
    body: Callable[[int, Meter], Awaitable[None]]
    """Does that many operations, the measured part inside `with meter:`."""
    counts: tuple[int, ...]
    """Operations a round; several make several rows."""
    clock: Literal["cpu", "wall"] = "cpu"
    needs: tuple[int, int] = (3, 11)

    def cases(self, mode: Mode) -> list[Case]:
        shrink = 100 if mode == "quick" else 1
        counts = [max(100, count // shrink) for count in self.counts]
        return [Case(f"{count:,}" if len(counts) > 1 else "", count) for count in counts]


Serve = Callable[[socket.socket, Case], AbstractAsyncContextManager[None]]

SIZES = {64: "64 B", 1024: "1 KiB", 10_240: "10 KiB", 65_536: "64 KiB", 102_400: "100 KiB"}
CONNECTIONS = (1, 64, 512)
# Self-signed, with its key: what TLS servers here show.
CERTIFICATE = Path(__file__).resolve().parent.parent.parent / "tests" / "localhost.pem"
# Messages a round: 0.1 to 0.3 s.
MESSAGES = {64: 12_000, 1024: 12_000, 10_240: 8_000, 65_536: 3_000, 102_400: 2_500}


@dataclass(frozen=True, kw_only=True)
class Echo(Workload):
    """A TCP server that echoes each message; its figure is the server's CPU time a message."""

    serve: Serve
    header: int = 0
    """Bytes, each `H`, that the server sends before each echo."""
    tls: bool = False
    """The load generator speaks TLS, and trusts `CERTIFICATE`."""
    sizes: tuple[int, ...] = (64, 1024, 10_240, 102_400)

    def cases(self, mode: Mode) -> list[Case]:
        if mode == "quick":
            return [self._case(self.sizes[0], 1, 200), self._case(self.sizes[-1], 8, 100)]
        return [
            self._case(size, connections, MESSAGES[size] // (2 if connections == 1 else 1))
            for size in self.sizes
            for connections in CONNECTIONS
            if mode == "full" or connections == 64 or size == 1024
        ]

    def _case(self, size: int, connections: int, messages: int) -> Case:
        label = f"{connections} x {SIZES[size]}"
        return Case(label, count=messages, size=size, connections=connections)


@dataclass(frozen=True, kw_only=True)
class Http(Echo):
    """An HTTP/1.1 server that answers each GET with its path; its figure is the server's CPU time a request."""

    requests: int
    """Requests a round."""

    def cases(self, mode: Mode) -> list[Case]:
        if mode == "quick":
            return [Case("8", count=100, connections=8)]
        return [
            Case(str(connections), count=self.requests // (2 if connections == 1 else 1), connections=connections)
            for connections in CONNECTIONS
            if mode == "full" or connections == 64
        ]


@dataclass(frozen=True, kw_only=True)
class Idle(Workload):
    """A TCP server with many connections that say nothing."""

    serve: Serve
    levels: tuple[int, ...]
    quick_levels: tuple[int, ...] = field(default=(100, 200, 400))

    def cases(self, mode: Mode) -> list[Case]:
        return [Case(levels=self.quick_levels if mode == "quick" else self.levels, size=64)]
