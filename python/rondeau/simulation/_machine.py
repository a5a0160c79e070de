"""The machine as a simulated program sees it: its clocks, its calendar and its chance.

While a `Machine` is entered, `time`, `datetime`, `random`, `os.urandom` (and with it `uuid` and
`secrets`) are the simulation's, also under the names that the program's modules have imported. The
standard library's own modules keep what they have imported by name, since threads and processes
wait by these.
"""

from __future__ import annotations

import datetime
import os
import random
import sys
import time
import uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    from ._director import SimulationDirector

_DATETIME = datetime.datetime
_DATE = datetime.date
_URANDOM = os.urandom


class Machine:
    """Has a program see the simulation's clocks and chance, as a context manager.

    Args:
        director: has the time.
        wall: what `time.time()` says at the beginning of the loop's time, in seconds since 1970.
        seed: of the program's own random numbers.
    """

    def __init__(self, director: SimulationDirector, wall: float, seed: str) -> None:
        self._now = director.now
        self._sleep = director.sleep
        self._wall = wall
        self._seed = seed
        self._undo: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> Machine:
        self._random = random.getstate()
        random.seed(f"{self._seed} random")
        instead = self._instead()
        modules: list[Any] = [module for name, module in list(sys.modules.items()) if _is_programs(name, module)]
        for module in (time, datetime, os, *modules):
            self._replace(module, instead)
        self._set(random, "_urandom", instead[_URANDOM])
        for name in ("_last_timestamp", "_last_timestamp_v6", "_last_timestamp_v7"):
            if hasattr(uuid, name):
                self._set(uuid, name, None)
        self._set(uuid, "_generate_time_safe", None)  # libuuid's, with a clock of its own.
        self._set(uuid, "_node", 0x02_00_00_00_00_01)  # This machine's is no other's.
        return self

    def __exit__(self, *_: object) -> None:
        while self._undo:
            module, name, value = self._undo.pop()
            setattr(module, name, value)
        random.setstate(self._random)

    def _set(self, module: Any, name: str, value: Any) -> None:
        self._undo.append((module, name, getattr(module, name)))
        setattr(module, name, value)

    def _replace(self, module: Any, instead: dict[Any, Any]) -> None:
        for name, value in list(vars(module).items()):
            try:
                other = instead.get(value)
            except TypeError:  # Not hashable.
                continue
            if other is not None:
                self._set(module, name, other)

    def _instead(self) -> dict[Any, Any]:
        """Each of the machine's functions, and what stands for it."""
        now, wall, chance = self._now, self._wall, random.Random(f"{self._seed} urandom")

        def seconds(offset: float) -> Callable[[], float]:
            return lambda: offset + now()

        def nanoseconds(offset: float) -> Callable[[], int]:
            return lambda: round((offset + now()) * 1e9)

        start = now()
        since = wall - start
        moment, day = _calendar(seconds(since))
        return {
            time.time: seconds(since),
            time.time_ns: nanoseconds(since),
            time.monotonic: seconds(0.0),
            time.monotonic_ns: nanoseconds(0.0),
            time.perf_counter: seconds(0.0),
            time.perf_counter_ns: nanoseconds(0.0),
            time.sleep: self._sleep,
            _URANDOM: chance.randbytes,
            _DATETIME: moment,
            _DATE: day,
        }


def _is_programs(name: str, module: ModuleType | None) -> bool:
    top = name.partition(".")[0]
    return module is not None and hasattr(module, "__dict__") and top != "rondeau" and top not in sys.stdlib_module_names


class _Like(type):
    """Instances are the real class's: what was made before, and what C code makes, counts as one."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.__mro__[1])

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, cls.__mro__[1])


def _calendar(now: Callable[[], float]) -> tuple[type, type]:
    """`datetime.datetime` and `datetime.date` with that clock."""

    class _datetime(_DATETIME, metaclass=_Like):
        def __new__(cls, *args: Any, **options: Any) -> Any:
            return _DATETIME(*args, **options)

        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return _DATETIME.fromtimestamp(now(), tz)

        @classmethod
        def today(cls) -> Any:
            return _DATETIME.fromtimestamp(now())

        @classmethod
        def utcnow(cls) -> Any:
            return _DATETIME.fromtimestamp(now(), datetime.UTC).replace(tzinfo=None)

        @classmethod
        def fromtimestamp(cls, timestamp: float, tz: datetime.tzinfo | None = None) -> Any:
            return _DATETIME.fromtimestamp(timestamp, tz)

    class _date(_DATE, metaclass=_Like):
        def __new__(cls, *args: Any, **options: Any) -> Any:
            return _DATE(*args, **options)

        @classmethod
        def today(cls) -> Any:
            return _DATE.fromtimestamp(now())

    for cls, name in ((_datetime, "datetime"), (_date, "date")):
        cls.__name__ = cls.__qualname__ = name
        cls.__module__ = "datetime"
    return _datetime, _date
