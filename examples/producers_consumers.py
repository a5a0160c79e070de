"""Producers and consumers: cooks put plates on a pass that holds two; waiters carry them off.

    python examples/producers_consumers.py [MINUTE]   # MINUTE: seconds in a minute, 0.05 unless told
    python -m rondeau run examples/producers_consumers.py

The pass is a bounded queue, which is all the back-pressure there is: a cook whose plate does not fit waits.
When the cooks have gone home and the pass is empty (`join`), the waiters are sent home too (`cancel`).
"""

import asyncio
import sys


async def cook(name: str, plates: int, rest: float, hatch: "asyncio.Queue[str]") -> None:
    for number in range(1, plates + 1):
        await asyncio.sleep(rest)
        await hatch.put(f"{name}{number}")
    print(f"cook {name} goes home")


async def waiter(carried: list[str], walk: float, hatch: "asyncio.Queue[str]") -> None:
    while True:
        plate = await hatch.get()
        await asyncio.sleep(walk)
        carried.append(plate)
        hatch.task_done()


async def main(minute: float) -> None:
    hatch: asyncio.Queue[str] = asyncio.Queue(maxsize=2)
    carried: list[str] = []
    waiters = [asyncio.create_task(waiter(carried, 2 * minute, hatch)) for _ in range(2)]

    await asyncio.gather(cook("a", 4, 1 * minute, hatch), cook("b", 3, 4.5 * minute, hatch))
    await hatch.join()

    for task in waiters:
        task.cancel()
    farewells = await asyncio.gather(*waiters, return_exceptions=True)

    print(f"{len(carried)} plates carried: {' '.join(sorted(carried))}")
    print(f"each cook's plates in order: {[p for p in carried if p[0] == 'a'] == ['a1', 'a2', 'a3', 'a4']}")
    print(f"waiters sent home: {[type(farewell).__name__ for farewell in farewells]}")


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.05))
