"""`rondeau.simulation`: a program run in a world where time, order and chance follow from a seed.

    import rondeau.simulation as simulation

    async def main(world): ...                                     # an ordinary program; `world` may be left out
    result = simulation.run(main, seed=7)                          # the same seed: the same run, step for step
    report = simulation.explore(main, seeds=range(1000), jobs=2)   # many runs; the first failure is made as simple as it goes

Time is virtual: it stands still while anything can be done, and then is the next timer's. Which of
the ready tasks runs next is drawn from the seed, within what asyncio promises; so are `random`,
`uuid` and `secrets`. docs/simulation.md is the guide.
"""

from __future__ import annotations

from .._virtual_time import StuckError
from ._director import BlockingError, TooLongError
from ._explore import Failure, Report, explore
from ._run import Result, run
from ._world import World

__all__ = ["BlockingError", "Failure", "Report", "Result", "StuckError", "TooLongError", "World", "explore", "run"]
