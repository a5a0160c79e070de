"""Rondeau: an asyncio event loop in Rust that switches instead of waiting.

    rondeau.run(main())                                             # instead of asyncio.run(main())
    asyncio.run(main(), loop_factory=rondeau.new_event_loop)        # Python 3.12 and later
    python -m rondeau run app.py                                    # the program stays as it is

Everything else is asyncio's: the loop is an `asyncio.AbstractEventLoop`, its tasks are `asyncio.Task`s, its
futures `asyncio.Future`s. This module only gathers the public names, and imports the rest lazily.
"""

from typing import TYPE_CHECKING, Any

from .loop import EventLoop, new_event_loop
from .runners import Runner, run

if TYPE_CHECKING:
    from .policy import EventLoopPolicy as EventLoopPolicy

    __version__: str

# EventLoopPolicy is left out on purpose: `from rondeau import *` must not fail once Python has no policies.
__all__ = ["EventLoop", "Runner", "new_event_loop", "run"]


def __getattr__(name: str) -> Any:
    # Lazy, since the one needs a Python that still has policies and the other a look into the metadata.
    if name == "EventLoopPolicy":
        from . import policy

        if policy.EventLoopPolicy is not None:
            return policy.EventLoopPolicy
    elif name == "__version__":
        from importlib.metadata import version

        return version("rondeau")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
