"""A work queue: two workers share four jobs and finish in 17 units, not in 32.

    python examples/work_queue.py            # a unit is a tenth of a second
    python examples/work_queue.py 1          # the full-size kitchen: 17 seconds
    python -m rondeau run examples/work_queue.py

One takes the long job (15 units). While it sleeps, Two does the next pair (10 + 5), and whoever is free first
takes what is left (2). Nobody told them how to share.
"""

import asyncio
import sys

from codetiming import Timer


async def worker(name: str, work: "asyncio.Queue[float]", unit: float) -> None:
    """Take one delay after another from the queue until it is empty."""
    timer = Timer(text=lambda seconds: f"Task {name} elapsed time: {seconds / unit:.1f}")
    while not work.empty():
        delay = await work.get()
        print(f"Task {name} running {delay}")
        timer.start()
        await asyncio.sleep(delay * unit)  # The worker waits; the thread does not.
        timer.stop()


async def main(unit: float) -> None:
    work: asyncio.Queue[float] = asyncio.Queue()
    for delay in [15, 10, 5, 2]:
        await work.put(delay)

    with Timer(text=lambda seconds: f"\nTotal elapsed time: {seconds / unit:.1f}"):
        await asyncio.gather(
            asyncio.create_task(worker("One", work, unit)),
            asyncio.create_task(worker("Two", work, unit)),
        )


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.1))
