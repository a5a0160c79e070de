"""The event loop policy, for Pythons that still have them.

Policies are deprecated since 3.14 and gone in 3.16. The classes stay importable without a warning until
then under their private name, which exists from 3.11 to 3.15; after that `EventLoopPolicy` is None here and
`rondeau.EventLoopPolicy` raises AttributeError.
"""

import asyncio
from asyncio import unix_events
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
