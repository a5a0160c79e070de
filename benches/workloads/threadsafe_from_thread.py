"""call_soon_threadsafe from another thread; each callback lets the thread send the next."""

import asyncio
import threading

from harness.workload import Meter, Timed


async def body(count: int, meter: Meter) -> None:
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    turn = threading.Semaphore(0)

    def send() -> None:
        for _ in range(count):
            loop.call_soon_threadsafe(turn.release)
            turn.acquire()
        loop.call_soon_threadsafe(done.set_result, None)

    thread = threading.Thread(target=send)
    with meter:
        thread.start()
        await done
    thread.join()


WORKLOAD = Timed(
    name="call_soon_threadsafe, other thread",
    operation="one call_soon_threadsafe, its callback and the way back; CPU of both threads",
    body=body,
    counts=(10_000,),
)
