"""`World`: what a simulated program is given to speak with its simulation."""

from __future__ import annotations

import random

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TypeVar

    from ..loop import EventLoop
    from ._director import SimulationDirector

    T = TypeVar("T")


class _Drawn(random.Random):
    """Random numbers that the simulation's tape decides, so that they are made simpler with it."""

    def __new__(cls, loop: EventLoop) -> _Drawn:
        return super().__new__(cls)

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        super().__init__()

    def seed(self, a: Any = None, version: int = 2) -> None:
        """The tape decides."""

    def random(self) -> float:
        """From 0 to 1."""
        return (self._loop._draw(1 << 26) * (1 << 27) + self._loop._draw(1 << 27)) / (1 << 53)

    def getrandbits(self, k: int) -> int:
        """So many bits."""
        number = 0
        for at in range(0, k, 31):
            number |= self._loop._draw(1 << min(31, k - at)) << at
        return number


class World:
    """A simulation, as its program sees it.

    Attributes: seed: what the run follows from; None where it repeats decisions. random: a
    `random.Random` whose numbers belong to the simulation: with `explore`, a failure's become as
    plain as they can,
            which those of the module `random` do not.
    """

    def __init__(self, loop: EventLoop, director: SimulationDirector, seed: int | None) -> None:
        self._loop = loop
        self._director = director
        self.seed = seed
        self.random: random.Random = _Drawn(loop)

    @property
    def time(self) -> float:
        """Seconds since the run began."""
        return self._loop.time() - START

    def note(self, text: object) -> None:
        """Put a line into the run's events, with its time."""
        if self._director.events is not None:
            self._director.events.append(f"{self._loop.time():.9f} note {text}")

    def chance(self, probability: float) -> bool:
        """True in so many of all cases (0 to 1), as the simulation decides; False is the plainer answer.

        Raises:
            ValueError: it is no probability.
        """
        if not 0 <= probability <= 1:
            raise ValueError(f"a probability is from 0 to 1, and this is {probability!r}")
        return self._loop._draw(1_000_000) >= 1_000_000 - round(probability * 1_000_000)

    def choice(self, of: Sequence[T]) -> T:
        """One of these, as the simulation decides; the first is the plainest."""
        if not of:
            raise IndexError("there is nothing to choose from")
        return of[self._loop._draw(len(of))]

    def delay(self, shortest: float, longest: float) -> float:
        """A number of seconds between two, as the simulation decides; the shortest is the plainest.

        Raises:
            ValueError: the first is longer than the second.
        """
        if not shortest <= longest:
            raise ValueError(f"the shortest delay is {shortest!r} and the longest {longest!r}")
        return shortest + (longest - shortest) * self._loop._draw(1 << 20) / ((1 << 20) - 1)


START = 1000.0  # The loop's time at the beginning: not 0, which some programs take for «never».
