"""`make soak`: hundreds of loop lifetimes, a million connections and a million tasks; memory and descriptors must not grow.

Each lifetime is a new loop that runs a random choice of the scenarios (some of them cancelled at a random await) among batches
of tasks and of connections made and closed; it ends by `close()`, in one of five with connections still open. After each,
garbage is collected and the resident set and the number of descriptors are noted.

How it is judged: a straight line is laid through the second half of the resident sets (least squares). Over that half it may
rise by at most GROWTH: four bytes for each connection of that half. One object leaked for each would be ten times that.
Descriptors must be as many after each lifetime as after the first.

    python faults/soak.py [--lifetimes N] [--connections N] [--tasks N] [--seed N]
"""

import argparse
import asyncio
import gc
import os
import random
import resource
import sys
import time
import warnings

import rondeau
from scenarios import SCENARIOS
from steps import MODES, Stepper
from wire import Wire

GROWTH = 2 << 20
"""Bytes by which the line may rise over the second half."""
PATIENCE = 300.0
# What moves megabytes stays out.
MIXED = [name for name in SCENARIOS if name not in ("aborted", "protocols")]


class Pong(asyncio.Protocol):
    """Answers, and expects that what it is told is what was sent."""

    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data) -> None:
        self.transport.write(data)


class Ping(asyncio.Protocol):
    def __init__(self, number: int, ended: asyncio.Future[None]) -> None:
        self.sent = number.to_bytes(8, "big") * 4
        self.ended = ended

    def connection_made(self, transport) -> None:
        self.transport = transport
        transport.write(self.sent)

    def data_received(self, data) -> None:
        assert data == self.sent, (data, self.sent)
        self.transport.close()

    def connection_lost(self, error) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


async def connections(count: int, at_once: int = 50) -> None:
    """Makes and closes `count` connections, a byte pattern of its own on each."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Pong, "127.0.0.1", 0, backlog=256)
    address = server.sockets[0].getsockname()
    numbers = iter(range(count))

    async def some() -> None:
        for number in numbers:
            ended = loop.create_future()
            await loop.create_connection(lambda number=number, ended=ended: Ping(number, ended), *address)
            await ended

    await asyncio.gather(*(some() for _ in range(at_once)))
    server.close()
    await server.wait_closed()


async def tasks(count: int) -> None:
    async def one(number: int) -> int:
        await asyncio.sleep(0)
        return number

    for begin in range(0, count, 1000):
        numbers = range(begin, min(count, begin + 1000))
        assert await asyncio.gather(*map(one, numbers)) == list(numbers)


async def left_open() -> list[asyncio.BaseTransport]:
    """Two ends of a connection that nobody closes."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Pong, "127.0.0.1", 0)
    transport, _ = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
    server.close()
    return [transport]


async def within(coro, what: str) -> None:
    """Runs `coro`; after PATIENCE seconds it says where it hangs, which ends the soak."""
    task = asyncio.ensure_future(coro)
    await asyncio.wait([task], timeout=PATIENCE)
    if not task.done():
        for other in asyncio.all_tasks():
            other.print_stack()
        raise AssertionError(f"hangs: {what}")
    task.result()


def lifetime(chance: random.Random, connection_count: int, task_count: int) -> None:
    loop = rondeau.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    wire = Wire()
    for name in chance.sample(MIXED, 3):
        step = Stepper(chance.randrange(30), chance.choice(MODES)) if chance.random() < 0.5 else None
        wire = Wire(step)
        try:
            loop.run_until_complete(within(wire.steps(SCENARIOS[name](wire)), f"{name}, await {step and (step.at, step.mode)}"))
        except (asyncio.CancelledError, OSError, EOFError):
            pass
        for task in (left := asyncio.all_tasks(loop)):
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
        assert not wire.wrong, wire.wrong
    loop.run_until_complete(within(connections(connection_count), "connections"))
    loop.run_until_complete(within(tasks(task_count), "tasks"))
    if chance.random() < 0.2:
        loop.run_until_complete(left_open())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def mebi(size: float) -> str:
    return f"{size / 2**20:.2f} MiB"


def rise(values: list[int]) -> float:
    """By how much a straight line through `values` rises from the first to the last."""
    count = len(values)
    middle, mean = (count - 1) / 2, sum(values) / count
    slope = sum((x - middle) * (y - mean) for x, y in enumerate(values)) / sum((x - middle) ** 2 for x in range(count))
    return slope * (count - 1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lifetimes", type=int, default=500)
    parser.add_argument("--connections", type=int, default=1_000_000)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.lifetimes} lifetimes", flush=True)
    warnings.simplefilter("ignore", ResourceWarning)  # A loop that is closed with a connection open says so.
    sys.unraisablehook = lambda args: None
    chance = random.Random(options.seed)
    sizes: list[int] = []
    counts: list[int] = []
    begun = time.monotonic()
    for number in range(options.lifetimes):
        lifetime(chance, options.connections // options.lifetimes, options.tasks // options.lifetimes)
        for _ in range(3):
            gc.collect()
        sizes.append(resident())
        counts.append(len(os.listdir("/proc/self/fd")))
        if number % max(1, options.lifetimes // 10) == 0:
            print(
                f"{number:5} {sizes[-1] / 2**20:8.2f} MiB {counts[-1]:4} descriptors {time.monotonic() - begun:7.0f} s",
                flush=True,
            )
    half = sizes[len(sizes) // 2 :]
    grown = rise(half)
    print(f"{mebi(sizes[0])} after the first, {mebi(half[0])} half way, {mebi(sizes[-1])} after {len(sizes)}")
    print(f"the second half's line rises by {mebi(grown)} (at most {mebi(GROWTH)}); descriptors {min(counts)} to {max(counts)}")
    return 1 if grown > GROWTH or max(counts) != counts[0] else 0


if __name__ == "__main__":
    sys.exit(main())
