"""What nobody should give: junk, and objects whose every hook does something else than asked, or comes back into the loop.

Used by every kind of program. `Hostile.act` is set by the program: what a hook does meanwhile.
"""

import collections
import contextvars
import gc
import os
import random
import sys
import types
from collections.abc import Callable
from typing import Any


class Hostile:
    """Each hook acts, answers at random, and at times raises what the act raised."""

    def __init__(self, chance: random.Random, act: Callable[[], object]) -> None:
        self.chance = chance
        self.act = act
        self.depth = 0

    def _hook(self, *answers: Any) -> Any:
        if self.depth < 3:
            self.depth += 1
            try:
                if self.chance.random() < 0.5:
                    self.act()
                elif self.chance.random() < 0.2:
                    gc.collect(0)
            except Exception:
                if self.chance.random() < 0.3:
                    raise
            finally:
                self.depth -= 1
        return self.chance.choice(answers)

    def __eq__(self, other: object) -> Any:
        return self._hook(True, False)

    def __hash__(self) -> int:
        return int(self._hook(0, 1, -1, hash("a")))

    def __lt__(self, other: object) -> Any:
        return self._hook(True, False)

    def __index__(self) -> int:
        return int(self._hook(0, 1, -1, 5, 2**70))

    def __float__(self) -> float:
        return float(self._hook(0.0, 1e-4, float("nan"), float("inf")))

    def __bool__(self) -> bool:
        return bool(self._hook(True, False))

    def __len__(self) -> int:
        return int(self._hook(0, 1, 5))

    def __iter__(self) -> Any:
        return self._hook(iter([None, self]), iter([]), iter([self.act]))

    def __await__(self) -> Any:
        return self._hook(iter([None]), iter([self]), iter([]), self)

    def __next__(self) -> Any:
        return self._hook(None, self)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._hook(None, self, 1)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._hook(None, self, self.act, 1)

    def __enter__(self) -> Any:
        return self._hook(self)

    def __exit__(self, *error: object) -> Any:
        return self._hook(True, False)

    def __str__(self) -> str:
        return str(self._hook("x"))

    def __del__(self) -> None:
        self._hook(None)

    def fileno(self) -> Any:
        return self._hook(-1, 10**6, 2**40, 0.5)


class AnyText(str):
    """Equal to every name."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


class AnyDeque(collections.deque[Any]):
    """A deque that is not what it says."""

    def append(self, item: Any) -> None:
        raise MemoryError

    def __len__(self) -> int:
        return 5


class OddError(Exception):
    """Making one gives another class."""

    def __new__(cls, *arguments: Any) -> Any:
        return Exception.__new__(Exception)


@types.coroutine
def bare(value: Any) -> Any:
    """An old coroutine that yields this to its task."""
    yield value


def plain() -> list[Any]:
    """Values that harm nobody who checks."""
    return [
        None, True, 0, 1, -1, 5, 2**31, 2**63, 2**70, -(2**63), 0.0, -1.5, 1e-9, 1e308,
        float("nan"), float("inf"), "", "x", "\udc80", b"", b"abc", bytearray(b"abc"), memoryview(b"abc"),
        (), [], {}, set(), (1, 2), [1], {"a": 1}, collections.deque(), AnyDeque([1]), object(), ..., NotImplemented,
        type, int, Exception, Exception("x"), OddError, StopIteration(1), KeyboardInterrupt, GeneratorExit(),
        print, len, lambda *arguments, **named: None, AnyText("a"), contextvars.copy_context(), types.SimpleNamespace(),
    ]  # fmt: skip


def about(thing: Any, others: list[Any]) -> list[Any]:
    """Values that are made for this object: itself, and containers of it and of others."""
    return [
        thing,
        [thing],
        [None, *others],
        collections.deque([1, None, thing, *others]),
        AnyDeque([thing]),
        {thing: thing},
        *others,
    ]


def say(*what: Any) -> None:
    """What a program that is run alone is about."""
    if "FUZZ_SAYS" in os.environ:
        print("says", *what, file=sys.stderr, flush=True)
