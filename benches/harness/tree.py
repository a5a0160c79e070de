"""pyperformance's async_tree, the same shape written anew: a tree of tasks whose leaves do some work. Whole programs, CPU time.

Six branches a node; the leaves do nothing, wait, look into a cache that holds nine of ten answers, or half compute and half
wait. A node runs its branches by gather, by gather with eager tasks, or in a TaskGroup.
"""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from typing import Literal

from .workload import Meter, Timed

Kind = Literal["none", "io", "memoization", "cpu_io_mixed"]
Mode = Literal["plain", "eager", "TaskGroup"]
Leaf = Callable[[], Awaitable[object]]

BRANCHES = 6
LEVELS = 5
LEAVES = BRANCHES**LEVELS
PAUSE = 0.002
"""Seconds a leaf waits; pyperformance's 50 ms would be idle time here."""


async def nothing() -> None:
    pass


async def wait() -> None:
    await asyncio.sleep(PAUSE)


def cached() -> Leaf:
    cache: dict[int, int] = {}
    draw = random.Random(0)

    async def look_up() -> int:
        key = 1 if draw.randint(1, 100) <= 90 else draw.randint(2, 10**9)
        if key not in cache:
            await asyncio.sleep(PAUSE)
            cache[key] = key
        return cache[key]

    return look_up


def mixed() -> Leaf:
    draw = random.Random(0)

    async def compute_or_wait() -> None:
        if draw.random() < 0.5:
            math.factorial(500)
        else:
            await asyncio.sleep(PAUSE)

    return compute_or_wait


LEAF: dict[Kind, Callable[[], Leaf]] = {
    "none": lambda: nothing,
    "io": lambda: wait,
    "memoization": cached,
    "cpu_io_mixed": mixed,
}


async def by_gather(level: int, leaf: Leaf) -> None:
    if level == 0:
        await leaf()
    else:
        await asyncio.gather(*[by_gather(level - 1, leaf) for _ in range(BRANCHES)])


async def in_groups(level: int, leaf: Leaf) -> None:
    if level == 0:
        await leaf()
    else:
        async with asyncio.TaskGroup() as group:
            for _ in range(BRANCHES):
                group.create_task(in_groups(level - 1, leaf))


def tree(kind: Kind, mode: Mode) -> Timed:
    """The workload of one kind of leaf and one way to run branches."""

    async def body(count: int, meter: Meter) -> None:
        grow = in_groups if mode == "TaskGroup" else by_gather
        if mode == "eager":
            # A Python without eager tasks fails here, and the table says so.
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        with meter:
            for _ in range(0, count, LEAVES):
                await grow(LEVELS, LEAF[kind]())

    return Timed(
        name=f"async_tree {kind}, {mode}",
        operation=f"one leaf of a tree of {BRANCHES}^{LEVELS} tasks, with its share of the nodes",
        body=body,
        counts=(LEAVES * (4 if kind == "none" else 2),),
    )
