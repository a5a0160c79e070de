"""A user's program as mypy --strict must accept it: every public name, with the types that it is used by.

Not run as a test; `make check` reads it. `assert_type` makes a type that got lost (an Any) an error.
"""

import asyncio
from collections.abc import Callable
from typing import assert_type

import rondeau


async def cook(dish: str) -> str:
    await asyncio.sleep(0.1)
    return f"{dish}, cooked"


async def main() -> int:
    loop = asyncio.get_running_loop()
    handle = loop.call_later(1, print, "hot")
    assert_type(handle, asyncio.TimerHandle)
    handle.cancel()
    task = asyncio.create_task(cook("soup"), name="soup")
    assert_type(await task, str)
    soup, roast = await asyncio.gather(cook("soup"), cook("roast"))
    return len(soup) + len(roast)


assert_type(rondeau.run(main()), int)
assert_type(rondeau.run(cook("salad"), debug=True, loop_factory=rondeau.new_event_loop), str)

with rondeau.Runner(debug=False) as runner:
    assert_type(runner.run(main()), int)
    current: asyncio.AbstractEventLoop = runner.get_loop()

factory: Callable[[], asyncio.AbstractEventLoop] = rondeau.new_event_loop
loop: rondeau.EventLoop = rondeau.new_event_loop()
assert_type(loop.run_until_complete(cook("cake")), str)
assert_type(loop.time(), float)
assert_type(loop.is_running(), bool)
assert_type(loop.call_soon(print, 1, 2), asyncio.Handle)
assert_type(loop.create_task(cook("pie")), asyncio.Task[str])
loop.close()

with asyncio.Runner(loop_factory=rondeau.new_event_loop) as standard:
    standard.run(main())

policy: asyncio.AbstractEventLoopPolicy = rondeau.EventLoopPolicy()
assert_type(rondeau.__version__, str)
