"""The front doors: rondeau.run, Runner, new_event_loop, the policy where there is one, and asyncio's own doors."""

import asyncio
import contextvars
import subprocess
import sys
import warnings

import pytest

import rondeau

V = contextvars.ContextVar("V", default="outside")


async def where(result="done"):
    await asyncio.sleep(0)
    return type(asyncio.get_running_loop()), result


def test_run():
    assert rondeau.run(where()) == (rondeau.EventLoop, "done")


def test_run_raises_what_main_raises():
    async def fail():
        raise ValueError("burnt")

    with pytest.raises(ValueError, match="burnt"):
        rondeau.run(fail())


@pytest.mark.parametrize("debug", [True, False])
def test_run_in_debug_mode(debug):
    async def main():
        return asyncio.get_running_loop().get_debug()

    assert rondeau.run(main(), debug=debug) is debug


def test_run_with_another_factory():
    assert rondeau.run(where(), loop_factory=asyncio.SelectorEventLoop)[0] is asyncio.SelectorEventLoop


def test_run_takes_coroutines_only():
    with pytest.raises((TypeError, ValueError), match="a coroutine was expected|coroutine"):
        rondeau.run("soup")


def test_run_within_a_running_loop():
    async def main():
        coroutine = where()
        try:
            with pytest.raises(RuntimeError, match=r"rondeau.run\(\) cannot be called from a running event loop"):
                rondeau.run(coroutine)
        finally:
            coroutine.close()

    rondeau.run(main())


def test_run_cancels_what_is_left():
    ended = []

    async def background():
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(True)

    async def main():
        task = asyncio.create_task(background())
        await asyncio.sleep(0)
        return task

    assert rondeau.run(main()).cancelled()
    assert ended == [True]


def test_runner_keeps_its_loop_and_context():
    async def set_it():
        V.set("inside")
        return asyncio.get_running_loop()

    async def get_it():
        return V.get(), asyncio.get_running_loop()

    with rondeau.Runner() as runner:
        assert isinstance(runner, asyncio.Runner)
        assert isinstance(runner.get_loop(), rondeau.EventLoop)
        loop = runner.run(set_it())
        assert runner.run(get_it()) == ("inside", loop)
    assert loop.is_closed()
    assert V.get() == "outside"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio.run takes a loop_factory since 3.12")
def test_asyncio_run_with_our_factory():
    assert asyncio.run(where(), loop_factory=rondeau.new_event_loop)[0] is rondeau.EventLoop


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="policies are deprecated since 3.14")
def test_policy():
    asyncio.set_event_loop_policy(rondeau.EventLoopPolicy())
    try:
        assert asyncio.run(where())[0] is rondeau.EventLoop
        loop = asyncio.new_event_loop()
        assert type(loop) is rondeau.EventLoop
        loop.close()
    finally:
        asyncio.set_event_loop_policy(None)


@pytest.mark.skipif(sys.version_info < (3, 14) or sys.version_info >= (3, 16), reason="only while they are deprecated")
def test_deprecated_policy_is_there_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        policy = rondeau.EventLoopPolicy()
        loop = policy.new_event_loop()
    assert type(loop) is rondeau.EventLoop
    loop.close()


def test_importing_warns_of_nothing():
    code = "import rondeau; rondeau.run; rondeau.EventLoop; rondeau.EventLoopPolicy; rondeau.__version__"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_names():
    assert rondeau.__version__.split(".")[0].isdigit()
    with pytest.raises(AttributeError, match="module 'rondeau' has no attribute 'soup'"):
        _ = rondeau.soup
    assert {"run", "Runner", "new_event_loop", "EventLoop"} <= set(rondeau.__all__)
    # Nothing of asyncio is changed by the import.
    assert asyncio.new_event_loop.__module__ in {"asyncio.events", "_asyncio"}
