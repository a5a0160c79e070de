"""run_coroutine_threadsafe: another thread gives the loop coroutines, a hundred at a time, and waits for their results."""

import asyncio
import threading

from harness.workload import Meter, Timed


async def nothing() -> None:
    pass


async def body(count: int, meter: Meter) -> None:
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def send() -> None:
        for _ in range(0, count, 100):
            futures = [asyncio.run_coroutine_threadsafe(nothing(), loop) for _ in range(100)]
            for future in futures:
                future.result()
        loop.call_soon_threadsafe(done.set_result, None)

    thread = threading.Thread(target=send)
    with meter:
        thread.start()
        await done
    thread.join()


WORKLOAD = Timed(
    name="run_coroutine_threadsafe",
    operation="one coroutine that another thread gives to the loop, a hundred at a time; CPU of both threads",
    body=body,
    counts=(5_000,),
)
