"""`ps`: each task with its state, its stack, and on what it waits; with asyncio's names and with Rondeau's."""

import os
import subprocess
import sys

import pytest

import rondeau
from inspected import by_name, look, program, said, threads
from rondeau.inspection import asking
from rondeau.inspection.snapshot import Snapshot


@pytest.fixture(params=["asyncio", "rondeau"])
def names(request):
    return request.param


def wait_of(snapshot, name):
    wait = by_name(snapshot)[name].wait
    assert wait is not None
    return wait


def functions(snapshot, name):
    return [place.function for place in snapshot.stack(by_name(snapshot)[name])]


def test_a_sleep_says_until_when(names):
    body = """
        task = aio.create_task(aio.sleep(1000), name="sleeper")
        await aio.sleep(0.01)
        ready()
        await task
    """
    with program(body, names) as child:
        snapshot = look(child)
        task = by_name(snapshot)["sleeper"]
        wait = wait_of(snapshot, "sleeper")
        assert (task.state, wait.kind) == ("waiting", "timer")
        assert 0 < snapshot.seconds_left(task, wait.due) <= 1000
        assert wait_of(snapshot, "Task-1").tasks == [task.address]


@pytest.mark.parametrize(
    ("made", "awaited", "kind"),
    [
        ("aio.Queue()", "thing.get()", "queue get"),
        ("full()", "thing.put(2)", "queue put"),
        ("full()", "thing.join()", "queue join"),
        ("aio.Event()", "thing.wait()", "event"),
        ("locked()", "thing.acquire()", "lock"),
        ("aio.Semaphore(0)", "thing.acquire()", "semaphore"),
        ("aio.Semaphore(0)", "within(thing)", "semaphore"),
        ("aio.Condition()", "notified(thing)", "condition"),
        ("aio.Barrier(2)", "thing.wait()", "barrier"),
        ("asyncio.get_running_loop().create_future()", "thing", "future"),
    ],
)
def test_a_primitive_is_named(names, made, awaited, kind):
    body = f"""
        def full():
            queue = aio.Queue(1)
            queue.put_nowait(1)
            return queue

        def locked():
            lock = aio.Lock()
            lock._locked = True
            return lock

        async def within(manager):
            async with manager:
                pass

        async def notified(condition):
            async with condition:
                await condition.wait()

        async def waits():
            await {awaited}

        thing = {made}
        task = aio.create_task(waits(), name="waiter")
        await aio.sleep(0.01)
        ready()
        await task
    """
    with program(body, names) as child:
        snapshot = look(child)
        wait = wait_of(snapshot, "waiter")
        assert wait.kind == kind
        assert functions(snapshot, "waiter")[0] == "main.<locals>.waits"
        if wait.object:
            assert snapshot.objects[wait.object][0] == kind.split()[0].capitalize()
        else:
            assert kind in ("queue join", "barrier")


def test_who_holds_a_lock_is_named(names):
    body = """
        async def holds():
            async with lock:
                await aio.sleep(1000)

        async def wants():
            async with lock:
                pass

        lock = aio.Lock()
        tasks = [aio.create_task(holds(), name="holder"), aio.create_task(wants(), name="first"),
                 aio.create_task(wants(), name="second")]
        await aio.sleep(0.01)
        ready()
        await tasks[0]
    """
    with program(body, names) as child:
        snapshot = look(child)
        lock = wait_of(snapshot, "first").object
        assert wait_of(snapshot, "second").object == lock
        assert [task.name for task in snapshot.holders[lock]] == ["holder"]
        assert snapshot.describe(by_name(snapshot)["first"]).endswith("held by holder")


def test_a_conditions_lock_has_its_holder(names):
    body = """
        async def holds():
            async with condition:
                await aio.sleep(1000)

        async def wants():
            async with condition:
                pass

        condition = aio.Condition()
        tasks = [aio.create_task(holds(), name="holder"), aio.create_task(wants(), name="waiter")]
        await aio.sleep(0.01)
        ready()
        await tasks[0]
    """
    with program(body, names) as child:
        snapshot = look(child)
        wait = wait_of(snapshot, "waiter")
        assert wait.kind == "lock"
        assert [task.name for task in snapshot.holders[wait.object]] == ["holder"]


def test_what_waits_for_tasks_names_them(names):
    body = """
        async def first():
            await aio.sleep(1000)

        async def grouped():
            async with aio.TaskGroup() as group:
                group.create_task(first(), name="in group")

        async def gathered():
            await aio.gather(aio.create_task(first(), name="in gather"), aio.sleep(1000))

        async def waited():
            await aio.wait([aio.create_task(first(), name="in wait")])

        async def shielded():
            await aio.shield(aio.create_task(first(), name="in shield"))

        async def awaited():
            await aio.create_task(first(), name="in await")

        async def limited():
            await aio.wait_for(aio.create_task(first(), name="in wait_for"), 500)

        tasks = [aio.create_task(f(), name=f.__name__) for f in (grouped, gathered, waited, shielded, awaited, limited)]
        await aio.sleep(0.01)
        ready()
        await tasks[0]
    """
    with program(body, names) as child:
        snapshot = look(child)
        tasks = by_name(snapshot)
        for outer, kind, inner in [
            ("grouped", "group", "in group"),
            ("gathered", "gather", "in gather"),
            ("waited", "wait", "in wait"),
            ("shielded", "shield", "in shield"),
            ("awaited", "task", "in await"),
        ]:
            wait = wait_of(snapshot, outer)
            assert (outer, wait.kind) == (outer, kind)
            assert tasks[inner].address in wait.tasks
            assert wait.open is False
        assert tasks["in wait_for"].address in wait_of(snapshot, "limited").tasks
        assert 0 < snapshot.seconds_left(tasks["limited"], tasks["limited"].until) <= 500


def test_a_time_out_is_seen_wherever_it_stands(names):
    body = """
        async def inner():
            await asyncio.get_running_loop().create_future()

        async def outer():
            async with aio.timeout(500):
                async with aio.timeout(None):
                    await inner()

        async def without():
            async with aio.timeout(None):
                await inner()

        tasks = [aio.create_task(outer(), name="outer"), aio.create_task(without(), name="without")]
        await aio.sleep(0.01)
        ready()
        await tasks[0]
    """
    with program(body, names) as child:
        snapshot = look(child)
        tasks = by_name(snapshot)
        assert 0 < snapshot.seconds_left(tasks["outer"], tasks["outer"].until) <= 500
        assert tasks["without"].until is None


def test_a_connection_names_its_peer(names):
    body = """
        async def serve(reader, writer):
            asyncio.current_task().set_name("server")
            await reader.readline()

        async def talk():
            reader, writer = await aio.open_connection("127.0.0.1", port)
            print("peer", writer.get_extra_info("sockname")[1], port, flush=True)
            await reader.readexactly(3)

        server = await aio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        task = aio.create_task(talk(), name="client")
        await aio.sleep(0.1)
        ready()
        await task
    """
    with program(body, names, wait=False) as child:
        own, port = said(child, "peer").split()
        said(child, "ready")
        snapshot = look(child)
        client, server = wait_of(snapshot, "client"), wait_of(snapshot, "server")
        assert (client.kind, client.text) == ("read", f"127.0.0.1:{port}")
        assert (server.kind, server.text) == ("read", f"127.0.0.1:{own}")
        assert snapshot.loops[0]["connections"] == 2


def test_a_connection_below_tls_names_its_peer(names):
    body = f"""
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        from tls_peers import contexts

        async def serve(reader, writer):
            await reader.readline()

        async def talk():
            reader, writer = await aio.open_connection("127.0.0.1", port, ssl=client, server_hostname="localhost")
            asyncio.get_running_loop().call_later(0.05, ready)
            await reader.readexactly(3)

        own, client = contexts()
        server = await aio.start_server(serve, "127.0.0.1", 0, ssl=own)
        port = server.sockets[0].getsockname()[1]
        print("port", port, flush=True)
        await aio.create_task(talk(), name="client")
    """
    with program(body, names, wait=False) as child:
        port = said(child, "port")
        said(child, "ready")
        client = wait_of(look(child), "client")
        assert (client.kind, client.text) == ("read", f"127.0.0.1:{port} (TLS)")


def test_sockets_of_the_programs_own_say_direction_and_peer():
    body = """
        import socket
        left, right = socket.socketpair()
        listener = socket.create_server(("127.0.0.1", 0))
        for sock in (left, right, listener):
            sock.setblocking(False)
        loop = asyncio.get_running_loop()
        tasks = [aio.create_task(loop.sock_recv(left, 10), name="receiver"),
                 aio.create_task(loop.sock_accept(listener), name="acceptor"),
                 aio.create_task(loop.sock_sendall(right, bytes(10_000_000)), name="sender")]
        await aio.sleep(0.05)
        ready()
        await asyncio.wait(tasks, return_when="ALL_COMPLETED")
    """
    with program(body) as child:
        snapshot = look(child)
        assert wait_of(snapshot, "acceptor").kind == "accept"
        assert functions(snapshot, "acceptor") == ["sock_accept"]


def test_threads_and_processes_are_told(names):
    body = """
        async def thread():
            await aio.to_thread(blocked.wait)

        async def process():
            child = await aio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=-1)
            print("child", child.pid, flush=True)
            ready()
            await child.wait()

        blocked = threading.Event()
        async def job():
            await asyncio.get_running_loop().run_in_executor(None, blocked.wait)

        async def job_elsewhere():
            from concurrent.futures import ThreadPoolExecutor

            await asyncio.get_running_loop().run_in_executor(ThreadPoolExecutor(), blocked.wait)

        tasks = [aio.create_task(f(), name=f.__name__) for f in (thread, process, job, job_elsewhere)]
        await tasks[1]
        blocked.set()
    """
    with program(body, names, wait=False) as child:
        pid = said(child, "child")
        said(child, "ready")
        while (wait := by_name(look(child))["process"].wait) is None:
            pass  # It has said so just before it waits.
        assert (wait.kind, wait.text) == ("process", f"pid {pid}")
        snapshot = look(child)
        for name in ("thread", "job", "job_elsewhere"):
            assert wait_of(snapshot, name).kind == "thread"
        assert snapshot.loops[0]["executor"]["threads"] == 2


def test_through_generators_iterators_and_awaitables_to_the_end(names):
    body = """
        import types

        class Awaitable:
            def __await__(self):
                return (yield from inner().__await__())

        @types.coroutine
        def generator():
            yield from Awaitable().__await__()

        async def inner():
            await event.wait()

        async def produce():
            await generator()
            yield 1

        async def consume():
            async for _ in produce():
                pass

        event = aio.Event()
        task = aio.create_task(consume(), name="consumer")
        await aio.sleep(0.01)
        ready()
        await task
    """
    with program(body, names) as child:
        snapshot = look(child)
        found = [function.rpartition(".")[2] for function in functions(snapshot, "consumer")]
        assert found == ["consume", "produce", "generator", "__await__", "inner", "wait"]
        assert wait_of(snapshot, "consumer").kind == "event"


def test_states(names):
    body = """
        class Slow:
            def __await__(self):
                yield

        async def runs():
            print("ready", flush=True)
            while not over:
                pass

        async def gives_way():
            await Slow()

        async def cancels():
            try:
                await aio.sleep(1000)
            except aio.CancelledError:
                await aio.sleep(1000)

        over = False
        stubborn = aio.create_task(cancels(), name="stubborn")
        given_way = aio.create_task(gives_way(), name="given way")
        await aio.sleep(0)
        stubborn.cancel()
        aio.create_task(runs(), name="runner")
        fresh = aio.create_task(aio.sleep(0), name="fresh")
        await aio.sleep(1000)
    """
    with program(body, names) as child:
        snapshot = look(child)
        tasks = by_name(snapshot)
        assert tasks["runner"].state == "running"
        assert tasks["fresh"].state == "new"
        assert tasks["stubborn"].cancels == 1
        assert tasks["Task-1"].state == "waiting"
        loop = snapshot.loops[0]
        assert (loop["running"], loop["parked"]) == (True, False)
        assert snapshot.places[loop["stack"][0]].function == "main.<locals>.runs"


def test_every_loop_of_every_thread_is_there():
    body = """
        def other(number):
            async def task():
                asyncio.current_task().set_name(f"other {number}")
                started.release()
                await asyncio.sleep(1000)
            rondeau.new_event_loop().run_until_complete(task())

        started = threading.Semaphore(0)
        for number in range(3):
            threading.Thread(target=other, args=(number,), daemon=True).start()
        for number in range(3):
            started.acquire()
        ready()
        await aio.sleep(1000)
    """
    with program(body) as child:
        snapshot = look(child)
        while not all(task.state == "waiting" for task in snapshot.tasks):
            snapshot = look(child)
        assert len(snapshot.loops) == 4
        assert {task.name for task in snapshot.tasks} == {"Task-1", "other 0", "other 1", "other 2"}
        assert len({task.loop for task in snapshot.tasks}) == 4
        assert 0 not in {task.loop for task in snapshot.tasks}


def test_tasks_that_are_not_native():
    body = """
        class Task(asyncio.Task):
            pass

        loop = asyncio.get_running_loop()
        tasks = [asyncio.Task(asyncio.sleep(1000), name="C"), Task(asyncio.sleep(1000), name="subclass"),
                 asyncio.tasks._PyTask(asyncio.sleep(1000), name="Python")]
        await aio.sleep(0.01)
        ready()
        await tasks[0]
    """
    with program(body) as child:
        snapshot = look(child)
        for name in ("C", "subclass", "Python"):
            assert wait_of(snapshot, name).kind == "timer"


def test_a_hundred_thousand_tasks_are_read_in_slices_while_the_loop_goes_on():
    body = """
        async def sleeps():
            await aio.sleep(1000)

        async def spins():
            while True:
                await aio.sleep(0)

        tasks = [aio.create_task(sleeps()) for _ in range(100_000)]
        tasks.append(aio.create_task(spins(), name="spinner"))
        await aio.sleep(0)
        ready()
        await tasks[0]
    """
    with program(body) as child, asking.connect(child.pid, 60.0) as there:
        before = there.greeting["loops"][0]["turns"]
        answer = there.ask("tasks", 60.0)
        snapshot = Snapshot(answer)
        assert len(snapshot.tasks) == 100_002
        assert answer["missed"] == 0
        assert answer["slices"] > 20
        # Between the slices the loop had its turns.
        assert snapshot.loops[0]["turns"] - before > 20
        assert len(snapshot.stacks) < 10
        top = there.ask("top", 60.0)
        assert sum(count for _, _, count in top["states"]) == 100_002


def test_a_look_gives_the_collector_nothing_to_do():
    body = """
        import gc

        async def inner():
            await aio.sleep(1000)

        async def outer():
            await inner()

        tasks = [aio.create_task(outer()) for _ in range(3000)]
        await aio.sleep(0.01)
        read = asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        collections = []
        gc.collect()
        gc.set_threshold(1000)
        gc.callbacks.append(lambda phase, info: collections.append(phase))
        before = gc.get_count()[0]
        ready()
        await read
        print("collected", len(collections), gc.get_count()[0] - before, flush=True)
    """
    with program(body) as child:
        assert len(look(child).tasks) > 3000
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
        collections, objects = said(child, "collected").split()
        # Neither frame objects, which stay with their coroutines, nor a weak reference to each task.
        assert collections == "0"
        assert int(objects) < 500


def test_tasks_that_have_not_begun_leave_no_frame_objects():
    body = """
        import gc

        async def never():
            pass

        tasks = [aio.create_task(never()) for _ in range(3000)]
        gc.collect()
        gc.disable()
        before = gc.get_count()[0]
        print("ready", flush=True)
        sys.stdin.readline()
        print("more", gc.get_count()[0] - before, flush=True)
    """
    with program(body) as child:
        assert child.stdin is not None
        states = [task.state for task in look(child).tasks]
        assert states.count("new") == 3000
        child.stdin.write("\n")
        child.stdin.flush()
        assert int(said(child, "more")) < 500


def test_tasks_that_end_while_they_are_read():
    body = """
        async def brief():
            await aio.sleep(0)

        async def breeds():
            while True:
                await aio.gather(*(brief() for _ in range(2000)))

        tasks = [aio.create_task(breeds()) for _ in range(3)]
        tasks += [aio.create_task(aio.sleep(1000)) for _ in range(2000)]
        await aio.sleep(0)
        ready()
        await tasks[0]
    """
    with program(body) as child:
        for _ in range(20):
            snapshot = look(child)
            assert sum(1 for task in snapshot.tasks if task.wait and task.wait.kind == "timer") >= 2000
        assert child.poll() is None


def test_a_descriptor_and_a_thread_less_once_the_last_loop_is_closed():
    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    before = descriptors(), threads()
    first, second = rondeau.new_event_loop(), rondeau.new_event_loop()

    async def nothing():
        return threads()

    (door,) = first.run_until_complete(nothing()) - before[1]
    assert second.run_until_complete(nothing()) - before[1] == {door}
    first.close()
    assert door in threads()
    second.close()
    assert door not in threads()
    assert descriptors() == before[0]


MADE_FOR_THE_CALL = """
import asyncio, gc, os, subprocess, sys
import rondeau

class Fake:
    _state = "PENDING"
    def __init__(self, loop):
        self.loop = loop
    def get_loop(self):
        return self.loop
    def get_name(self):
        raise LookupError("no name")
    def done(self):
        return False
    @property
    def _loop(self):
        return self.loop
    @property
    def _fut_waiter(self):
        return Waiter()
    @property
    def _num_cancels_requested(self):
        return "many"
    @property
    def _coro(self):
        def rest():
            yield [object() for _ in range(50)]
        def generator():
            yield from rest()
        made = generator()
        next(made)
        return made

class Waiter:
    @property
    def _state(self):
        return "".join(["PEND", "ING"])
    def __init__(self):
        self.junk = bytearray(100)

async def main():
    fakes = [Fake(asyncio.get_running_loop()) for _ in range(200)]
    for fake in fakes:
        asyncio._register_task(fake)
    for command in ("ps", "pstree", "ps"):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "rondeau", command, str(os.getpid()), stdout=-1, stderr=-2)
        output, _ = await process.communicate()
        assert process.returncode == 0, output
        assert b"Fake._coro.<locals>.rest" in output, output
    for fake in fakes:
        asyncio._unregister_task(fake)
    print("answered")

rondeau.run(main())
"""


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="ps does not see tasks of another kind there")
def test_what_a_task_of_another_kind_makes_for_the_call_is_kept_while_it_is_read():
    environment = {**os.environ, "PYTHONMALLOC": "debug"}
    done = subprocess.run(
        [sys.executable, "-c", MADE_FOR_THE_CALL], env=environment, capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stdout) == (0, "answered\n"), done.stderr


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="CPython shows nobody the tasks of another kind")
def test_a_task_of_another_kind_that_makes_what_it_is_asked_for(names):
    """Its attributes are code of the program's: what they give lives for the look only, or takes back what was found."""
    body = """
        loop = asyncio.get_running_loop()

        class Waiter:
            _state = "PENDING"

        class Lock:
            pass

        class Timeout:
            async def __aenter__(self):
                return self
            async def __aexit__(self, *error):
                pass
            @property
            def _when(self):
                locks.clear()
                return loop.time() + 100

        locks = [Lock()]

        async def within():
            async with Timeout():
                await loop.create_future()

        def generator():
            yield [object() for _ in range(50)]

        class Other:
            _state = "PENDING"
            last = None
            def get_loop(self):
                return loop
            def get_name(self):
                raise ValueError
            def done(self):
                return False
            _loop = property(lambda self: loop)
            @property
            def _fut_waiter(self):
                self.last = Waiter()
                return self.last
            @property
            def _coro(self):
                made = generator()
                next(made)
                return made

        others = [Other() for _ in range(200)]
        for other in others:
            asyncio._register_task(other)
        task = aio.create_task(within(), name="within")
        await asyncio.sleep(0)
        ready()
        await task
    """
    with program(body, names, PYTHONMALLOC="debug") as child:
        for _ in range(5):
            snapshot = look(child)
            assert sum(task.name == "?" for task in snapshot.tasks) == 200
            assert {wait_of(snapshot, name).kind for name in ("?", "within")} == {"future"}
            assert child.poll() is None
