"""Chained coroutines: each step of an order awaits the one before; the orders run side by side.

    python examples/chained.py [MINUTE]      # MINUTE: seconds in a minute, 0.05 unless told
    python -m rondeau run examples/chained.py

A coroutine that awaits another is an ordinary call that may pause: results and exceptions go up the chain
as they do between functions. `gather` starts three chains at once, and returns in the order they were given.
"""

import asyncio
import sys


async def shop(dish: str, minute: float) -> str:
    """First link. There is no fish on Mondays, and whoever awaits us hears of it."""
    await asyncio.sleep(len(dish) * minute)
    if dish == "fish":
        raise LookupError("no fish on Mondays")
    return f"what {dish} needs"


async def prepare(dish: str, minute: float) -> str:
    groceries = await shop(dish, minute)
    print(f"{dish}: bought {groceries}")
    await asyncio.sleep(2 * minute)
    return f"{dish}, cooked"


async def serve(dish: str, minute: float) -> str:
    try:
        plate = await prepare(dish, minute)
    except LookupError as reason:
        print(f"{dish}: {reason}")
        return "an apology"
    print(f"{dish}: served")
    return plate


async def main(minute: float) -> None:
    for plate in await asyncio.gather(*(serve(dish, minute) for dish in ["ratatouille", "fish", "omelet"])):
        print(f"on the table: {plate}")


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.05))
