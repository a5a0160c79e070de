"""The waiter: one of them, six tables, and never a minute at a table that is still reading the menu.

    python examples/waiter.py [MINUTE]       # MINUTE: seconds in a minute of the evening, 0.05 unless told
    python -m rondeau run examples/waiter.py

A table that knows what it wants is a plain function call: it answers while the waiter stands there. A table
that asks for time gets an order sheet, which is a future: an answer that is not there yet. The guests
write on the sheet when they are ready, the bell at the pass rings (a callback), and the waiter, who has
been serving others, comes by.
"""

import asyncio
import sys
from collections.abc import Callable

Sheet = asyncio.Future[str]

READY = {"Ada": "soup", "Grace": "salad"}  # Tables that order at once.
UNDECIDED = {"Alan": (3, "roast"), "Edsger": (1, "soup"), "Barbara": (2, "cake"), "Niklaus": (4, None)}


def hand_out_sheet(guest: str, minutes: float, dish: str | None, minute: float) -> Sheet:
    """A guest asks for time: here is a sheet. The loop calls the guest back when they have decided."""
    loop = asyncio.get_running_loop()
    sheet: Sheet = loop.create_future()

    def write() -> None:
        if dish is None:
            sheet.set_exception(LookupError(f"{guest} finds nothing on the menu"))
        else:
            sheet.set_result(dish)

    loop.call_later(minutes * minute, write)
    return sheet


def bell(guest: str) -> Callable[[Sheet], None]:
    return lambda sheet: print(f"  (ting: {guest}'s sheet is filled in)")


async def cook(guest: str, dish: str, minutes: float) -> str:
    await asyncio.sleep(minutes)
    return f"{dish} for {guest}"


async def take_orders(minute: float) -> list[tuple[str, str]]:
    """Go round once, then come back to whoever is ready first: that is wait(FIRST_COMPLETED)."""
    orders = []
    sheets: dict[Sheet, str] = {}
    for guest, (minutes, dish) in UNDECIDED.items():
        sheet = hand_out_sheet(guest, minutes, dish, minute)
        sheet.add_done_callback(bell(guest))
        sheets[sheet] = guest
        print(f"{guest} asks for time, and gets a sheet")
    for guest, order in READY.items():
        orders.append((guest, order))
        print(f"{guest} orders at once: {order}")

    while sheets:
        filled_in, _ = await asyncio.wait(sheets, return_when=asyncio.FIRST_COMPLETED)
        for sheet in filled_in:
            guest = sheets.pop(sheet)
            try:
                orders.append((guest, sheet.result()))
            except LookupError as sorry:
                print(f"{sorry}, and leaves")
            else:
                print(f"{guest} orders: {orders[-1][1]}")
    return orders


async def main(minute: float) -> None:
    orders = await take_orders(minute)

    # The kitchen cooks everything at once; as_completed hands each plate over when it is hot.
    minutes = {"soup": 1, "salad": 4, "roast": 9, "cake": 16}
    eager = {guest: 0.5 * place for place, (guest, _) in enumerate(orders)}
    plates = [cook(guest, dish, (minutes[dish] + eager[guest]) * minute) for guest, dish in orders]
    for plate in asyncio.as_completed(plates):
        print(f"served: {await plate}")


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.05))
