"""Turns with something of the program's own in them.

A native turn asks nobody. Where a program has replaced `_selector`, its `select`, `_process_events` or `_run_once`
(looptime and other test clocks, loop monitors, loops made re-entrant), the loop takes its turns here, in asyncio's order
and with the program's pieces. It also looks in here for as long as somebody holds `_scheduled`, so that what is done to
that list counts.

Noticed when the loop begins to run, when such an attribute is set on the loop or on its selector, and after each turn here.
"""

from __future__ import annotations

from . import _selecting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from selectors import SelectorKey

    from ._running import Running


def run(loop: Running) -> None:
    """Take turns until `stop()` was called, or native turns will do."""
    while True:
        if loop._has_own_turn():
            _run_own(loop)
        else:
            scheduled = _settle(loop)
            loop._own_turns = scheduled
            if not scheduled:
                return
            loop._run()  # One turn.
        if loop._stopping:
            return


def _run_own(loop: Running) -> None:
    loop._enter()
    try:
        while True:
            loop._run_once()
            if loop._stopping or not loop._has_own_turn():
                return
    finally:
        loop._leave()


def _settle(loop: Running) -> bool:
    """Have the loop know what a program did to `_scheduled`; whether somebody holds that list still."""
    scheduled = loop._shown() if loop._shown is not None else None
    if scheduled is None:
        return False
    scheduled.settle()
    return True


def run_once(loop: Running) -> None:
    """One turn: asyncio's `_run_once`."""
    _settle(loop)
    events = loop._selector.select(loop._timeout())
    loop._process_events(events)
    loop._run_ready(loop.time() + loop._clock_resolution)


def process_events(loop: Running, events: Iterable[tuple[SelectorKey, int]]) -> None:
    """Queue who waits for what a selector has reported: (key, mask) pairs."""
    for key, mask in events:
        if not isinstance(key.fileobj, _selecting.Waker):
            loop._tell(key.fd, mask)
