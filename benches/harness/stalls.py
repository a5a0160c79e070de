"""How long a loop keeps a task waiting that sleeps for a millisecond."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from harness.workload import Meter

TICK = 0.001


def waited() -> float:
    """How long this thread was ready to run and had no core, in seconds: on a busy machine that is no fault of the loop's."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


@asynccontextmanager
async def longest_stall(meter: Meter) -> AsyncIterator[None]:
    """Watches what the block does to the loop, and notes the worst of it."""
    worst = worst_on_core = 0.0

    async def watch() -> None:
        nonlocal worst, worst_on_core
        while True:
            due, queued = time.perf_counter() + TICK, waited()
            await asyncio.sleep(TICK)
            late = time.perf_counter() - due
            worst = max(worst, late)
            worst_on_core = max(worst_on_core, late - (waited() - queued))

    watching = asyncio.create_task(watch())
    await asyncio.sleep(5 * TICK)
    yield
    watching.cancel()
    await asyncio.wait([watching])
    meter.figure("longest stall", "ms", worst * 1000)
    meter.figure("longest stall but for waiting for a core", "ms", worst_on_core * 1000)
