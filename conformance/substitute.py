"""How a suite written for asyncio's classes comes to test Rondeau's: asyncio's names are rebound before the suite is imported.

Called by worker.py in a process that does nothing else. What is rebound is found by identity: each attribute of `asyncio` and
of its submodules that is the object in question, whatever it is called there, in whichever version. Nothing in the suites is
patched, and `rondeau` is imported first, so that its own code keeps what it took from asyncio.

Invariants: policies decide as before which loop `asyncio.new_event_loop` makes, since the suites test that too; only the
default policy's factory is ours. `base_events.BaseEventLoop` and `selector_events.BaseSelectorEventLoop` stay, for
the suites that build a loop of their own upon them (`test.test_asyncio.utils.TestLoop`, whose clock is made up).

Rejected: rebinding `asyncio.new_event_loop`: a custom policy would have no say; patching each test class's
`create_event_loop`: what asks for a loop in another way would silently get asyncio's.
"""

import asyncio
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import rondeau
from rondeau import _core, native


class Loops:
    """Stands for a class of asyncio's loops; called, with a selector or without, it makes rondeau.EventLoop itself.

    Not a subclass of rondeau.EventLoop, since what is to be tested is that class and not one derived from it.
    """

    def __init__(self, theirs: type) -> None:
        self._theirs = theirs

    def __call__(self, selector: Any = None) -> rondeau.EventLoop:
        if selector is not None:
            selector.close()
        return rondeau.EventLoop()

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type]:
        return (rondeau.EventLoop,)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self._theirs)

    def __subclasscheck__(self, cls: type) -> bool:
        return issubclass(cls, self._theirs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._theirs, name)


def everything(arm: str, *, types_too: bool = True) -> dict[str, int]:
    """Rebind what `arm` asks for (Task and Future only where `types_too`); return for each name in how many places."""
    done: dict[str, int] = {}
    if arm != "asyncio":
        done |= loops()
    if arm in ("types", "native") and types_too:
        done |= types()
    if arm == "native":
        done |= primitives()
    return done


def loops() -> dict[str, int]:
    theirs = asyncio.SelectorEventLoop
    ours = Loops(theirs)
    made = theirs.__init__

    def refused(self: Any, *arguments: Any) -> None:
        assert isinstance(self, rondeau.EventLoop), "the suite found a way to asyncio's own loop: substitute.py must close it"
        made(self, *arguments)

    theirs.__init__ = refused  # type: ignore[method-assign,assignment]
    done = {"SelectorEventLoop": rebind(theirs, ours)}
    # A bare BaseEventLoop has no selector; the suites that make one from `asyncio` put a mock in its place.
    asyncio.BaseEventLoop = Loops(asyncio.BaseEventLoop)  # type: ignore[misc,assignment]
    for module in modules():
        for policy in vars(module).values():
            if isinstance(policy, type) and vars(policy).get("_loop_factory") is theirs:
                policy._loop_factory = ours  # type: ignore[attr-defined]
                done["policy"] = 1
    return done


def types() -> dict[str, int]:
    """The C types by their private names, which is how the suites ask for them, and wherever asyncio's own code makes one.

    `asyncio.Task` and `asyncio.Future` stay what they are for everybody who asks `isinstance`.
    """
    done = {}
    for name, module, ours in (("Task", asyncio.tasks, _core.Task), ("Future", asyncio.futures, _core.Future)):
        theirs = getattr(asyncio, name)
        done[name] = rebind(theirs, ours)
        setattr(asyncio, name, theirs)
        assert getattr(module, f"_C{name}") is ours
    return done


def primitives() -> dict[str, int]:
    """Everything in rondeau/native.py's list, which is what `import rondeau as asyncio` and `install` make native."""
    # All forms first: a module that is imported with its first use must still find asyncio as it is.
    forms = {name: native.form(name) for name in native.names()}
    return {name: rebind(getattr(asyncio, name), form) for name, form in forms.items()}


def modules() -> Iterator[ModuleType]:
    for name, module in list(sys.modules.items()):
        if name == "asyncio" or name.startswith("asyncio."):
            yield module


def rebind(theirs: object, ours: object) -> int:
    count = 0
    for module in modules():
        for name, value in list(vars(module).items()):
            if value is theirs:
                setattr(module, name, ours)
                count += 1
    return count
