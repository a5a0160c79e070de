"""Random programs leave the same trace with asyncio on asyncio's loop and with the native names on Rondeau, and mixed.

`make differential` runs 100,000 of them; PROGRAMS says how many.
"""

import asyncio
import os

import pytest
from hypothesis import HealthCheck, given, settings

import rondeau
from programs import programs, trace

PROGRAMS = int(os.environ.get("PROGRAMS", "300"))

ARMS = {
    "native": (rondeau, rondeau.new_event_loop),
    "native on asyncio's loop": (rondeau, asyncio.SelectorEventLoop),
    "asyncio's names on Rondeau": (asyncio, rondeau.new_event_loop),
}


@pytest.fixture
def runners():
    """A loop for each arm, and the oracle's first."""
    made = [(asyncio, asyncio.Runner(loop_factory=asyncio.SelectorEventLoop))]
    made += [(aio, asyncio.Runner(loop_factory=factory)) for aio, factory in ARMS.values()]
    for _, runner in made:
        runner.get_loop().set_debug(False)
    yield made
    for _, runner in made:
        runner.close()


@settings(
    max_examples=PROGRAMS,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(program=programs())
def test_equal_traces(runners, program):
    (aio, oracle), *others = runners
    expected = oracle.run(trace(aio, program))
    for name, (aio, runner) in zip(ARMS, others, strict=True):
        assert runner.run(trace(aio, program)) == expected, name
