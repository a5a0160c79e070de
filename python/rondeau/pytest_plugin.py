"""A plugin for pytest: `@pytest.mark.simulation(seeds=200)` runs an async test in as many simulated worlds.

pytest loads it by the entry point `rondeau`. A marked test is a plain function for all other plugins, so it may stand beside
tests of pytest-asyncio and anyio. It may ask for fixtures, and for `world`. Fixtures are made once for all its runs, outside
of the simulation.

    @pytest.mark.simulation(seeds=200)
    async def test_the_pool_never_leaks(world): ...

    pytest --simulation-seeds 10000      # more of them
    pytest --simulation-seed 7           # this one again, with its events
"""

from __future__ import annotations

import functools
import inspect

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

SEEDS = 100


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the two options."""
    group = parser.getgroup("rondeau")
    group.addoption("--simulation-seeds", type=int, metavar="N", help="run each simulated test with the seeds from 0 to N - 1")
    group.addoption("--simulation-seed", type=int, metavar="SEED", help="run each simulated test with this seed only")


def pytest_configure(config: pytest.Config) -> None:
    """Tell of the mark."""
    config.addinivalue_line(
        "markers",
        "simulation(seeds=100, order=('random', 'pct'), jobs=1, ...): run an async test in rondeau.simulation, once a seed; "
        "the other arguments are those of rondeau.simulation.explore",
    )


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Any:
    """The `rondeau.simulation.World` of a test that is marked with `simulation`."""
    if request.node.get_closest_marker("simulation") is None:
        raise pytest.UsageError(f"{request.node.name} asks for `world` and is not marked with @pytest.mark.simulation")
    return None  # Each run has its own.


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_pycollect_makeitem(collector: Any, name: str, obj: object) -> Generator[None, Any, Any]:
    """Make a plain function of a simulated test, before another plugin takes it for its own."""
    made = yield
    for item in made if isinstance(made, list) else [made]:
        if isinstance(item, pytest.Function):
            mark = item.get_closest_marker("simulation")
            if mark is not None:
                item.obj = _simulated(item, mark, item.obj)
    return made


def _simulated(item: pytest.Function, mark: pytest.Mark, test: Callable[..., Any]) -> Callable[..., Any]:
    if not inspect.iscoroutinefunction(test):
        raise pytest.UsageError(f"{item.nodeid}: @pytest.mark.simulation is for async tests")
    if mark.args:
        raise pytest.UsageError(f"{item.nodeid}: the arguments of @pytest.mark.simulation have names: seeds=200")
    options = dict(mark.kwargs)
    has_world = "world" in inspect.signature(test).parameters

    @functools.wraps(test)
    def run(*args: Any, **fixtures: Any) -> None:
        async def main(world: Any) -> None:
            if has_world:
                fixtures["world"] = world
            await test(*args, **fixtures)

        _explore(item.config, main, options)

    return run


def _explore(config: pytest.Config, main: Callable[..., Any], options: dict[str, Any]) -> None:
    __tracebackhide__ = True
    from . import simulation

    seeds = options.pop("seeds", SEEDS)
    one, many = config.getoption("simulation_seed"), config.getoption("simulation_seeds")
    if one is not None:
        # An order belongs to each seed, as `explore` would have given it.
        order = options.pop("order", ("random", "pct"))
        options["order"] = order if isinstance(order, str) else order[one % len(order)]
        seeds = [one]
    elif many is not None:
        seeds = many
    options_seeds = range(seeds) if isinstance(seeds, int) else seeds
    simulation.explore(main, seeds=options_seeds, **options).check()
