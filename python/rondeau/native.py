"""Which of asyncio's names have a native form here, and `install`, which puts these where asyncio keeps its own.

`NATIVE` is the whole list; `rondeau/__init__.py` publishes from it, `install` rebinds from it, and the tests that run with
the native forms in place read it too. A name that it does not hold is asyncio's own object in `rondeau` as well. To add one:
a line here, nothing else.

Rebinding happens in the `asyncio` package and in every submodule that holds the same object under the same name, so that
asyncio's own code (`wait_for` with its `timeout`, `Condition` with its `Lock`) finds the native one. Never on import.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from asyncio import events
from types import ModuleType

from .loop import new_event_loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# asyncio's name: the module of this package that holds the native form. `_core` is loaded in any case, a module written in
# Python when one of its names is first asked for. A name that this Python's asyncio does not have is passed over.
NATIVE: dict[str, str] = {
    "Barrier": "_core",
    "BoundedSemaphore": "_core",
    "Condition": "_core",
    "Event": "_core",
    "LifoQueue": "_core",
    "Lock": "_core",
    "PriorityQueue": "_core",
    "Queue": "_core",
    "Semaphore": "_core",
    "TaskGroup": "_core",
    "Timeout": "_core",
    "as_completed": "_core",
    "create_task": "_core",
    "ensure_future": "_core",
    "gather": "_core",
    "run_coroutine_threadsafe": "_core",
    "shield": "_core",
    "sleep": "_core",
    "timeout": "_core",
    "timeout_at": "_core",
    "to_thread": "_core",
    "wait": "_core",
    "wait_for": "_core",
    "StreamReader": "_streams",
    "StreamReaderProtocol": "_streams",
    "StreamWriter": "_streams",
    "open_connection": "_streams",
    "open_unix_connection": "_streams",
    "start_server": "_streams",
    "start_unix_server": "_streams",
    "create_subprocess_exec": "_subprocess",
    "create_subprocess_shell": "_subprocess",
}


def names() -> list[str]:
    """The names of NATIVE that this Python's asyncio has."""
    return [name for name in NATIVE if name in vars(asyncio)]


def form(name: str) -> Any:
    """The native form of one of these names."""
    return getattr(importlib.import_module(f"rondeau.{NATIVE[name]}"), name)


class _Face(ModuleType):
    """`rondeau.queues`, `rondeau.locks`, …: asyncio's module of that name, with what is native in front."""

    def __init__(self, theirs: ModuleType, native: list[str]) -> None:
        super().__init__(theirs.__name__.replace("asyncio", "rondeau", 1), theirs.__doc__)
        self._theirs = theirs
        self._native = native

    def __getattr__(self, name: str) -> Any:
        if name in self._native:
            value = form(name)
            setattr(self, name, value)
            return value
        return getattr(self._theirs, name)

    def __dir__(self) -> list[str]:
        return dir(self._theirs)


def submodule(name: str) -> ModuleType | None:
    """What `rondeau.NAME` is where `asyncio.NAME` is a module; None where it is not."""
    theirs = vars(asyncio).get(name)
    if not isinstance(theirs, ModuleType) or sys.modules.get(f"asyncio.{name}") is not theirs:
        return None
    known = vars(theirs)
    native = [each for each in names() if each in known and known[each] is original(each)]
    return _Face(theirs, native) if native else theirs


# What `install` changed, so that `uninstall` can put it back: module, name, before, after.
_rebound: list[tuple[ModuleType, str, Any, Any]] = []
_policies: tuple[Any, Any] | None = None


def original(name: str) -> Any:
    """What asyncio calls so by itself, installed or not."""
    return next(
        (before for module, changed, before, _ in _rebound if module is asyncio and changed == name), vars(asyncio)[name]
    )


def install() -> None:
    """Rebind asyncio's names to Rondeau's, for a program whose imports cannot be changed.

    From then on `asyncio.run`, `asyncio.Runner` and `asyncio.new_event_loop` use Rondeau's loop unless they are told of another
    one, and every name that has a native form is the native one in `asyncio` and in its submodules. What was imported by name
    before stays what it was, and works together with the native forms. To be called before the program is imported; a second
    call does nothing.

    >>> import asyncio, rondeau
    >>> rondeau.install()
    >>> asyncio.new_event_loop is rondeau.new_event_loop
    True
    >>> rondeau.uninstall()
    >>> asyncio.new_event_loop is rondeau.new_event_loop
    False
    """
    _rebind({name: form(name) for name in names()})
    install_loop()


def install_loop() -> None:
    """The loop alone: what `python -m rondeau run` does without `--native`.

    `asyncio.new_event_loop` is rebound in both places where hosts look it up. A loop_factory that a program passes itself is
    still obeyed. A policy that a program sets later no longer decides what asyncio.run uses: whoever called this asked for
    this loop.
    """
    global _policies
    from .policy import EventLoopPolicy

    _rebind({"new_event_loop": new_event_loop})
    if EventLoopPolicy is not None and _policies is None:
        ours = EventLoopPolicy()
        # Read and set below the public functions: 3.14 warns in these, and the getter makes a policy where there is none.
        _policies = events._event_loop_policy, ours  # type: ignore[attr-defined]
        _set_policy(ours)


def uninstall() -> None:
    """Undo `install`: what it rebound is asyncio's again, except where somebody else has rebound it since."""
    global _policies
    for module, name, before, after in _rebound:
        if vars(module).get(name) is after:
            setattr(module, name, before)
    _rebound.clear()
    if _policies is not None:
        policy_before, ours = _policies
        if events._event_loop_policy is ours:  # type: ignore[attr-defined]
            _set_policy(policy_before)
        _policies = None


def _set_policy(policy: Any) -> None:
    setter = getattr(events, "_set_event_loop_policy", None) or asyncio.set_event_loop_policy
    setter(policy)


def _rebind(forms: dict[str, Any]) -> None:
    modules = [module for name, module in sys.modules.items() if name == "asyncio" or name.startswith("asyncio.")]
    for name, native in forms.items():
        before = vars(asyncio)[name]
        for module in modules:
            if before is not native and vars(module).get(name) is before:
                setattr(module, name, native)
                _rebound.append((module, name, before, native))
