"""Who awaits whom, in which function (3.14+): what `capture_call_graph` and `python -m asyncio ps` see through native names."""

import asyncio
import ctypes
import os
import socket
import subprocess
import sys

import pytest

import rondeau
from rondeau import _core

pytestmark = pytest.mark.skipif(sys.version_info < (3, 14), reason="the call graph came with 3.14")


def graph_of(future):
    """Names, functions and awaiters. A native coroutine has no frame, so of asyncio's own functions nothing is noted."""

    def walk(graph):
        name = graph.future.get_name() if isinstance(graph.future, asyncio.Task) else "future"
        functions = [entry.frame.f_code.co_name for entry in graph.call_stack if entry.frame.f_code.co_filename == __file__]
        return [name, functions, sorted(walk(parent) for parent in graph.awaited_by)]

    return walk(asyncio.capture_call_graph(future))


async def turns(aio, count=4):
    for _ in range(count):
        await aio.sleep(0)


async def work(aio, gate):
    await inner(aio, gate)


async def inner(aio, gate):
    await gate.wait()


async def by_gather(aio, tasks):
    await aio.gather(*tasks)


async def by_wait(aio, tasks):
    await aio.wait(tasks)


async def by_wait_for(aio, tasks):
    await aio.wait_for(tasks[0], 3600)


async def by_shield(aio, tasks):
    await aio.shield(tasks[0])


async def by_shield_and_wait_for(aio, tasks):
    await aio.wait_for(aio.shield(tasks[0]), 3600)


async def by_gather_of_gathers(aio, tasks):
    await aio.gather(aio.gather(*tasks), aio.sleep(0))


async def by_timeout(aio, tasks):
    async with aio.timeout(3600):
        await tasks[0]


async def by_as_completed(aio, tasks):
    for earliest in aio.as_completed(tasks):
        await earliest


async def by_as_completed_async(aio, tasks):
    async for earliest in aio.as_completed(tasks):
        await earliest


async def by_group(aio, tasks):
    async with aio.TaskGroup() as group:
        for task in tasks:
            group.create_task(by_shield(aio, [task]), name=f"in group {task.get_name()}")


WAYS = [
    by_gather,
    by_wait,
    by_wait_for,
    by_shield,
    by_shield_and_wait_for,
    by_gather_of_gathers,
    by_timeout,
    by_as_completed,
    by_as_completed_async,
    by_group,
]


@pytest.mark.parametrize("way", WAYS)
def test_who_awaits_a_task_is_as_in_asyncio_and_nobody_does_afterwards(compare_native, way):
    async def body(note, aio):
        aio.current_task().set_name("main")
        gate = aio.Event()
        tasks = [aio.create_task(work(aio, gate), name=f"work {n}") for n in range(2)]
        waiter = aio.create_task(way(aio, tasks), name="waiter")
        await turns(aio)
        for task in [*tasks, waiter]:
            note(graph_of(task))
        gate.set()
        await waiter
        await aio.wait(tasks)
        note([graph_of(task) for task in tasks])

    noted = compare_native(body)
    assert any("waiter" in str(graph) for graph in noted[:2])


@pytest.mark.parametrize("way", WAYS)
def test_a_waiter_that_is_cancelled_awaits_nobody(compare_native, way):
    async def body(note, aio):
        aio.current_task().set_name("main")
        gate = aio.Event()
        tasks = [aio.create_task(work(aio, gate), name=f"work {n}") for n in range(2)]
        waiter = aio.create_task(way(aio, tasks), name="waiter")
        await turns(aio)
        waiter.cancel()
        await aio.wait([waiter])
        note([graph_of(task) for task in tasks])
        gate.set()
        await aio.wait(tasks)

    compare_native(body)


def test_a_gather_that_failed_awaits_none_of_the_others(compare_native):
    async def fail():
        raise ValueError

    async def body(note, aio):
        gate = aio.Event()
        task = aio.create_task(work(aio, gate), name="work")
        with pytest.raises(ValueError):
            await aio.gather(task, fail())
        note(graph_of(task))
        gate.set()
        await task

    compare_native(body)


def test_what_a_native_coroutine_drives_is_seen_through_it(compare_native):
    async def body(note, aio):
        gate = aio.Event()

        async def limited():
            await aio.wait_for(aio.wait_for(work(aio, gate), 3600), 3600)

        tasks = [
            aio.create_task(limited(), name="limited"),
            aio.create_task(aio.wait_for(work(aio, gate), 3600), name="own"),
        ]
        await turns(aio)
        for task in tasks:
            note(graph_of(task))
        gate.set()
        await aio.gather(*tasks)
        for task in tasks:
            note(graph_of(task))

    noted = compare_native(body)
    assert noted[:2] == [["limited", ["inner", "work", "limited"], []], ["own", ["inner", "work"], []]]


def test_the_running_task_sees_who_awaits_it_through_native_names(compare_native):
    async def body(note, aio):
        aio.current_task().set_name("main")

        async def child():
            await aio.wait_for(look(), 3600)

        async def look():
            async with aio.timeout(3600):
                await aio.sleep(0)
                note(graph_of(None))

        async with aio.TaskGroup() as group:
            group.create_task(child(), name="child")

    noted = compare_native(body)
    assert noted == [["child", ["graph_of", "look", "child"], [["main", ["body"], []]]]]


def test_a_native_coroutine_that_drives_nothing_ends_the_walk():
    async def main():
        gate = rondeau.Event()
        coroutine = gate.wait()
        assert not hasattr(coroutine, "cr_frame")
        assert not hasattr(coroutine, "cr_await")
        task = rondeau.create_task(coroutine, name="own")
        await rondeau.sleep(0)
        assert not hasattr(coroutine, "cr_frame")
        assert not hasattr(coroutine, "cr_await")
        assert "own" in asyncio.format_call_graph(task)
        assert task.get_stack() == []
        gate.set()
        await task

    rondeau.run(main())


def test_what_the_command_ps_reads_as_a_generators_state_says_that_there_is_no_frame():
    over = (_ for _ in ())
    assert list(over) == []
    loop = rondeau.new_event_loop()
    with socket.socket() as sock:
        sock.setblocking(False)
        coroutines = [
            rondeau.sleep(1.1),
            rondeau.Event().wait(),
            rondeau.wait([]),
            loop.sock_recv(sock, 1),
            _core.file_stat("/"),
        ]
        at = 67  # of gi_frame_state; the command finds it in the interpreter's own table of offsets
        states = [ctypes.c_int8.from_address(id(each) + at).value for each in [over, *coroutines]]
        for coroutine in coroutines:
            coroutine.close()
    loop.close()
    assert states == states[:1] * 6
    assert states[0] > 0


def test_the_command_ps_reads_tasks_whose_own_coroutine_is_native():
    async def main():
        rondeau.current_task().set_name("main")
        delays = [3600 + n * 1.1 for n in range(40)]
        tasks = [rondeau.create_task(rondeau.sleep(delay), name=f"sleeper {n}") for n, delay in enumerate(delays)]
        lock, gate = rondeau.Lock(), rondeau.Event()
        await lock.acquire()
        loop, (near, far), (reader, writer) = asyncio.get_running_loop(), socket.socketpair(), os.pipe()
        near.setblocking(False)
        far.setblocking(False)
        coroutines = [
            loop.sock_recv(near, 10),
            loop.sock_recv_into(far, bytearray(10)),
            _core.file_adopt(reader, False).read(10),
            lock.acquire(),
            gate.wait(),
            rondeau.Queue().get(),
            rondeau.wait_for(work(rondeau, gate), 3600),
            rondeau.wait(tasks[:7]),
        ]
        tasks += [rondeau.create_task(coroutine, name=f"other {n}") for n, coroutine in enumerate(coroutines)]
        everything = rondeau.gather(*tasks, return_exceptions=True)
        await rondeau.sleep(0)
        try:
            return [await rondeau.to_thread(command, name) for name in ("ps", "pstree")], [task.get_name() for task in tasks]
        finally:
            for task in tasks:
                task.cancel()
            await everything
            near.close()
            far.close()
            os.close(writer)
            os.close(reader)

    def command(name):
        call = [sys.executable, "-m", "asyncio", name, str(os.getpid())]
        return subprocess.run(call, capture_output=True, text=True, timeout=100)

    outcomes, names = rondeau.run(main())
    if any("ermission" in done.stderr for done in outcomes):
        pytest.skip("a process may not be read here")
    for done in outcomes:
        assert done.returncode == 0, done.stderr
        assert [name for name in names if name not in done.stdout] == []
