"""looptime: the loop's clock leaps to the next timer; by function, class, and plug-in for pytest with pytest-asyncio."""

import asyncio
import re
import subprocess
import sys
import time

import looptime
import pytest

import rondeau


@pytest.mark.filterwarnings("ignore:The executor did not")  # Its five minutes pass at once too.
@pytest.mark.parametrize("kind", ["function", "class"])
def test_hours_pass_at_once(kind):
    async def body():
        loop = asyncio.get_running_loop()
        if kind == "class":
            loop.__class__ = looptime.make_event_loop_class(type(loop))
            loop.setup_looptime(start=0)
        else:
            looptime.patch_event_loop(loop, start=0)
        began, seen = time.monotonic(), []
        loop.call_later(1800, lambda: seen.append(("half", loop.time())))
        await asyncio.gather(asyncio.sleep(3600), asyncio.sleep(60))
        seen.append(round(loop.time(), 3))
        try:
            async with asyncio.timeout(86400):
                await asyncio.Event().wait()
        except TimeoutError:
            seen.append(round(loop.time(), 3))
        seen.append(await asyncio.to_thread(lambda: "thread"))
        queue = asyncio.Queue()
        loop.call_later(10, queue.put_nowait, "late")
        seen.append(await asyncio.wait_for(queue.get(), 20))
        seen.append(time.monotonic() - began < 60)
        return seen

    # Not by `compare`, whose time-out is by the loop's clock.
    theirs, ours = (_run(factory, body) for factory in (asyncio.SelectorEventLoop, rondeau.new_event_loop))
    assert ours == theirs
    assert ours == [("half", 1800.0), 3600.0, 90000.0, "thread", "late", True]


def _run(factory, body):
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(body())


CONFTEST = """
import asyncio, rondeau

def pytest_asyncio_loop_factories(config, item):
    return {"asyncio": asyncio.SelectorEventLoop, "rondeau": rondeau.new_event_loop}
"""

SUITE = """
import asyncio
import pytest, rondeau

@pytest.mark.asyncio
@pytest.mark.looptime(start=100)
async def test_a_sleep_takes_no_time(request, looptime):
    assert isinstance(asyncio.get_running_loop(), rondeau.EventLoop) == ("rondeau" in request.node.name)
    await asyncio.sleep(1234)
    assert asyncio.get_running_loop().time() == 1334
    assert looptime == 1234 or looptime == 1334

@pytest.mark.asyncio
@pytest.mark.looptime(end=10)
async def test_the_end_of_time():
    await asyncio.sleep(20)

@pytest.mark.asyncio
async def test_without():
    await asyncio.sleep(0.01)
"""


def test_the_plug_in_has_the_same_results_on_both(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_suite.py").write_text(SUITE)
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", "--tb=short", "test_suite.py"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    results = re.findall(r"^(PASSED|FAILED|ERROR) test_suite\.py::(\w+)\[(\w+)\]", done.stdout, re.MULTILINE)
    by_loop = {}
    for verdict, name, loop in results:
        by_loop.setdefault(loop, {})[name] = verdict
    assert by_loop["rondeau"] == by_loop["asyncio"], done.stdout
    assert by_loop["asyncio"] == {
        "test_a_sleep_takes_no_time": "PASSED",
        "test_the_end_of_time": "FAILED",
        "test_without": "PASSED",
    }, done.stdout
