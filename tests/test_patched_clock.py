"""`time.monotonic` is the loop's clock: a program that puts another in its place moves the loop's timers, as in asyncio."""

# ruff: noqa: PT008  # A clock is a function.

import asyncio
import time
from unittest import mock

import pytest

import rondeau

HOUR = 3600


@pytest.fixture(params=["asyncio", "plain", "native"])
def names(request):
    return rondeau if request.param == "native" else asyncio


@pytest.fixture
def run_names(run, names, loop_factory):
    if names is rondeau and loop_factory is asyncio.SelectorEventLoop:
        pytest.skip("the native names on asyncio's loop ask asyncio's clock")
    return run


def test_the_loops_time_is_the_patched_clocks(run_names, names):
    async def main():
        loop = asyncio.get_running_loop()
        now = [1000.0]
        fired = []
        with mock.patch("time.monotonic", lambda: now[0]):
            assert loop.time() == 1000.0
            handle = loop.call_later(HOUR, fired.append, "an hour later")
            assert handle.when() == 1000.0 + HOUR
            sleeper = asyncio.ensure_future(names.sleep(HOUR, "slept"))
            limited = asyncio.ensure_future(names.wait_for(asyncio.Event().wait(), HOUR))

            async def timed():
                async with names.timeout(HOUR):
                    await asyncio.Event().wait()

            timed_out = asyncio.ensure_future(timed())
            for _ in range(3):
                await asyncio.sleep(0)
            assert (fired, sleeper.done(), limited.done(), timed_out.done()) == ([], False, False, False)
            now[0] += HOUR + 100
            for _ in range(10):
                await asyncio.sleep(0)
            assert fired == ["an hour later"]
            assert sleeper.result() == "slept"
            for task in (limited, timed_out):
                assert isinstance(task.exception(), TimeoutError)
        assert abs(loop.time() - time.monotonic()) < HOUR

    run_names(main())


def test_it_is_the_machines_again_afterwards(run_names, names):
    async def main():
        loop = asyncio.get_running_loop()
        for _ in range(3):
            with mock.patch("time.monotonic", lambda: 5.0):
                assert loop.time() == 5.0
            before = time.monotonic()
            assert before <= loop.time() <= time.monotonic()
            await names.sleep(0.001)

    run_names(main())


def test_a_clock_that_was_there_before_the_loop(run_names, names):
    async def main():
        assert asyncio.get_running_loop().time() == 7.0

    with mock.patch("time.monotonic", lambda: 7.0):
        run_names(main())


def test_a_clock_that_fails_fails_who_asks(run, names):
    async def main():
        with mock.patch("time.monotonic", side_effect=ZeroDivisionError):
            with pytest.raises(ZeroDivisionError):
                asyncio.get_running_loop().time()
            with pytest.raises(ZeroDivisionError):
                asyncio.get_running_loop().call_later(1, print)

    run(main())


def test_another_attribute_of_the_module_is_no_clock(run):
    async def main():
        with mock.patch("time.time", lambda: 5.0), mock.patch("time.perf_counter", lambda: 5.0):
            before = time.monotonic()
            assert before <= asyncio.get_running_loop().time() <= time.monotonic()

    run(main())
