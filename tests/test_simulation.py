"""`rondeau.simulation`: time, order and chance follow from a seed."""

import asyncio
import contextvars
import datetime
import gc
import importlib.metadata
import os
import random
import secrets
import subprocess
import sys
import textwrap
import time
import uuid
from datetime import datetime as imported
from time import monotonic as imported_monotonic

import pytest

import rondeau
from rondeau import simulation

HOUR = 3600


def both_names(test):
    return pytest.mark.parametrize("names", [asyncio, rondeau], ids=["asyncio's names", "rondeau's names"])(test)


# The same seed


async def everything(world, names):
    """A program with something of each kind that a seed decides."""
    queue, lock, seen = names.Queue(2), names.Lock(), []

    async def producer(number):
        for item in range(5):
            await names.sleep(random.random())
            await queue.put((number, item))

    async def consumer(name):
        while True:
            item = await queue.get()
            async with lock:
                await names.sleep(0)
                seen.append((name, item))
            queue.task_done()

    consumers = [names.create_task(consumer(name)) for name in "abc"]
    async with names.TaskGroup() as group:
        for number in range(3):
            group.create_task(producer(number))
    await queue.join()
    for task in consumers:
        task.cancel()
    await names.gather(*consumers, return_exceptions=True)
    seen.append(await names.to_thread(time.time))
    seen += [str(uuid.uuid4()), str(uuid.uuid1()), secrets.token_hex(3), os.urandom(2), world.random.random()]
    seen += [imported.now().isoformat(), datetime.date.today().isoformat(), imported_monotonic(), world.time]
    return seen


@both_names
@pytest.mark.parametrize("order", ["random", "pct", "fifo"])
def test_the_same_seed_is_the_same_run(names, order):
    async def main(world):
        return await everything(world, names)

    runs = [simulation.run(main, seed=seed, order=order) for seed in (7, 8, 7)]
    assert runs[0] == runs[2]
    assert runs[0].events
    assert runs[0].digest == runs[2].digest != runs[1].digest
    again = simulation.run(main, seed=7, order=order, decisions=runs[0].decisions)
    assert (again.events, again.decisions) == (runs[0].events, runs[0].decisions)


PROGRAM = """
import sys
sys.path[:0] = [{tests!r}]
import asyncio, rondeau, test_simulation
from rondeau import simulation

async def main(world):
    return await test_simulation.everything(world, rondeau)

for seed in range(20):
    result = simulation.run(main, seed=seed, order=("random", "pct")[seed % 2])
    print(seed, result.digest, result.value)
"""


def test_the_same_seeds_in_fresh_processes_are_the_same_runs():
    program = PROGRAM.format(tests=os.path.dirname(__file__))
    answers = []
    for driver, hashing in (("epoll", "1"), ("", "2")):
        environment = {**os.environ, "PYTHONHASHSEED": hashing}
        environment.pop("RONDEAU_DRIVER", None)
        if driver:
            environment["RONDEAU_DRIVER"] = driver
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        answers.append(done.stdout)
    assert answers[0] == answers[1]
    assert answers[0].count("\n") == 20


def test_a_program_without_a_world():
    async def main():
        await asyncio.sleep(HOUR)
        return asyncio.get_running_loop().time()

    result = simulation.run(main)
    assert (result.time, result.error) == (HOUR, None)


def test_the_machine_is_itself_again_afterwards():
    functions = (time.time, time.monotonic, time.sleep, datetime.datetime, datetime.date, os.urandom, imported)
    state = random.getstate()

    async def main():
        assert time.time is not functions[0]
        raise LookupError("soup")

    with pytest.raises(LookupError):
        simulation.run(main)
    assert (time.time, time.monotonic, time.sleep, datetime.datetime, datetime.date, os.urandom, imported) == functions
    assert random.getstate() == state
    assert gc.isenabled()
    assert abs(datetime.datetime.now().timestamp() - time.time()) < HOUR


def test_the_clocks_agree():
    async def main(world):
        loop = asyncio.get_running_loop()
        before = time.time(), time.monotonic(), time.perf_counter(), time.time_ns(), time.monotonic_ns(), loop.time()
        assert datetime.datetime.fromtimestamp(before[0], datetime.UTC).isoformat() == "2026-01-01T00:00:00+00:00"
        await asyncio.sleep(90.5)
        after = time.time(), time.monotonic(), time.perf_counter(), time.time_ns(), time.monotonic_ns(), loop.time()
        assert [there - here for here, there in zip(before, after, strict=True)] == pytest.approx(
            [90.5, 90.5, 90.5, 90.5e9, 90.5e9, 90.5]
        )
        assert datetime.datetime.now(datetime.UTC) - datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC) == datetime.timedelta(
            seconds=90.5
        )
        assert datetime.date.today() == datetime.datetime.now().date()
        assert isinstance(datetime.datetime(2020, 1, 1), datetime.datetime)
        assert isinstance(imported.now(), imported)
        assert world.time == 90.5

    simulation.run(main)


# Order


def orders(order, tasks=3, seeds=300):
    async def main():
        came = []

        async def worker(number):
            await asyncio.sleep(0)
            came.append(number)

        await asyncio.gather(*(worker(number) for number in range(tasks)))
        return tuple(came)

    return {simulation.run(main, seed=seed, order=order, events=False).value for seed in range(seeds)}


def test_each_order_of_the_ready_comes():
    assert orders("fifo") == {(0, 1, 2)}
    assert len(orders("random")) == 6
    assert len(orders("pct")) == 6


def test_callbacks_keep_the_order_that_asyncio_promises():
    async def main():
        loop = asyncio.get_running_loop()
        came = []
        for number in range(20):
            loop.call_soon(came.append, number)
            asyncio.ensure_future(asyncio.sleep(0))
        await asyncio.sleep(1)
        return came

    for seed in range(50):
        assert simulation.run(main, seed=seed).value == list(range(20))


def test_timers_of_one_moment_have_no_order_and_others_have():
    async def main():
        loop = asyncio.get_running_loop()
        came = []
        for number in range(3):
            loop.call_at(2000, came.append, number)
        loop.call_at(1999.999, came.append, "first")
        await asyncio.sleep(2000)
        return tuple(came)

    found = {simulation.run(main, seed=seed).value for seed in range(200)}
    assert len(found) == 6
    assert {came[0] for came in found} == {"first"}


def test_a_context_and_the_current_task_are_each_tasks_own():
    variable = contextvars.ContextVar("variable")

    async def main():
        async def worker(number):
            variable.set(number)
            for _ in range(5):
                await asyncio.sleep(0)
                assert variable.get() == number
                assert asyncio.current_task().get_name() == f"worker {number}"

        async with asyncio.TaskGroup() as group:
            for number in range(5):
                group.create_task(worker(number), name=f"worker {number}")

    for seed in range(50):
        simulation.run(main, seed=seed)


# Threads


def test_jobs_run_one_at_a_time_and_their_sleep_is_virtual():
    async def main(world):
        def job(number):
            before = time.monotonic()
            time.sleep(HOUR)
            assert time.monotonic() - before == HOUR
            return number

        assert await asyncio.gather(*(asyncio.to_thread(job, number) for number in range(5))) == list(range(5))
        assert HOUR <= world.time < HOUR + 1
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 / 0)

    simulation.run(main, seed=3)


def test_a_task_must_not_block():
    async def main():
        time.sleep(0.5)

    with pytest.raises(simulation.BlockingError, match=r"time.sleep\(0.5\) would block the loop: await asyncio.sleep\(0.5\)"):
        simulation.run(main)


# Failures


def test_a_failure_tells_its_seed():
    async def main():
        await asyncio.sleep(5)
        raise LookupError("no soup")

    with pytest.raises(LookupError) as caught:
        simulation.run(main, seed=7)
    assert "in the simulation with seed=7, after" in caught.value.__notes__[0]
    assert caught.value.simulation.time == 5


def test_what_nobody_handles_fails_the_run():
    async def forgotten():
        raise LookupError("nobody looks")

    async def main():
        task = asyncio.ensure_future(forgotten())
        await asyncio.sleep(1)
        del task

    with pytest.raises(LookupError) as caught:
        simulation.run(main)
    assert any("never retrieved" in note for note in caught.value.__notes__)


def test_what_waits_for_ever_fails_the_run():
    async def main():
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.Event().wait(), name="the guest")

    with pytest.raises(simulation.StuckError, match="- the guest in wait"):
        simulation.run(main)


def test_a_run_is_not_endless():
    async def main():
        while True:
            await asyncio.sleep(0)

    with pytest.raises(simulation.TooLongError, match="has taken 1,000 steps"):
        simulation.run(main, most_steps=1000)
    with pytest.raises(simulation.TooLongError):
        simulation.run(main, most_steps=1000, events=False)


def test_an_interrupt_is_no_failure_of_the_program():
    async def main():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulation.explore(main)


# Exploring


def bank(names):
    """Two transfers that both read before either writes."""

    async def main(world):
        account = {"sum": 0}

        async def transfer():
            await names.sleep(world.delay(0, 1))
            before = account["sum"]
            await names.sleep(world.delay(0, 0.1))
            account["sum"] = before + 1

        noise = [names.create_task(names.sleep(world.delay(0, 1))) for _ in range(20)]
        await names.gather(transfer(), transfer(), *noise)
        assert account["sum"] == 2, account

    return main


@both_names
def test_a_race_is_found_and_made_plain(names):
    report = simulation.explore(bank(names), seeds=range(200))
    assert not report
    failure = report.failure
    assert isinstance(failure.error, AssertionError)
    assert sum(map(bool, failure.result.decisions)) <= 1  # All that is needed is that the second begins in time.
    with pytest.raises(AssertionError):
        simulation.run(bank(names), seed=failure.seed, order=failure.order)
    with pytest.raises(AssertionError):
        simulation.run(bank(names), decisions=failure.result.decisions, order=failure.order)
    with pytest.raises(AssertionError) as caught:
        report.check()
    assert f"repeat it: simulation.run(main, seed={failure.seed}, order={failure.order!r})" in caught.value.__notes__[-1]
    assert "the last events of the plainest run" in str(report)


def test_several_processes_find_the_same_seed():
    one = simulation.explore(bank(asyncio), seeds=range(200), shrinks=0)
    two = simulation.explore(bank(asyncio), seeds=range(200), shrinks=0, jobs=2)
    assert (one.runs, one.failure.seed) == (two.runs, two.failure.seed)


def test_what_never_fails():
    async def main():
        await asyncio.sleep(1)

    report = simulation.explore(main, seeds=range(20), jobs=2)
    assert report
    assert str(report) == "20 runs, none failed"
    report.check()


def test_priorities_find_what_needs_an_unlikely_order():
    """A fault that shows only if one task falls behind for the whole of another's life."""

    async def main():
        steps = []

        async def slow():
            await asyncio.sleep(0)
            steps.append("slow")

        async def long():
            for _ in range(40):
                await asyncio.sleep(0)
            steps.append("long")

        await asyncio.gather(slow(), long())
        assert steps == ["slow", "long"]

    assert simulation.explore(main, seeds=range(200), order="random")
    assert not simulation.explore(main, seeds=range(200), order="pct")


def test_what_the_seed_does_not_decide_is_told():
    runs = []

    async def main():
        runs.append(None)
        assert len(runs) != 3

    with pytest.raises(RuntimeError, match="and did not when it was run again"):
        simulation.explore(main, seeds=range(5))


# A world


def test_a_worlds_choices():
    async def main(world):
        world.note("soup")
        assert 2 <= world.delay(2, 3) <= 3
        assert world.choice("abc") in "abc"
        assert not world.chance(0)
        assert world.chance(1)
        numbers = [world.random.random() for _ in range(100)]
        assert all(0 <= number < 1 for number in numbers)
        assert len(set(numbers)) == 100
        assert 0 <= world.random.getrandbits(70) < 2**70
        assert sorted(world.random.sample(range(50), 50)) == list(range(50))
        return sum(world.chance(0.25) for _ in range(4000))

    result = simulation.run(main, seed=4)
    assert 900 < result.value < 1100
    assert any(event.endswith(" note soup") for event in result.events)

    async def bad(world):
        for call, error in (
            (lambda: world.chance(2), ValueError),
            (lambda: world.choice([]), IndexError),
            (lambda: world.delay(2, 1), ValueError),
        ):
            with pytest.raises(error):
                call()

    simulation.run(bad)


def test_a_tape_of_zeros_is_the_plainest_world():
    async def main(world):
        return world.delay(2, 3), world.choice("abc"), world.chance(0.99), world.random.random()

    assert simulation.run(main, decisions=[]).value == (2, "a", False, 0.0)


def test_what_is_refused():
    async def main():
        with pytest.raises(RuntimeError, match="cannot be run from a running event loop"):
            simulation.run(main)

    rondeau.run(main())
    with pytest.raises(ValueError, match="order is one of 'fifo', 'random', 'pct', and not 'best'"):
        simulation.run(main, order="best")
    with pytest.raises(ValueError, match="jobs is a number of processes"):
        simulation.explore(main, jobs=0)


def test_nothing_is_left_behind():
    async def main():
        async def forever():
            await asyncio.Event().wait()

        async def generator():
            try:
                yield 1
            finally:
                await asyncio.sleep(1)

        async for _ in generator():
            break
        asyncio.ensure_future(forever())
        await asyncio.sleep(1)

    before = len(os.listdir("/proc/self/fd"))
    for seed in range(20):
        simulation.run(main, seed=seed)
    assert len(os.listdir("/proc/self/fd")) == before


# pytest

TESTS = """
import asyncio
import pytest

@pytest.fixture
def account():
    return {"sum": 0}

@pytest.mark.simulation(seeds=50)
async def test_well(world, account):
    await asyncio.sleep(3600)
    assert world.time == 3600

@pytest.mark.simulation
async def test_race(world):
    came = []
    async def one(number):
        await asyncio.sleep(0)
        came.append(number)
    await asyncio.gather(one(1), one(2))
    assert came == [1, 2]

class TestThese:
    @pytest.mark.simulation(seeds=range(3), order="fifo")
    @pytest.mark.parametrize("seconds", [1, 2])
    async def test_method(self, seconds):
        await asyncio.sleep(seconds)

def test_plain(world):
    pass
"""


def test_the_plugin(tmp_path):
    (tmp_path / "test_it.py").write_text(textwrap.dedent(TESTS))

    installed = any(point.value == "rondeau.pytest_plugin" for point in importlib.metadata.entry_points(group="pytest11"))
    by_hand = () if installed else ("-p", "rondeau.pytest_plugin")

    def pytest_run(*options):
        command = [sys.executable, "-m", "pytest", *by_hand, "-p", "no:cacheprovider", "--strict-markers", "-q", *options]
        return subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, timeout=100, check=False, cwd=tmp_path)

    done = pytest_run()
    assert "1 failed, 3 passed, 1 error" in done.stdout, done.stdout + done.stderr
    assert "asks for `world` and is not marked with @pytest.mark.simulation" in done.stdout
    seed = int(done.stdout.partition("repeat it: simulation.run(main, seed=")[2].partition(",")[0])
    again = pytest_run("-k", "race", f"--simulation-seed={seed}")
    assert "1 failed" in again.stdout, again.stdout
    assert f"seed={seed}, order=" in again.stdout
    assert "1 passed" in pytest_run("-k", "well", "--simulation-seeds=3").stdout
