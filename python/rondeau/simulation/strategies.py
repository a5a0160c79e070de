"""What Hypothesis draws for a simulation: `seeds`, and `decisions`, which it makes plainer together with a test's other data.

Imports Hypothesis, which nothing else here does.
"""

from __future__ import annotations

from hypothesis import strategies

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["decisions", "seeds"]


def seeds() -> SearchStrategy[int]:
    """Seeds for `run`.

    Returns:
        A strategy of whole numbers of 64 bits.
    """
    return strategies.integers(0, 2**64 - 1)


def decisions(most: int = 200) -> SearchStrategy[list[int]]:
    """Decisions for `run`: a plainer list is a plainer run.

    Args:
        most: how many are drawn at most; zeros follow them.

    Returns:
        A strategy of lists of whole numbers.

    >>> import hypothesis, asyncio, rondeau.simulation as simulation
    >>> from rondeau.simulation.strategies import decisions
    >>> @hypothesis.settings(database=None, max_examples=20)
    ... @hypothesis.given(decisions())
    ... def test_soup(drawn):
    ...     async def main(world):
    ...         await asyncio.sleep(world.delay(0, 60))
    ...         assert world.time <= 60
    ...     simulation.run(main, decisions=drawn)
    >>> test_soup()
    """
    return strategies.lists(strategies.integers(0, 2**32 - 1), max_size=most)
