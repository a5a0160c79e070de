"""Async iteration: iterators, generators and comprehensions, with a pause between one item and the next.

    python examples/async_iteration.py [MINUTE]   # MINUTE: seconds in a minute, 0.01 unless told
    python -m rondeau run examples/async_iteration.py

`async for` awaits each item, so two loops over two slow sources take turns on one thread.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing


class Tickets:
    """An async iterator by hand: `__anext__` is a coroutine that ends with StopAsyncIteration."""

    def __init__(self, count: int, minute: float) -> None:
        self.left, self.minute = count, minute

    def __aiter__(self) -> "Tickets":
        return self

    async def __anext__(self) -> int:
        if not self.left:
            raise StopAsyncIteration
        await asyncio.sleep(self.minute)
        self.left -= 1
        return self.left


async def courses(minute: float) -> AsyncGenerator[str, None]:
    """The same as a generator. Its `finally` runs when the guest leaves early, if someone closes it."""
    try:
        for course in ["starter", "soup", "main", "dessert"]:
            await asyncio.sleep(minute)
            yield course
    finally:
        await asyncio.sleep(minute)
        print("the table is cleared")


async def main(minute: float) -> None:
    print("tickets:", [ticket async for ticket in Tickets(4, minute)])
    print("even ones:", {ticket: ticket**2 async for ticket in Tickets(6, minute) if ticket % 2 == 0})
    print("lengths:", sorted({len(course) async for course in courses(minute)}))
    print("sum of awaited parts:", sum([await asyncio.sleep(minute, result=n) for n in range(5)]))

    async with aclosing(courses(minute)) as menu:
        async for course in menu:
            print(f"eaten: {course}")
            if course == "soup":
                print("the guest has had enough")
                break

    taken: list[str] = []

    async def follow(name: str, items: int, pace: float) -> None:
        async for ticket in Tickets(items, pace):
            taken.append(f"{name}{ticket}")

    await asyncio.gather(follow("slow", 2, 5 * minute), follow("quick", 3, 2 * minute))
    print("interleaved:", " ".join(taken))


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.01))
