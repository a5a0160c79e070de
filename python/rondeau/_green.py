"""Loops in a process whose threads are greenlets: where gevent or eventlet has patched the standard library.

All its "threads" are one of the kernel's, and who blocks in the kernel blocks them all. So a loop that is made there waits
through the library's own `select` for its descriptor, which reports whatever the loop's driver waits for; meanwhile the
others run. Executors are asyncio's on the library's threads. What needs a thread of its own (the watchdog) says so.

A loop is made for one of the two worlds: to be patched first, before asyncio and Rondeau are imported, is what both libraries
ask for.

Rejected: real threads behind the library's back. The functions that they would call take the patched locks, which know
greenlets only.
"""

from __future__ import annotations

import select
import sys

from . import _selecting

TYPE_CHECKING = False
if TYPE_CHECKING:
    import selectors


def library() -> str | None:
    """Which library has made greenlets of threads here; None where threads are threads."""
    if (gevent := sys.modules.get("gevent.monkey")) is not None and gevent.is_module_patched("threading"):
        return "gevent"
    if (eventlet := sys.modules.get("eventlet.patcher")) is not None and eventlet.is_monkey_patched("thread"):
        return "eventlet"
    return None


def needs_threads(what: str) -> None:
    """Refuse what cannot work where there are none.

    Raises:
        RuntimeError: there are none.
    """
    if (name := library()) is not None:
        raise RuntimeError(
            f"{what} needs a thread beside the loop's, and {name} has replaced threads by greenlets: run it in a process that "
            f"{name}'s monkey patch leaves alone, or patch with thread=False"
        )


class Selector(_selecting.Selector):
    """Lets other greenlets run while the loop waits."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See `_selecting.Selector.select`."""
        loop = self._loop
        if timeout is None or timeout > 0:
            loop._parked = True  # Whoever schedules from now on wakes the driver.
            try:
                if not loop._ready_count():
                    select.select([loop._driver_fd()], [], [], timeout)
            finally:
                loop._parked = False
        return super().select(0)
