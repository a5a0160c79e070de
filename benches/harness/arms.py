"""The arms: the event loops that are compared, each by the factory that `asyncio.Runner` takes.

"native" is a program that says `import rondeau as asyncio`: Rondeau's loop, and its native forms of asyncio's names.
"recorded" is "rondeau" with the recorder on, as a flight recorder leaves it in production: what an event costs.
"watched" is "rondeau" with a watchdog that looks, of the default threshold.
"before" and "before-native" are "rondeau" and "native" of another build, whose folder `--before` names: what a change costs.

An arm that cannot be imported is reported as not measured, with the reason; it is never left out in silence.
"""

import asyncio
import importlib
from collections.abc import Callable
from importlib import metadata

Factory = Callable[[], asyncio.AbstractEventLoop]

# arm: (module, factory in it)
ARMS: dict[str, tuple[str, str]] = {
    "asyncio": ("asyncio", "SelectorEventLoop"),
    "uvloop": ("uvloop", "new_event_loop"),
    "rloop": ("rloop", "new_event_loop"),
    "zuvloop": ("zuvloop", "new_event_loop"),
    "rondeau": ("rondeau", "new_event_loop"),
    "native": ("rondeau", "new_event_loop"),
    "recorded": ("rondeau", "new_event_loop"),
    "watched": ("rondeau", "new_event_loop"),
    "before": ("rondeau", "new_event_loop"),
    "before-native": ("rondeau", "new_event_loop"),
}
# An arm, and the same arm of the other build.
BEFORE = {"rondeau": "before", "native": "before-native"}
# The others are measured when they are asked for: a sixth of the time more each.
USUAL = tuple(arm for arm in ARMS if arm not in ("recorded", "watched", *BEFORE.values()))
PEERS = ("uvloop", "rloop", "zuvloop")


def prepare(arm: str) -> None:
    """What the arm's process does before the workloads are imported."""
    if arm in ("native", "before-native"):
        importlib.import_module("rondeau").install()
    elif arm == "recorded":
        importlib.import_module("rondeau.recorder").start()
    elif arm == "watched":
        importlib.import_module("rondeau").watchdog(log=False).start()


def factory(arm: str) -> Factory:
    """The arm's loop factory; ImportError or AttributeError when this interpreter has none."""
    module, name = ARMS[arm]
    found: Factory = getattr(importlib.import_module(module), name)
    return found


def version(arm: str) -> str:
    """The version that is installed; stdlib asyncio has its interpreter's."""
    if arm == "asyncio":
        return "stdlib"
    try:
        return metadata.version(ARMS[arm][0])
    except metadata.PackageNotFoundError:
        return "unknown"
