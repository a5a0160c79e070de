"""Chains and circles of waits: what asyncio answers with RecursionError is never a signal."""

import asyncio
import subprocess
import sys
import textwrap

import pytest

CIRCLE = """
    import asyncio, logging, os, signal, sys, threading
    import rondeau
    logging.disable()
    names = {"asyncio": asyncio, "plain": asyncio, "native": rondeau}[sys.argv[1]]

    async def wait(other, shape):
        if shape == "task":
            await other
        elif shape == "gather":
            await names.gather(other)
        elif shape == "gathers":
            await names.gather(names.gather(other))
        elif shape == "wait":
            await names.wait([other])
        elif shape == "wait_for":
            await names.wait_for(other, 100)
        elif shape == "no limit":
            await names.wait_for(other, None)
        elif shape == "shield":
            await names.shield(other)
        elif shape == "timeout":
            async with names.timeout(100):
                await other

    async def two(shape):
        tasks = []
        async def one(number):
            await names.sleep(0)
            await wait(tasks[1 - number], shape)
        tasks += [asyncio.ensure_future(one(0)), asyncio.ensure_future(one(1))]
        await names.sleep(0.01)
        try:
            print("cancel:", tasks[0].cancel())
        except RecursionError:
            print("RecursionError")
        await names.sleep(0.01)
        print([task.done() for task in tasks])

    async def itself():
        loop = asyncio.get_running_loop()
        loop.call_later(0.01, asyncio.current_task().cancel)  # Its error is the handler's.
        threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGINT]).start()
        await names.gather(*asyncio.all_tasks())

    main = itself() if sys.argv[2] == "itself" else two(sys.argv[2])
    try:
        (asyncio if sys.argv[1] == "asyncio" else rondeau).run(main)
    except BaseException as error:
        print(type(error).__name__)
"""

CHAIN = """
    import asyncio, logging, sys
    import rondeau
    logging.disable()
    names = rondeau

    async def wait(other):
        await other

    async def main(shape):
        loop = asyncio.get_running_loop()
        last = loop.create_future()
        for _ in range(COUNT):
            if shape == "tasks":
                last = loop.create_task(wait(last))
            elif shape == "gathers":
                last = names.gather(last)
            elif shape == "shields":
                last = names.shield(last)
            elif shape == "waits":
                last = loop.create_task(names.wait([last]))
            elif shape == "groups":
                last = loop.create_task(grouped(last))
            elif shape == "results":
                outer = loop.create_future()
                last.set_result(None) if not last.done() else None
                outer.set_result(last)
                last = outer
            elif shape == "queues":
                queue = names.Queue()
                queue.put_nowait(last)
                last = queue
        for _ in range(3):
            await asyncio.sleep(0)
        if hasattr(last, "cancel"):
            try:
                print(last.cancel())
            except RecursionError:
                print("RecursionError")
        del last

    async def grouped(other):
        async with names.TaskGroup() as group:
            group.create_task(wait(other))

    COUNT = int(sys.argv[2])
    loop = rondeau.new_event_loop()
    try:
        loop.run_until_complete(main(sys.argv[1]))
    except RecursionError:
        print("RecursionError")
    print("survived", flush=True)
    import os
    os._exit(0)
"""


def child(program, *words):
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("how", ["plain", "native"])
@pytest.mark.parametrize("shape", ["itself", "task", "gather", "gathers", "wait", "wait_for", "no limit", "shield", "timeout"])
def test_a_circle_is_cancelled_as_in_asyncio(shape, how):
    assert child(CIRCLE, how, shape) == child(CIRCLE, "asyncio", shape)


@pytest.mark.parametrize("shape", ["tasks", "gathers", "shields", "waits", "groups", "results", "queues"])
def test_a_long_chain_ends_in_no_signal(shape):
    returncode, output = child(CHAIN, shape, "30000")
    assert (returncode, output.split()[-1:]) == (0, ["survived"])


def test_a_short_chain_is_cancelled_to_its_end(loop):
    async def wait(other):
        await other

    async def main():
        first = last = loop.create_future()
        for _ in range(200):
            last = loop.create_task(wait(last))
        for _ in range(3):
            await asyncio.sleep(0)
        assert last.cancel()
        await asyncio.wait([last])
        assert first.cancelled()
        assert last.cancelled()

    loop.run_until_complete(main())
