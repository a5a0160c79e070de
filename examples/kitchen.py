"""The kitchen: four dishes, one chef, and no minute spent watching a pot.

    python examples/kitchen.py [MINUTE]      # MINUTE: seconds in a kitchen minute, 0.2 unless told
    python -m rondeau run examples/kitchen.py

Every dish is active work, a wait, and a resumption. The waits are real, one of each kind that programs have:

    soup      a network request      an HTTP server on loopback brings the stock
    roast     a database query       SQLite is the oven
    salad     file I/O               the dressing rests in a file
    dessert   a person's input       you say what goes on the cake: type it, or pipe it in

The chef is the event loop: one thread, so one pair of hands. The assistants are a thread pool; they stand
beside the things that can only be waited for by standing there (the oven, the fridge). At the
end the kitchen adds up how long the dishes waited and compares it with the clock on the wall.
"""

import asyncio
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import rondeau

SOUP, ROAST, SALAD = 5, 4, 2  # Minutes that each wait takes. How long dessert's takes is up to you.


class Kitchen:
    """The clock on the wall, and the slate where each dish's work and waits are noted."""

    def __init__(self, minute: float) -> None:
        self.minute = minute
        self.opened = time.perf_counter()
        self.slate: list[tuple[str, str, float, float]] = []  # dish, mark, from, until

    def now(self) -> float:
        return (time.perf_counter() - self.opened) / self.minute

    @contextmanager
    def noting(self, dish: str, mark: str) -> Iterator[None]:
        began = self.now()
        yield
        self.slate.append((dish, mark, began, self.now()))

    def work(self, dish: str, what: str) -> None:
        """Active work: the chef's own hands. Nothing else happens meanwhile, so it had better be short."""
        print(f"{self.now():5.1f}  chef  {dish:<8} {what}", flush=True)
        with self.noting(dish, "#"):
            done = time.perf_counter() + self.minute / 10
            while time.perf_counter() < done:
                pass

    def waiting(self, dish: str) -> AbstractContextManager[None]:
        """A wait: the dish is busy, the chef is not."""
        return self.noting(dish, ".")


# Four dishes. Read each from top to bottom: at `await` the chef walks off to whatever is ready.


async def soup(kitchen: Kitchen, supplier: tuple[str, int]) -> str:
    kitchen.work("soup", "chops the vegetables, sends for stock")
    with kitchen.waiting("soup"):
        reader, writer = await asyncio.open_connection(*supplier)
        writer.write(b"GET /stock HTTP/1.0\r\nHost: supplier\r\n\r\n")
        head, _, stock = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
    assert b" 200 " in head.splitlines()[0], head
    kitchen.work("soup", "seasons it")
    return f"soup of {stock.decode()}"


async def roast(kitchen: Kitchen) -> str:
    def roasted(meat: str, minutes: float) -> str:
        time.sleep(minutes * kitchen.minute)
        return meat

    def oven() -> str:
        with closing(sqlite3.connect(":memory:")) as db:
            db.create_function("roasted", 2, roasted)
            db.execute("CREATE TABLE larder (meat TEXT, minutes REAL)")
            db.execute("INSERT INTO larder VALUES ('lamb', ?)", [ROAST])
            (meat,) = db.execute("SELECT roasted(meat, minutes) FROM larder").fetchone()
        return str(meat)

    kitchen.work("roast", "seasons the meat, heats the oven")
    with kitchen.waiting("roast"):
        meat = await asyncio.to_thread(oven)  # SQLite only blocks, so an assistant stands by it.
    kitchen.work("roast", "carves it")
    return f"roast {meat}"


async def salad(kitchen: Kitchen) -> str:
    kitchen.work("salad", "washes the leaves, mixes the dressing")
    with kitchen.waiting("salad"), tempfile.TemporaryDirectory() as folder:
        async with rondeau.open(f"{folder}/dressing.txt", "w+") as shelf:
            await shelf.write("herb dressing")
            await shelf.fsync()
            await asyncio.sleep(SALAD * kitchen.minute)  # It rests.
            await shelf.seek(0)
            dressing = await shelf.read()
    kitchen.work("salad", "adds the croutons")
    return f"salad with {dressing}"


async def dessert(kitchen: Kitchen) -> str:
    kitchen.work("dessert", "bakes the cake, asks: what shall go on it?")
    with kitchen.waiting("dessert"):
        try:
            topping = (await rondeau.ainput()).strip() or "icing sugar"
        except EOFError:  # Nobody is there to ask.
            topping = "icing sugar"
    kitchen.work("dessert", "decorates it")
    return f"cake with {topping}"


class Supplier(BaseHTTPRequestHandler):
    """The shop next door: a real HTTP server, which takes its time."""

    minute = 0.0

    def do_GET(self) -> None:
        time.sleep(SOUP * self.minute)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"leeks and barley")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def supplier(minute: float) -> Iterator[tuple[str, int]]:
    Supplier.minute = minute
    with ThreadingHTTPServer(("127.0.0.1", 0), Supplier) as shop:
        thread = threading.Thread(target=shop.serve_forever, args=[0.01])
        thread.start()
        try:
            yield "127.0.0.1", shop.server_port
        finally:
            shop.shutdown()
            thread.join()


def bill(kitchen: Kitchen, wall: float) -> None:
    """Draw who had the chef's hands (#) and who only waited (.), then add it up."""
    print()
    for dish in ["soup", "roast", "salad", "dessert"]:
        row = [" "] * 61
        for _, mark, began, until in (note for note in kitchen.slate if note[0] == dish):
            left, right = int(began / wall * 60), int(until / wall * 60)
            row[left : right + 1] = mark * (right + 1 - left)
        print(f"{dish:>8} |{''.join(row).rstrip()}")
    waits = {dish: until - began for dish, mark, began, until in kitchen.slate if mark == "."}
    print(f"\nThe dishes waited {sum(waits.values()):.1f} minutes in all, the longest {max(waits.values()):.1f}.")
    print(f"The clock on the wall says {wall:.1f}: the waits went on at the same time.")


async def main(minute: float) -> None:
    with supplier(minute) as shop:
        kitchen = Kitchen(minute)
        dinner = await asyncio.gather(soup(kitchen, shop), roast(kitchen), salad(kitchen), dessert(kitchen))
        wall = kitchen.now()
    print(f"\nDinner: {', '.join(dinner)}.")
    bill(kitchen, wall)


if __name__ == "__main__":
    rondeau.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.2))
