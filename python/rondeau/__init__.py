"""Rondeau: an asyncio event loop in Rust that switches instead of waiting.

    import rondeau as asyncio                                       # all of asyncio, native where native.py says so
    rondeau.run(main())                                             # instead of asyncio.run(main())
    asyncio.run(main(), loop_factory=rondeau.new_event_loop)        # Python 3.12 and later
    python -m rondeau run app.py                                    # the program stays as it is
    python -m rondeau run --native app.py                           # … and gets the native names without an import

The loop is an `asyncio.AbstractEventLoop`, its tasks are `asyncio.Task`s, its futures `asyncio.Future`s. Every public name
of this Python's asyncio is a name here: asyncio's own object, unless native.py lists a native form. This module only
gathers the names, and loads lazily what asyncio does not need at once.
"""

from __future__ import annotations

import asyncio
from importlib import import_module as _import

from . import native
from .loop import EventLoop, new_event_loop
from .native import install, uninstall
from .runners import Runner, run

TYPE_CHECKING = False  # Type checkers know; `typing` is not imported for it, as asyncio does not.
if TYPE_CHECKING:
    # A native form has the type of what it stands for. Where both lists have a name (Runner, run), the one above counts.
    from asyncio import *  # type: ignore[assignment]  # noqa: F403
    from asyncio import TaskGroup as TaskGroup  # typeshed's list forgets it for 3.11.
    from asyncio import base_events as base_events
    from asyncio import coroutines as coroutines
    from asyncio import events as events
    from asyncio import exceptions as exceptions
    from asyncio import futures as futures
    from asyncio import locks as locks
    from asyncio import log as log
    from asyncio import protocols as protocols
    from asyncio import queues as queues
    from asyncio import sslproto as sslproto
    from asyncio import streams as streams
    from asyncio import subprocess as subprocess
    from asyncio import taskgroups as taskgroups
    from asyncio import tasks as tasks
    from asyncio import threads as threads
    from asyncio import timeouts as timeouts
    from asyncio import transports as transports
    from typing import Any

    from . import aiofiles as aiofiles
    from . import files as files
    from . import simulation as simulation
    from . import testing as testing
    from ._input import ainput as ainput
    from ._input import stdin as stdin
    from ._instruments import metrics as metrics
    from ._listeners import subscribe as subscribe
    from ._listeners import unsubscribe as unsubscribe
    from ._nesting import nest as nest
    from ._open import open as open
    from ._output import stderr as stderr
    from ._output import stdout as stdout
    from ._path import Path as Path
    from ._watch import watch as watch
    from ._watchdog import watchdog as watchdog
    from .policy import EventLoopPolicy as EventLoopPolicy
    from .recorder import dump as dump
    from .recorder import flight_recorder as flight_recorder
    from .recorder import record as record

    __version__: str

# What asyncio does not have: the name and its module, loaded when the name is first asked for. They are not in `__all__`:
# `from rondeau import *` gives asyncio's names and no other `open`.
_OWN = {
    "Path": "_path",
    "ainput": "_input",
    "dump": "recorder",
    "flight_recorder": "recorder",
    "metrics": "_instruments",
    "nest": "_nesting",
    "record": "recorder",
    "open": "_open",
    "stdin": "_input",
    "stderr": "_output",
    "stdout": "_output",
    "subscribe": "_listeners",
    "unsubscribe": "_listeners",
    "watchdog": "_watchdog",
    "watch": "_watch",
}

# The same of modules.
_MODULES = ("aiofiles", "files", "simulation", "testing")

# EventLoopPolicy is left out on purpose: `from rondeau import *` must not fail once Python has no policies.
__all__ = ["EventLoop", "Runner", "install", "new_event_loop", "run", "uninstall"]
__all__ += [name for name in asyncio.__all__ if name not in __all__]

# At once, since a name in this module's own dict is what CPython's specialised look-up of `asyncio.sleep` wants. Native forms
# that are written in Python come with their first use, through __getattr__.
_names = vars()
for _name in asyncio.__all__:
    if _name not in _names and _name in vars(asyncio):
        if _name not in native.NATIVE:
            _names[_name] = vars(asyncio)[_name]
        elif native.NATIVE[_name] == "_core":
            _names[_name] = native.form(_name)
del _names, _name


if not TYPE_CHECKING:  # Or a misspelt name would have a type.

    def __getattr__(name: str) -> Any:
        if name == "EventLoopPolicy":
            from . import policy

            if policy.EventLoopPolicy is not None:
                return policy.EventLoopPolicy
        elif name == "__version__":
            from ._core import __version__ as built

            return built
        elif name in _OWN:
            value = globals()[name] = getattr(_import(f"rondeau.{_OWN[name]}"), name)
            return value
        elif name in _MODULES:
            return _import(f"rondeau.{name}")  # Which sets the name here.
        elif name in native.NATIVE and name in vars(asyncio):
            value = globals()[name] = native.form(name)
            return value
        elif (module := native.submodule(name)) is not None:
            globals()[name] = module
            return module
        elif not name.startswith("__"):
            # What asyncio has without publishing it, or makes when asked: 3.14's deprecated policies, which warn.
            try:
                return getattr(asyncio, name)
            except AttributeError:
                pass
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_OWN, *_MODULES, *(name for name in vars(asyncio) if not name.startswith("_"))})
