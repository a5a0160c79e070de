"""How deep native code goes: long chains that are cancelled, awaited, printed or freed. `test_deep_chains.py` has circles."""

import asyncio
import subprocess
import sys
import textwrap

import pytest

import rondeau

# A fault would end the process, and some are left with what is never done: each is a process of its own, and leaves it at once.
PROLOGUE = """
import asyncio, gc, os, sys
import rondeau
aio = {"asyncio": asyncio, "rondeau": rondeau}[sys.argv[1]]

def say(*what):
    print(*what, flush=True)

def outcome(call, *arguments):
    try:
        return call(*arguments)
    except RecursionError:
        return "RecursionError"

async def main():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: say("handler", type(context.get("exception")).__name__))
    turn = lambda: asyncio.sleep(0)
%s

async def whole():
    try:
        await main()
    except RecursionError:
        say("RecursionError")
    os._exit(0)

aio.run(whole())
"""


def lines(names, body):
    program = PROLOGUE % textwrap.indent(textwrap.dedent(body), "    ")
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", program, names], capture_output=True, text=True, timeout=50)
    assert (ran.returncode, ran.stderr) == (0, ""), (names, ran.stdout, ran.stderr)
    return ran.stdout.splitlines()


DEEP = {
    "tasks are cancelled from the outside": """
        task = loop.create_future()
        async def wait(inner):
            await inner
        for _ in range(20_000):
            task = loop.create_task(wait(task))
        await turn()
        await turn()
        say(outcome(task.cancel))
    """,
    "gathers are cancelled": """
        future = loop.create_future()
        for _ in range(20_000):
            future = aio.gather(future)
        say(outcome(future.cancel))
    """,
    "shields are cancelled": """
        future = loop.create_future()
        for _ in range(20_000):
            future = aio.shield(future)
        say(outcome(future.cancel))
    """,
    "wait_for without a time is awaited": """
        coroutine = turn()
        for _ in range(10_000):
            coroutine = aio.wait_for(coroutine, None)
        try:
            say(await coroutine)
        except RecursionError:
            say("RecursionError")
    """,
    "wait_for with a time is awaited": """
        coroutine = turn()
        for _ in range(10_000):
            coroutine = aio.wait_for(coroutine, 100)
        try:
            say(await coroutine)
        except RecursionError:
            say("RecursionError")
    """,
    "futures are printed": """
        future = loop.create_future()
        for _ in range(10_000):
            outer = loop.create_future()
            outer.set_result(future)
            future = outer
        say(len(repr(future)) < 1000)
    """,
    "a cycle of futures is collected": """
        first = future = loop.create_future()
        for _ in range(10_000):
            outer = loop.create_future()
            outer.set_result(future)
            future = outer
        first.set_result(future)
        del first, future, outer
        say(gc.collect() >= 10_000)
    """,
}


@pytest.mark.parametrize("what", DEEP)
def test_long_chains(what):
    if "wait_for" in what and sys.version_info < (3, 12):
        pytest.skip("asyncio's own, whose tasks are freed inside one another")
    # What is native has no Python frames, so where the stack itself is the limit (3.14+) it gets further.
    further = [["True"], ["None"]] if sys.version_info >= (3, 14) else []
    assert lines("rondeau", DEEP[what]) in [lines("asyncio", DEEP[what]), *further]


FREED = {
    "futures": """
        future = None
        for _ in range(300_000):
            outer = loop.create_future()
            outer.set_result(future)
            future = outer
        del outer
    """,
    "gathers": """
        future = loop.create_future()
        for _ in range(300_000):
            future = aio.gather(future)
    """,
    "shields": """
        future = loop.create_future()
        for _ in range(300_000):
            future = aio.shield(future)
    """,
    "coroutines": """
        future = turn()
        for _ in range(300_000):
            future = aio.wait_for(future, None)
    """,
    "sleeps": """
        future = None
        for _ in range(300_000):
            future = aio.sleep(0, future)
    """,
    "what a future calls": """
        future = loop.create_future()
        for _ in range(300_000):
            outer = loop.create_future()
            outer.add_done_callback(future.set_result)
            future = outer
        del outer
    """,
}


@pytest.mark.parametrize("what", FREED)
@pytest.mark.skipif(
    sys.version_info < (3, 12), reason="wait_for is asyncio's own, a chain of generators, which CPython frees in one another"
)
def test_long_chains_are_freed(what):
    """asyncio's own end by a signal here, up to 3.13."""
    assert lines("rondeau", FREED[what] + "\n        del future\n        say('freed')\n") == ["freed"]


def test_the_callbacks_of_natives_take_what_the_loop_would_give_them():
    """They are called by nobody but the loop; but a program that lists a future's callbacks has them in its hand."""

    async def main():
        loop = asyncio.get_running_loop()
        pending, done = loop.create_future(), loop.create_future()
        done.set_result(None)
        for make in (rondeau.gather, rondeau.shield, lambda future: rondeau.gather(future, done)):
            future = loop.create_future()
            outer = make(future)
            callbacks = [callback for callback, _ in future._callbacks]
            for callback in callbacks:
                for wrong in (outer, pending, future, None, 5, callback):
                    with pytest.raises((asyncio.InvalidStateError, TypeError)):
                        callback(wrong)
            for callback in callbacks:
                # An end that is not of the future it waits for: asyncio's reads what it was given, or finds it missing.
                try:
                    callback(done)
                except asyncio.InvalidStateError:
                    pass
            future.cancel()
            outer.cancel()
            await asyncio.gather(outer, return_exceptions=True)

    rondeau.run(main())
