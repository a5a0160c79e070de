"""`rondeau.testing.no_blocking`: what blocks the loop fails the test, with file and line."""

import asyncio
import inspect
import pickle
import time

import pytest

import rondeau
from rondeau.testing import BlockingError, no_blocking

THRESHOLD = 0.02


async def cook():
    time.sleep(25 * THRESHOLD)


async def wait():
    await asyncio.sleep(5 * THRESHOLD)


def test_a_block_raises_with_its_line():
    with pytest.raises(BlockingError) as caught:
        with no_blocking(THRESHOLD):
            rondeau.run(cook())
    assert isinstance(caught.value, AssertionError)
    [block] = caught.value.blocks
    assert (block.filename, block.function) == (__file__, "cook")
    assert block.seconds >= THRESHOLD
    assert f"at {__file__}:{block.lineno} in cook: time.sleep(25 * THRESHOLD)" in str(caught.value)
    assert "the loop was blocked once" in str(caught.value)


def test_waiting_is_no_block():
    with no_blocking(THRESHOLD):
        rondeau.run(wait())


def test_all_blocks_are_listed():
    async def main():
        for _ in range(2):
            await cook()
            await asyncio.sleep(0)

    with pytest.raises(BlockingError) as caught:
        with no_blocking(THRESHOLD):
            rondeau.run(main())
    assert len(caught.value.blocks) == 2
    assert "2 times" in str(caught.value)


def test_inside_of_a_loop():
    async def main(what):
        async with no_blocking(THRESHOLD):
            await what()

    rondeau.run(main(wait))
    with pytest.raises(BlockingError):
        rondeau.run(main(cook))


def test_as_a_decorator_it_keeps_the_kind_and_the_signature():
    @no_blocking(THRESHOLD)
    async def cooks(pot, *, lid=True):
        await cook()

    @no_blocking(THRESHOLD)
    def runs(what):
        return rondeau.run(what())

    assert inspect.iscoroutinefunction(cooks)
    assert str(inspect.signature(cooks)) == "(pot, *, lid=True)"
    for _ in range(2):  # More than once.
        with pytest.raises(BlockingError):
            rondeau.run(cooks("pot"))
    with pytest.raises(BlockingError):
        runs(cook)
    runs(wait)


def test_a_test_that_fails_anyway_fails_with_its_own_exception():
    async def main():
        await cook()
        raise ValueError("burnt")

    with pytest.raises(ValueError, match="burnt") as caught:
        with no_blocking(THRESHOLD):
            rondeau.run(main())
    assert "in cook: time.sleep" in caught.value.__notes__[0]


def test_a_loop_that_it_cannot_see_is_refused():
    async def main():
        async with no_blocking():
            raise AssertionError("not reached")

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        with pytest.raises(RuntimeError, match="Rondeau's loops only"):
            runner.run(main())


def test_it_is_entered_once_at_a_time_and_again_afterwards():
    watching = no_blocking(THRESHOLD)
    with watching, pytest.raises(RuntimeError, match="entered already"):
        watching.__enter__()
    with watching:
        pass


def test_a_bad_threshold_fails_where_it_is_written():
    with pytest.raises(ValueError):
        no_blocking(0)


def test_the_error_crosses_processes():
    with pytest.raises(BlockingError) as caught:
        with no_blocking(THRESHOLD):
            rondeau.run(cook())
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)
    assert copy.blocks == caught.value.blocks
