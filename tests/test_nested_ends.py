"""How a run within a run ends: cancellation, exceptions, `stop()`, Ctrl-C; and how it looks from outside at each depth."""

import asyncio
import subprocess
import sys

import pytest

import rondeau
from inspected import by_name, look, program
from recorded import lanes, story


@pytest.fixture(params=["asyncio's names", "rondeau's names"])
def aio(request):
    return {"asyncio's names": asyncio, "rondeau's names": rondeau}[request.param]


@pytest.fixture
def nested(aio):
    """Runs a coroutine on a loop that may run within itself."""
    return lambda main, **options: rondeau.run(main, nested=True, **options)


def here(main):
    return asyncio.get_running_loop().run_until_complete(main)


async def fail():
    await asyncio.sleep(0)
    raise ValueError("burnt")


def test_a_cancelled_caller_cancels_what_it_runs(nested, aio):
    async def sleeper(seen):
        try:
            await aio.sleep(1000)
        except asyncio.CancelledError as error:
            seen.append(("inner", error.args))
            raise

    async def caller(seen, depth):
        try:
            here(caller(seen, depth - 1) if depth else sleeper(seen))
        except asyncio.CancelledError as error:
            seen.append((depth, error.args))
            raise

    async def grouped(seen):
        async with aio.TaskGroup() as group:
            group.create_task(caller(seen, 1))
            group.create_task(fail())

    async def main():
        seen = []
        task = asyncio.create_task(caller(seen, 2))
        asyncio.get_running_loop().call_later(0.01, task.cancel, "enough")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [who for who, _ in seen] == ["inner", 0, 1, 2]
        assert task.cancelled()
        assert task.cancelling() == 1
        with pytest.raises(TimeoutError):
            async with aio.timeout(0.01):
                here(aio.sleep(1000))
        with pytest.raises(ExceptionGroup):
            await grouped(seen)
        # Asked for before it came there, as before an await.
        asyncio.current_task().cancel()
        with pytest.raises(asyncio.CancelledError):
            here(aio.sleep(1000))
        asyncio.current_task().uncancel()
        await aio.sleep(0)

    nested(main())


def test_a_cancellation_that_the_inner_one_swallows_is_no_more(nested):
    async def stubborn():
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            return "swallowed"

    async def main():
        me = asyncio.current_task()
        asyncio.get_running_loop().call_later(0.01, me.cancel)
        assert here(stubborn()) == "swallowed"
        await asyncio.sleep(0.001)

    nested(main())


def test_exceptions_come_through_each_depth(nested):
    async def through(depth):
        try:
            return here(through(depth - 1) if depth else fail())
        except ValueError as error:
            error.add_note(str(depth))
            raise

    async def main():
        with pytest.raises(ValueError, match="burnt") as error:
            here(through(3))
        assert error.value.__notes__ == ["0", "1", "2", "3"]

    nested(main())


@pytest.mark.parametrize("what", [KeyboardInterrupt, SystemExit])
def test_what_leaves_the_loop_leaves_all_depths(nested, what):
    async def stop():
        raise what("now")

    async def main():
        here(stop())

    with pytest.raises(what):
        nested(main())


def test_stop_ends_the_innermost_run():
    async def main():
        loop, seen = asyncio.get_running_loop(), []
        loop.call_soon(lambda: (seen.append("stop"), loop.stop()))
        loop.run_forever()
        assert seen == ["stop"]
        assert loop.is_running()
        loop.call_soon(loop.stop)
        with pytest.raises(RuntimeError, match=r"Event loop stopped before Future completed\."):
            here(never := loop.create_future())
        never.cancel()
        loop.stop()
        assert here(asyncio.sleep(0.001, "inner")) == "inner"  # It was said to this depth, which goes on to its turn's end.
        await asyncio.sleep(0)
        return "never"

    loop = rondeau.new_event_loop()
    loop.nested = True
    task = loop.create_task(main())
    with pytest.raises(RuntimeError, match=r"Event loop stopped before Future completed\."):
        loop.run_until_complete(task)
    assert loop.run_until_complete(task) == "never"
    loop.close()


def test_an_outer_run_whose_future_is_done_ends_after_the_inner_one(nested):
    async def main():
        loop = asyncio.get_running_loop()
        inner = loop.create_task(asyncio.sleep(0.02, "inner"))

        def enter():
            seen.append(loop.run_until_complete(inner))

        loop.call_soon(enter)
        await asyncio.sleep(0.001)  # Done long before that.
        seen.append("main")
        return "main's"

    seen = []
    assert nested(main()) == "main's"
    assert seen == ["main", "inner"]


def test_the_recorder_tells_of_each_depth(nested):
    async def inner():
        await asyncio.sleep(0.001)

    async def main():
        task = asyncio.current_task()
        task.set_name("caller")
        here(asyncio.get_running_loop().create_task(inner(), name="inner"))

    with rondeau.record() as record:
        nested(main())
    recording = record.recording()
    lanes(recording)
    assert story(recording, "caller") == ["CREATED", "READY", "RUN", ("task", "await"), "READY", "RUN", "DONE"]
    assert [what for what in story(recording, "inner") if isinstance(what, str)] == [
        "CREATED",
        "READY",
        "RUN",
        "READY",
        "RUN",
        "DONE",
    ]


def test_ps_shows_who_waits_within_whom(aio):
    body = """
        def call():
            loop = asyncio.get_running_loop()
            loop.run_until_complete(loop.create_task(inner(), name="inner"))

        async def inner():
            ready()
            await aio.sleep(1000)

        rondeau.nest()
        asyncio.current_task().set_name("caller")
        call()
    """
    with program(body, "asyncio" if aio is asyncio else "rondeau") as child:
        snapshot = look(child)
        tasks = by_name(snapshot)
        assert tasks["caller"].wait.tasks == [tasks["inner"].address]
        assert tasks["inner"].wait.kind == "timer"
        assert [place.function for place in snapshot.stack(tasks["caller"])] == ["main"]


CTRL_C = """
import asyncio, os, signal, threading, time
import rondeau

async def sleeper(depth):
    try:
        if depth:
            return asyncio.run(sleeper(depth - 1))
        asyncio.get_running_loop().call_later(0.01, os.kill, os.getpid(), signal.SIGINT)
        await asyncio.sleep(1000)
    except asyncio.CancelledError:
        print("cancelled at", depth, flush=True)
        raise

async def stubborn():
    try:
        asyncio.run(forever())
    finally:
        print("left", flush=True)

async def forever():
    loop = asyncio.get_running_loop()
    loop.call_later(0.01, os.kill, os.getpid(), signal.SIGINT)
    try:
        await asyncio.sleep(1000)
    except asyncio.CancelledError:
        print("not yet", flush=True)
        loop.call_later(0.01, os.kill, os.getpid(), signal.SIGINT)
        await asyncio.sleep(1000)

try:
    rondeau.run({main}, nested=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize(
    ("main", "said"),
    [
        ("sleeper(2)", ["cancelled at 0", "cancelled at 1", "cancelled at 2", "interrupted"]),
        ("stubborn()", ["not yet", "left", "interrupted"]),  # The second Ctrl-C ends all depths at once.
    ],
)
def test_ctrl_c_at_depth_is_the_main_tasks_cancellation(main, said):
    done = subprocess.run([sys.executable, "-c", CTRL_C.replace("{main}", main)], capture_output=True, text=True, timeout=60)
    assert (done.stdout.splitlines(), done.returncode) == (said, 0), done.stderr
