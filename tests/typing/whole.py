"""A program whose only change is its import, as mypy --strict must accept it: every name keeps asyncio's type.

Not run as a test; `make check` reads it.
"""

from typing import Literal, assert_type

import rondeau as asyncio
from rondeau import Queue


async def cook(dish: str, order: asyncio.Queue[str], stove: asyncio.Lock) -> str:
    async with stove, asyncio.timeout(3):
        await asyncio.sleep(0)
    await order.put(dish)
    assert_type(await order.get(), str)
    return dish


async def main() -> int:
    order: Queue[str] = asyncio.Queue(3)
    stove, bell = asyncio.Lock(), asyncio.Event()
    assert_type(await asyncio.gather(cook("soup", order, stove), stove.acquire()), tuple[str, Literal[True]])
    assert_type(bell.is_set(), bool)
    async with asyncio.TaskGroup() as group:
        assert_type(group.create_task(cook("roast", order, stove)), asyncio.Task[str])
    try:
        assert_type(await asyncio.wait_for(order.get(), 1), str)
    except asyncio.TimeoutError:
        pass
    process = await asyncio.create_subprocess_exec("true", stdin=asyncio.subprocess.PIPE)
    return await process.wait()


assert_type(asyncio.run(main()), int)
assert_type(asyncio.new_event_loop(), asyncio.EventLoop)
asyncio.install()
asyncio.uninstall()
