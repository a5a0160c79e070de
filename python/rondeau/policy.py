"""The event loop policy, for Pythons that still have them, and `install`, which `python -m rondeau run` calls.

Policies are deprecated since 3.14 and gone in 3.16. The classes stay importable without a warning until
then under their private name, which exists from 3.11 to 3.15; after that `EventLoopPolicy` is None here and
`rondeau.EventLoopPolicy` raises AttributeError.
"""

import asyncio
from asyncio import events, unix_events
from typing import TYPE_CHECKING, Any

from .loop import new_event_loop

if TYPE_CHECKING:
    _Base = asyncio.DefaultEventLoopPolicy
else:
    _Base = getattr(unix_events, "_UnixDefaultEventLoopPolicy", None)

EventLoopPolicy: Any = None

if _Base is not None:

    class _EventLoopPolicy(_Base):
        """Python's default policy (child watchers and all), whose loops are Rondeau's."""

        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            return new_event_loop()

    _EventLoopPolicy.__name__ = _EventLoopPolicy.__qualname__ = "EventLoopPolicy"
    EventLoopPolicy = _EventLoopPolicy


def install() -> None:
    """Make Rondeau the loop of every asyncio.run, Runner and new_event_loop that names no other.

    `asyncio.new_event_loop` is rebound in both places where hosts look it up. A loop_factory that a program
    passes itself is still obeyed. A policy that a program sets later no longer decides what asyncio.run uses:
    whoever typed `python -m rondeau run` asked for this loop.
    """
    asyncio.new_event_loop = new_event_loop
    events.new_event_loop = new_event_loop
    if EventLoopPolicy is not None:
        # 3.14 warns in the public setter; this is no use of policies by the program, so nobody is warned.
        setter = getattr(events, "_set_event_loop_policy", None) or asyncio.set_event_loop_policy
        setter(EventLoopPolicy())
