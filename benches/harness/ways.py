"""Several ways of doing the same with files, taken in turn within one round of one arm.

The way of the arm is the workload's own figure: `rondeau.open` on Rondeau's loop, aiofiles on every other. Beside it stand
the CPU times of the others on the same loop, and on Rondeau's what its way costs in units of each.
"""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Mapping

import rondeau

from harness.workload import Meter

Way = Callable[[], Awaitable[object] | object]


def on_rondeau() -> bool:
    return isinstance(asyncio.get_running_loop(), rondeau.EventLoop)


async def compare(meter: Meter, count: int, ways: Mapping[str, Way], before: Callable[[], object] = lambda: None) -> None:
    """Runs each way once, `count` operations, and `before` before each; "rondeau" on its own loop only."""
    own = "rondeau" if on_rondeau() else "aiofiles"
    spent = {}
    for name, way in ways.items():
        if name == "rondeau" and own != name:
            continue
        before()
        begun = time.process_time_ns()
        if name == own:
            with meter:
                await _done(way)
        else:
            await _done(way)
        spent[name] = time.process_time_ns() - begun
    for name, cost in spent.items():
        if name != own:
            meter.figure(name, "ns", cost / count)
            if own == "rondeau":
                meter.figure(f"of {name}", "x", spent[own] / cost)


async def _done(way: Way) -> None:
    came = way()
    if inspect.isawaitable(came):
        await came
