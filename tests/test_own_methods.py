"""A program's own methods on a loop: of a subclass, or set on the object, as `unittest.mock` does. Above all a clock."""

import asyncio
from unittest import mock

import pytest

import rondeau
from conftest import ARMS

CLASSES = {"asyncio": asyncio.SelectorEventLoop, "rondeau": rondeau.EventLoop}


@pytest.fixture(params=CLASSES)
def kind(request):
    return CLASSES[request.param]


@pytest.fixture(params=["subclass", "attribute"])
def with_method(request, kind):
    """`with_method(name, function)`: a loop whose method `name` is `function(loop, *args)`."""
    made = []

    def with_method(name, function):
        if request.param == "subclass":
            loop = type("Own", (kind,), {name: function})()
        else:
            loop = kind()
            setattr(loop, name, function.__get__(loop))
        made.append(loop)
        return loop

    yield with_method
    for loop in made:
        loop.close()


def test_a_made_up_clock_decides_what_is_due(with_method):
    clock = [1000.0]
    loop = with_method("time", lambda loop: clock[0])
    seen = []

    async def turns():
        for _ in range(3):
            await asyncio.sleep(0)
        return seen.copy()

    async def main():
        first = loop.call_later(60, seen.append, "later")
        loop.call_at(1050, seen.append, "at")
        sleeping = asyncio.create_task(asyncio.sleep(70, "slept"))
        waiting = asyncio.create_task(asyncio.wait_for(asyncio.Event().wait(), 80))
        assert first.when() == 1060.0
        assert await turns() == []
        clock[0] = 1050.0
        assert await turns() == ["at"]
        clock[0] = 1059.0
        assert await turns() == ["at"]
        clock[0] = 1060.0
        assert await turns() == ["at", "later"]
        clock[0] = 1070.0
        assert await sleeping == "slept"
        clock[0] = 1080.0
        with pytest.raises(TimeoutError):
            await waiting

    loop.run_until_complete(main())


def test_a_clock_that_fails_ends_the_run(with_method):
    broken = []

    def time(loop):
        if broken:
            raise ValueError("the clock stands")
        return 0.0

    loop = with_method("time", time)
    loop.call_later(1, print)
    loop.call_soon(broken.append, True)
    with pytest.raises(ValueError, match="the clock stands"):
        loop.run_forever()
    broken.clear()
    loop.call_soon(loop.stop)
    loop.run_forever()


def test_futures_and_tasks_go_through_call_soon(with_method, kind):
    seen = []

    def call_soon(loop, callback, *args, context=None):
        seen.append(callback)
        return kind.call_soon(loop, callback, *args, context=context)

    loop = with_method("call_soon", call_soon)

    async def main():
        future = loop.create_future()
        seen.clear()
        future.add_done_callback(done.append)
        future.set_result("soup")
        assert seen == [done.append]
        await asyncio.sleep(0)
        assert done == [future]

    done = []
    loop.run_until_complete(main())
    seen.clear()
    done.clear()


def test_tasks_are_made_by_create_task(with_method, kind):
    made = []

    def create_task(loop, coro, **options):
        made.append(coro.__name__)
        return kind.create_task(loop, coro, **options)

    loop = with_method("create_task", create_task)

    async def soup():
        return "soup"

    async def main():
        return await asyncio.gather(soup(), asyncio.create_task(soup())), await asyncio.wait_for(soup(), 10)

    assert loop.run_until_complete(main()) == (["soup", "soup"], "soup")
    assert made[:3] == ["main", "soup", "soup"]


@pytest.mark.parametrize("factory", ARMS.values(), ids=ARMS)
def test_what_is_taken_away_is_asked_no_longer(factory):
    loop = factory()

    async def main():
        with mock.patch.object(loop, "time", return_value=0.0) as time:
            loop.call_later(0, print)
            asked = time.call_count
            assert asked
        handle = loop.call_later(10, print)
        handle.cancel()
        assert time.call_count == asked
        assert handle.when() > 10
        await asyncio.sleep(0.001)

    loop.run_until_complete(main())
    loop.close()
