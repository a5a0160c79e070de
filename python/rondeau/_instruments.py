"""`rondeau.metrics`: what a loop counts of itself, as a dict for people and for vendors.

Called by programs, from any thread, and by `rondeau.opentelemetry`. The keys here are kept; those of the native
`_metrics()` are not.
"""

from __future__ import annotations

import asyncio

from .loop import EventLoop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def metrics(loop: asyncio.AbstractEventLoop | None = None) -> dict[str, Any]:
    """What a loop has counted so far. Counts and sums never go back: subtract two readings for the time between them.

    Args:
        loop: one of Rondeau's, running or not; the running one unless given. May be asked from any thread.

    Returns:
        | key | |
        |---|---|
        | `turns` | turns taken |
        | `kernel_asks` | times that the kernel was asked for events |
        | `kernel_waits` | of these, when nothing was ready, so that the loop waited |
        | `run_seconds` | how long the loop ran |
        | `wait_seconds` | of that, waiting in the kernel; the rest it worked |
        | `longest_stretch_seconds` | the longest time between two looks at the kernel |
        | `ready` | callbacks and steps that wait for their turn, now |
        | `timers` | timers that are set, now; cancelled ones count until they are due |
        | `connections` | open transports of sockets, now |
        | `descriptors` | other descriptors that are watched, now |
        | `waiting` | whether it waits in the kernel now |
        | `delays` | how long what was ready waited for its turn: `(upper bound in seconds, count)`, for a minute after a call |

    Raises:
        RuntimeError: no loop was given and none runs in this thread.
        TypeError: the loop is not Rondeau's.

    >>> import rondeau
    >>> async def main():
    ...     before = rondeau.metrics()["turns"]
    ...     await rondeau.sleep(0)
    ...     return rondeau.metrics()["turns"] - before
    >>> rondeau.run(main())
    1
    """
    if loop is None:
        loop = asyncio.get_running_loop()
    if not isinstance(loop, EventLoop):
        raise TypeError(f"rondeau.metrics() reads Rondeau's loops, and this is {loop!r}")
    counted = loop._metrics()
    return {
        "turns": counted["turns"],
        "kernel_asks": counted["asks"],
        "kernel_waits": counted["waits"],
        "run_seconds": counted["ran"],
        "wait_seconds": counted["waited"],
        "longest_stretch_seconds": counted["longest"],
        "ready": counted["ready"],
        "timers": counted["timers"],
        "connections": counted["connections"],
        "descriptors": counted["descriptors"],
        "waiting": counted["parked"],
        "delays": counted["delays"],
    }
