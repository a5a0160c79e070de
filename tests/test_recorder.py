"""The recorder: what a program's tasks and callbacks did is in the recording, and nothing else is changed by it."""

import asyncio
import functools
import gc
import itertools
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import warnings
import weakref
from pathlib import Path

import pytest

import rondeau
from recorded import events_of, lanes, named, story, waiting_at_once
from rondeau import recorder
from rondeau.recording import Kind, Recording
from tls_peers import contexts

EXAMPLES = Path(__file__).parent.parent / "examples"
NAMES = {"asyncio's names": asyncio, "rondeau's names": rondeau}


@pytest.fixture(params=NAMES)
def names(request):
    return NAMES[request.param]


def recorded(main, **options):
    with rondeau.record(**options) as record:
        rondeau.run(main)
    recording = record.recording()
    lanes(recording)
    return recording


def kinds_of(recording, name):
    return [what if isinstance(what, str) else what[0] for what in story(recording, name)]


# What is seen


def test_a_tasks_life(names):
    async def dish():
        await names.sleep(0.001)
        await names.sleep(0)
        return 1

    async def main():
        await names.create_task(dish(), name="soup")

    recording = recorded(main())
    task = named(recording, "soup")
    coroutine = "test_a_tasks_life.<locals>.dish"
    assert (task.kind, task.coroutine, task.file) == ("task", coroutine, __file__)
    assert task.line == dish.__code__.co_firstlineno
    assert (task.created_file, task.created_line) == (__file__, main.__code__.co_firstlineno + 1)
    assert recording.tasks[task.creator].coroutine == "test_a_tasks_life.<locals>.main"
    expected = ["CREATED", "READY", "RUN", ("timer", "sleep 0.001 s"), "READY", "RUN", "READY", "RUN", "DONE"]
    assert story(recording, "soup") == expected


def test_who_woke_whom(names):
    async def main():
        future = names.get_running_loop().create_future()

        async def sleeper():
            await future

        async def waker():
            future.set_result(None)

        await names.gather(names.create_task(sleeper(), name="sleeper"), names.create_task(waker(), name="waker"))

    recording = recorded(main())
    sleeper, waker = named(recording, "sleeper"), named(recording, "waker")
    woken = [event.other for event in events_of(recording, sleeper) if event.kind == Kind.READY]
    assert woken == [sleeper.creator, waker.id]


def test_how_tasks_end(names):
    async def done():
        pass

    async def failed():
        raise ValueError

    async def cancelled():
        await names.sleep(60)

    async def main():
        tasks = [names.create_task(make()) for make in (done, failed, cancelled)]
        await names.sleep(0)
        tasks[2].cancel()
        await names.gather(*tasks, return_exceptions=True)

    recording = recorded(main())
    for name in ("done", "failed", "cancelled"):
        assert story(recording, f"test_how_tasks_end.<locals>.{name}")[-1] == name.upper()


async def of_sleep(names):
    await names.sleep(0.002)


async def of_queue_get(names):
    queue = names.Queue()
    names.get_running_loop().call_later(0.001, queue.put_nowait, 1)
    await queue.get()


async def of_queue_put(names):
    queue = names.Queue(1)
    queue.put_nowait(1)
    names.get_running_loop().call_later(0.001, queue.get_nowait)
    await queue.put(2)


async def of_event(names):
    event = names.Event()
    names.get_running_loop().call_later(0.001, event.set)
    await event.wait()


async def of_semaphore(names):
    semaphore = names.Semaphore(0)
    names.get_running_loop().call_later(0.001, semaphore.release)
    await semaphore.acquire()


async def of_condition(names):
    condition = names.Condition()

    async def tell():
        async with condition:
            condition.notify()

    async with condition:
        task = names.create_task(tell())
        await condition.wait()
    await task


async def of_lock(names):
    lock = names.Lock()
    await lock.acquire()
    names.get_running_loop().call_later(0.001, lock.release)
    await lock.acquire()


async def of_task(names):
    await names.create_task(names.sleep(0.001))


async def of_gather(names):
    await names.gather(names.sleep(0.001), names.sleep(0.001))


async def of_group(names):
    async with names.TaskGroup() as group:
        group.create_task(names.sleep(0.001))


async def of_wait(names):
    await names.wait([names.create_task(names.sleep(0.001))])


async def of_shield(names):
    await names.shield(names.create_task(names.sleep(0.001)))


async def of_thread(names):
    await names.to_thread(time.sleep, 0.002)


async def of_subprocess(names):
    process = await names.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(0.05)")
    await process.wait()


async def of_socket(names):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        loop = names.get_running_loop()
        loop.call_later(0.001, theirs.send, b"x")
        await loop.sock_recv(ours, 1)


async def of_stream(names):
    ours, theirs = socket.socketpair()
    reader, writer = await names.open_connection(sock=ours)
    names.get_running_loop().call_later(0.001, theirs.send, b"x")
    await reader.read(1)
    writer.close()
    await writer.wait_closed()
    theirs.close()


async def of_future(names):
    future = names.get_running_loop().create_future()
    names.get_running_loop().call_later(0.001, future.set_result, None)
    await future


WAITS = {
    of_sleep: ("timer", "sleep 0.002 s"),
    of_queue_get: ("queue", "Queue.get"),
    of_queue_put: ("queue", "Queue.put"),
    of_event: ("event", "Event.wait"),
    of_semaphore: ("semaphore", "Semaphore.acquire"),
    of_condition: ("condition", "Condition.wait"),
    of_lock: ("lock", "Lock.acquire"),
    of_task: ("task", "await"),
    of_gather: ("task", "gather"),
    of_group: ("task", "TaskGroup"),
    of_wait: ("task", "wait"),
    of_shield: ("task", "shield"),
    of_thread: ("thread", "run_in_executor"),
    of_subprocess: ("subprocess", "Process.wait"),
    of_socket: ("socket", "read from fd"),
    of_stream: ("socket", "read"),
    of_future: ("future", "of_future (test_recorder.py)"),
}


def test_a_socket_of_the_programs_own_names_its_peer():
    async def talk(listener):
        loop = asyncio.get_running_loop()
        with socket.socket() as ours:
            ours.setblocking(False)
            await loop.sock_connect(ours, listener.getsockname())
            theirs, _ = listener.accept()
            with theirs:
                for _ in range(2):
                    loop.call_later(0.001, theirs.send, b"x")
                    assert await loop.sock_recv(ours, 1) == b"x"

    async def main():
        # The second connection has the first one's descriptor.
        for _ in range(2):
            with socket.create_server(("127.0.0.1", 0)) as listener:
                ports.append(listener.getsockname()[1])
                await asyncio.create_task(talk(listener), name="it")

    ports = []
    record = recorded(main())
    reads = [wait.text for wait in record.waits if wait.text.startswith("read")]
    assert sorted(set(reads)) == sorted(f"read from 127.0.0.1:{port}" for port in ports)


def test_a_stream_names_its_peer_also_below_tls():
    async def serve(reader, writer):
        asyncio.current_task().set_name("server")
        for _ in range(2):
            writer.write(await reader.readexactly(1))
        writer.close()

    async def main():
        loop = asyncio.get_running_loop()
        for own, context in ((None, None), contexts()):
            server = await rondeau.start_server(serve, "127.0.0.1", 0, ssl=own)
            port = server.sockets[0].getsockname()[1]
            ports.append(port)
            name = "localhost" if context else None
            reader, writer = await rondeau.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
            for _ in range(2):
                loop.call_later(0.001, writer.write, b"x")
                await reader.readexactly(1)
            writer.close()
            await writer.wait_closed()
            server.close()

    ports = []
    record = recorded(main())
    reads = {wait.text for wait in record.waits if wait.text.startswith("read")}
    assert {f"read from 127.0.0.1:{ports[0]}", f"read from 127.0.0.1:{ports[1]} (TLS)"} <= reads
    assert len(reads) == 4  # And both of the servers'.


@pytest.mark.parametrize("make", WAITS)
def test_on_what_a_task_waits(names, make):
    async def main():
        await names.create_task(make(names), name="it")

    found = [what for what in story(recorded(main()), "it") if not isinstance(what, str)]
    kind, text = WAITS[make]
    assert any(of == kind and words.startswith(text) for of, words in found), found


def test_who_holds_a_lock():
    async def main():
        lock = rondeau.Lock()

        async def cook(name):
            async with lock:
                await rondeau.sleep(0.001)

        await rondeau.gather(*[asyncio.create_task(cook(name), name=name) for name in ("first", "second", "third")])

    recording = recorded(main())
    holders = {
        name: [
            recording.tasks[recording.waits[event.wait].other].name
            for event in events_of(recording, named(recording, name))
            if event.kind == Kind.WAIT and recording.waits[event.wait].kind == "lock"
        ]
        for name in ("second", "third")
    }
    assert holders == {"second": ["first"], "third": ["first"]}


def test_whom_a_task_awaits(names):
    async def main():
        await names.create_task(names.sleep(0.001), name="awaited")

    recording = recorded(main())
    main_task, awaited = named(recording, "test_whom_a_task_awaits.<locals>.main"), named(recording, "awaited")
    (wait,) = [recording.waits[event.wait] for event in events_of(recording, main_task) if event.kind == Kind.WAIT]
    assert wait.other == awaited.id


def test_a_callback_is_one_subject_however_often_it_is_called():
    class Bell:
        def ring(self, *_):
            pass

    def plain():
        pass

    async def main():
        loop = asyncio.get_running_loop()
        for _ in range(3):
            loop.call_soon(Bell().ring)
            loop.call_soon(functools.partial(Bell().ring, 1))
            loop.call_soon(plain)
            loop.call_soon(int)
        await asyncio.sleep(0)

    recording = recorded(main())
    here = "test_a_callback_is_one_subject_however_often_it_is_called.<locals>."
    for name, times in ((here + "Bell.ring", 6), (here + "plain", 3), ("type.__call__", 3)):
        callback = named(recording, name)
        assert callback.kind == "callback"
        assert [Kind(event.kind).name for event in events_of(recording, callback)] == ["CALLBACK", "RETURN"] * times
    ring = named(recording, here + "Bell.ring")
    assert (ring.file, ring.line) == (__file__, Bell.ring.__code__.co_firstlineno)


def test_a_protocol_is_a_callback():
    class Protocol(asyncio.Protocol):
        def __init__(self, done):
            self.done = done

        def data_received(self, data):
            self.done.set_result(data)

    async def main():
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(lambda: Protocol(loop.create_future()), sock=ours)
        loop.call_later(0.001, theirs.send, b"x")
        await protocol.done
        transport.close()
        theirs.close()
        await asyncio.sleep(0)

    recording = recorded(main())
    callback = named(recording, "test_a_protocol_is_a_callback.<locals>.Protocol.data_received")
    assert (callback.file, callback.line) == (__file__, Protocol.data_received.__code__.co_firstlineno)
    assert Kind.CALLBACK in [event.kind for event in events_of(recording, callback)]


def test_the_loop_parks_only_when_it_may_sleep():
    async def main():
        for _ in range(200):
            await asyncio.sleep(0)
        await asyncio.sleep(0.001)

    recording = recorded(main())
    kinds = [event.kind for event in recording.events]
    assert kinds.count(Kind.PARK) == kinds.count(Kind.UNPARK)
    parked = [index for index, kind in enumerate(kinds) if kind == Kind.PARK]
    assert parked
    assert all(kinds[index + 1] == Kind.UNPARK for index in parked)
    assert len(parked) < 20


def test_lanes_add_up(names):
    async def main():
        queue, lock = names.Queue(2), names.Lock()

        async def produce():
            for number in range(20):
                await queue.put(number)

        async def consume():
            while True:
                async with lock:
                    await queue.get()
                await names.sleep(0)

        consumers = [names.create_task(consume()) for _ in range(3)]
        await names.gather(produce(), produce())
        for consumer in consumers:
            consumer.cancel()

    recording = recorded(main())
    for subject, lane in lanes(recording).items():
        times = [event.time for event in events_of(recording, recording.tasks[subject])]
        assert lane[0][1] == times[0]
        assert lane[-1][2] == times[-1]
        assert all(before[2] == after[1] for before, after in itertools.pairwise(lane))
        assert sum(until - since for _, since, until in lane) == times[-1] - times[0]


# When it is switched


def test_in_a_running_loop():
    async def sleeper():
        await rondeau.sleep(0.001)

    async def main():
        other = asyncio.create_task(sleeper(), name="there before")
        await rondeau.sleep(0)
        with rondeau.record() as record:
            await other
            await rondeau.gather(sleeper(), sleeper())
        await rondeau.sleep(0.001)
        return record.recording()

    recording = rondeau.run(main())
    lanes(recording)
    assert kinds_of(recording, "there before") == ["timer", "READY", "RUN", "DONE"]
    main_task = named(recording, "test_in_a_running_loop.<locals>.main")
    assert kinds_of(recording, main_task.name) == ["RUN", "task", "READY", "RUN", "task", "READY", "RUN"]


def test_a_recording_within_a_recording_sees_its_own_part():
    async def main():
        await asyncio.create_task(asyncio.sleep(0.001), name="first")
        with rondeau.record() as inner:
            await asyncio.create_task(asyncio.sleep(0.001), name="second")
        await asyncio.create_task(asyncio.sleep(0.001), name="third")
        return inner.recording()

    with rondeau.record() as outer:
        inner = rondeau.run(main())
    assert {"first", "second", "third"} <= {task.name for task in outer.recording().tasks.values()}
    assert {task.name for task in inner.tasks.values()} & {"first", "second", "third"} == {"second"}
    lanes(inner)
    first = next(iter(inner.events))
    assert (inner.tasks[first.subject].coroutine.rsplit(".")[-1], first.kind, first.time) == ("main", Kind.RUN, 0)


def test_one_record_after_another():
    async def main(name):
        await asyncio.create_task(asyncio.sleep(0), name=name)

    with rondeau.Runner() as runner:
        for name in ("first", "second"):
            with rondeau.record() as record:
                runner.run(main(name))
            assert {task.name for task in record.recording().tasks.values()} & {"first", "second"} == {name}


def test_several_loops():
    async def main():
        for _ in range(20):
            await asyncio.sleep(0.0005)

    def run():
        rondeau.run(main())

    with rondeau.record() as record:
        thread = threading.Thread(target=run, name="kitchen 2")
        thread.start()
        run()
        live = record.recording()
        thread.join()
    recording = record.recording()
    lanes(recording)
    assert {event.loop for event in recording.events} == {0, 1}
    assert "MainThread" in live.loops


def test_switched_off_and_on_within_a_step():
    async def main():
        for _ in range(3):
            with rondeau.record() as record:
                pass
            assert [Kind(event.kind) for event in record.recording().events] == [Kind.RUN]
            await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="off"):
        recorder.stop()
    rondeau.run(main())
    assert not recorder.is_on()


def test_a_full_ring_keeps_the_last_events_and_counts_the_lost():
    async def main():
        await asyncio.create_task(asyncio.sleep(0.001), name="forgotten")
        sleeper = asyncio.create_task(asyncio.sleep(60), name="asleep all the time")
        for _ in range(500):
            await asyncio.create_task(asyncio.sleep(0))
        sleeper.cancel()

    everything = recorded(main())
    few = recorded(main(), capacity=200)
    assert few.lost + 256 == pytest.approx(len(everything.events), abs=8)
    assert everything.lost == 0
    names = [task.name for task in few.tasks.values()]
    assert "asleep all the time" in names
    assert "forgotten" not in names
    assert kinds_of(few, "asleep all the time") == ["timer", "READY", "RUN", "CANCELLED"]
    assert len(few.tasks) < 100


def test_capacity_is_a_power_of_two_in_reach():
    for wrong in (0, 1, -5, 1 << 40):
        with pytest.raises(ValueError, match="capacity"):
            recorder.start(wrong)
    assert not recorder.is_on()


# Other tasks than native ones


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are 3.12's")
def test_an_eager_task_runs_within_its_creators_step(names):
    async def quick():
        return 1

    async def slow():
        await names.sleep(0.001)

    async def main():
        loop = names.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)
        await names.create_task(quick())
        await names.create_task(slow(), name="slow")

    recording = recorded(main())
    here = "test_an_eager_task_runs_within_its_creators_step.<locals>."
    assert kinds_of(recording, here + "quick") == ["CREATED", "RUN", "DONE"]
    assert kinds_of(recording, here + "slow") == ["CREATED", "RUN", "timer", "READY", "RUN", "DONE"]


@pytest.mark.parametrize("kind", [asyncio.Task, asyncio.tasks._PyTask])
def test_a_task_factorys_tasks(kind):
    def factory(loop, coro, **options):
        return kind(coro, loop=loop, **options)

    async def dish():
        await asyncio.sleep(0.001)

    async def main():
        asyncio.get_running_loop().set_task_factory(factory)
        await asyncio.gather(asyncio.create_task(dish(), name="soup"), asyncio.create_task(dish(), name="salad"))
        task = asyncio.create_task(dish(), name="cancelled")
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    recording = recorded(main())
    for name in ("soup", "salad"):
        assert kinds_of(recording, name) == ["CREATED", "READY", "RUN", "timer", "READY", "RUN", "DONE"]
        assert named(recording, name).coroutine == "test_a_task_factorys_tasks.<locals>.dish"
    assert kinds_of(recording, "cancelled")[-1] == "CANCELLED"


def test_a_loop_whose_call_soon_is_overridden():
    class Loop(rondeau.EventLoop):
        def call_soon(self, callback, *args, context=None):
            return super().call_soon(callback, *args, context=context)

    async def dish():
        await asyncio.sleep(0.001)

    async def main():
        await asyncio.create_task(dish(), name="soup")

    with rondeau.record() as record:
        rondeau.run(main(), loop_factory=Loop)
    recording = record.recording()
    lanes(recording)
    assert kinds_of(recording, "soup") == ["CREATED", "READY", "RUN", "timer", "READY", "RUN", "DONE"]


def test_nothing_of_other_loops():
    with rondeau.record() as record:
        asyncio.run(asyncio.sleep(0), **({"loop_factory": asyncio.SelectorEventLoop} if sys.version_info >= (3, 12) else {}))
    assert len(record.recording().events) == 0


# What it leaves alone


def test_a_recorded_task_is_not_kept_alive():
    async def main():
        refs = []
        for _ in range(10):
            task = asyncio.create_task(asyncio.sleep(0))
            refs.append(weakref.ref(task))
            await task
            refs.append(weakref.ref(asyncio.get_running_loop().create_future()))
        del task
        gc.collect()
        assert not any(ref() for ref in refs)

    recorded(main())


def test_a_pending_task_that_dies_is_seen(logged):
    async def stuck(future):
        await future

    async def main():
        asyncio.create_task(stuck(asyncio.get_running_loop().create_future()), name="stuck")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gc.collect()

    recording = recorded(main())
    assert story(recording, "stuck")[-2:] == [
        ("future", "test_a_pending_task_that_dies_is_seen.<locals>.main (test_recorder.py)"),
        "CANCELLED",
    ]
    assert "Task was destroyed but it is pending!" in logged[0]


def test_a_class_is_not_kept_alive_by_what_the_loop_called_of_it():
    def make():
        kept = asyncio.Event()

        class Bell:
            def __call__(self):
                kept.set()

        return Bell, weakref.ref(kept)

    async def main():
        refs, loop = [], asyncio.get_running_loop()
        for _ in range(20):
            bell, kept = make()
            loop.call_soon(bell())
            await asyncio.sleep(0)
            refs += [weakref.ref(bell), kept]
        del bell
        gc.collect()
        return refs

    with rondeau.record() as record:
        assert not any(ref() for ref in rondeau.run(main()))
    here = "test_a_class_is_not_kept_alive_by_what_the_loop_called_of_it.<locals>.make.<locals>.Bell.__call__"
    assert here in {task.name for task in record.recording().tasks.values()}


def test_a_loop_that_is_collected_with_its_tasks(logged):
    async def stuck():
        await asyncio.get_running_loop().create_future()

    def abandon():
        loop = rondeau.new_event_loop()
        task = loop.create_task(stuck(), name="stuck")
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.close()
        return weakref.ref(loop), weakref.ref(task)

    with rondeau.record() as record:
        refs = abandon()
        gc.collect()
        assert not any(ref() for ref in refs)
    assert kinds_of(record.recording(), "stuck")[-2:] == ["future", "CANCELLED"]
    assert logged


def test_code_is_let_go_when_nothing_names_it():
    def make():
        namespace = {}
        exec("async def made(): pass\ndef called(): pass", namespace)
        return namespace["made"], namespace["called"]

    async def main():
        loop = asyncio.get_running_loop()
        alive = []
        for _ in range(3000):
            made, called = make()
            alive += [weakref.ref(made.__code__), weakref.ref(called.__code__)]
            loop.call_soon(called)
            await asyncio.create_task(made())
        del made, called
        gc.collect()
        return alive

    with rondeau.record(capacity=256):
        alive = rondeau.run(main())
        assert sum(ref() is not None for ref in alive) < 4000
    gc.collect()
    assert not any(ref() for ref in alive)


def test_an_exception_that_leaves_the_loop():
    async def stop():
        raise KeyboardInterrupt

    async def main():
        await asyncio.create_task(stop())

    with rondeau.record() as record, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(KeyboardInterrupt):
            rondeau.run(main())
    assert story(record.recording(), "test_an_exception_that_leaves_the_loop.<locals>.stop")[-1] == "FAILED"


def test_debug_mode(names):
    async def dish():
        await names.sleep(0.001)

    with rondeau.record() as record:
        rondeau.run(dish(), debug=True)
    recording = record.recording()
    lanes(recording)
    assert kinds_of(recording, "test_debug_mode.<locals>.dish") == ["CREATED", "READY", "RUN", "timer", "READY", "RUN", "DONE"]


# What becomes of it


def test_a_file(tmp_path):
    path = tmp_path / "it.rondeau"

    async def fail():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), rondeau.record(path) as record:
        rondeau.run(fail())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    loaded = Recording.load(path)
    assert list(loaded.events) == list(record.recording().events)
    assert (loaded.pid, loaded.argv, loaded.python) == (os.getpid(), sys.argv, sys.version.split()[0])
    assert abs(loaded.started + loaded.duration / 1e9 - time.time()) < 60


def test_dump_while_it_records(tmp_path):
    with pytest.raises(RuntimeError, match="off"):
        rondeau.dump(tmp_path / "none.rondeau")
    assert not list(tmp_path.iterdir())

    async def main():
        await asyncio.sleep(0)
        rondeau.dump(tmp_path / "it.rondeau")

    with rondeau.record():
        rondeau.run(main())
    assert any(task.coroutine.endswith(".main") for task in Recording.load(tmp_path / "it.rondeau").tasks.values())


def test_a_record_is_entered_once():
    record = rondeau.record()
    with pytest.raises(RuntimeError, match="enter"):
        record.recording()
    with record, pytest.raises(RuntimeError, match="entered already"), record:
        pass
    assert not recorder.is_on()


def test_the_flight_recorder_writes_on_a_signal(tmp_path):
    async def main():
        old = time.monotonic() - 1
        await asyncio.create_task(asyncio.sleep(0), name="lately")
        os.kill(os.getpid(), signal.SIGUSR2)
        while not list(tmp_path.glob("*.rondeau")):
            await asyncio.sleep(0.001)
        assert old

    before = signal.getsignal(signal.SIGUSR2)
    with rondeau.flight_recorder(tmp_path, seconds=30):
        rondeau.run(main())
        for thread in threading.enumerate():
            if thread.name == "rondeau flight recorder":
                thread.join()
    assert signal.getsignal(signal.SIGUSR2) == before
    (path,) = tmp_path.glob("*.rondeau")
    assert "-signal" in path.name
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert named(Recording.load(path), "lately")
    assert not recorder.is_on()


def join_writers():
    for thread in threading.enumerate():
        if thread.name == "rondeau flight recorder":
            thread.join()


def test_the_flight_recorder_writes_on_an_exception_that_nobody_handles(tmp_path, logged):
    def fail():
        raise ValueError

    async def main():
        for _ in range(3):
            asyncio.get_running_loop().call_soon(fail)
        await asyncio.sleep(0)

    with rondeau.flight_recorder(tmp_path, signal=None):
        rondeau.run(main())
        join_writers()
    (path,) = tmp_path.glob("*-exception.rondeau")
    assert named(Recording.load(path), "test_the_flight_recorder_writes_on_an_exception_that_nobody_handles.<locals>.fail")
    assert len(logged) == 3


def test_the_flight_recorder_writes_when_the_program_fails(tmp_path):
    program = "import rondeau, sys\nrondeau.flight_recorder(sys.argv[1])\nasync def main(): 1 / 0\nrondeau.run(main())"
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    (path,) = tmp_path.glob("*-exception.rondeau")
    assert story(Recording.load(path), "main")[-1] == "FAILED"


def test_the_flight_recorder_keeps_the_last_seconds_only(tmp_path):
    async def main(flight):
        await asyncio.create_task(asyncio.sleep(0), name="long ago")
        end = time.monotonic() + 0.05
        while time.monotonic() < end:
            await asyncio.sleep(0)
        flight.dump().join()

    with rondeau.flight_recorder(tmp_path / "it.rondeau", seconds=0.02, signal=None) as flight:
        rondeau.run(main(flight))
    recording = Recording.load(tmp_path / "it.rondeau")
    assert recording.lost > 0
    assert recording.duration < 10_000_000_000
    assert not [task for task in recording.tasks.values() if task.name == "long ago"]


def test_a_stall_is_noted_and_dumped(tmp_path):
    async def main():
        loop = asyncio.get_running_loop()
        recorder.blocked(loop, 200_000_000, "app.py", 7, "File app.py", asyncio.current_task())
        recorder.blocked(loop, 300_000_000, "app.py", 8, "File app.py")

    with rondeau.flight_recorder(tmp_path, signal=None, on_stall=True):
        with rondeau.record() as record:
            rondeau.run(main())
        join_writers()
    recorder.blocked(asyncio.new_event_loop, 1, "", 0, "")  # The recorder is off: nothing.
    blocks = record.recording().blocks
    assert [(block.duration, block.file, block.line) for block in blocks] == [
        (200_000_000, "app.py", 7),
        (300_000_000, "app.py", 8),
    ]
    main_task = named(record.recording(), "test_a_stall_is_noted_and_dumped.<locals>.main")
    assert [block.task for block in blocks] == [main_task.id] * 2
    (path,) = tmp_path.glob("*-stall.rondeau")
    assert [block.line for block in Recording.load(path).blocks] == [7]


# The examples


# A program as `python -m rondeau run` runs it, recorded.
RECORDED = """
import asyncio, runpy, sys, rondeau
asyncio.new_event_loop = asyncio.events.new_event_loop = rondeau.new_event_loop
path, *sys.argv = sys.argv[1:]
with rondeau.record(path):
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


def example(name, arguments, typed, tmp_path):
    path = tmp_path / "it.rondeau"
    subprocess.run(
        [sys.executable, "-c", RECORDED, path, EXAMPLES / name, *arguments],
        input=typed,
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=120,
    )
    recording = Recording.load(path)
    lanes(recording)
    return recording


def test_in_the_kitchen_four_dishes_wait_at_once(tmp_path):
    dishes = {"soup", "roast", "salad", "dessert"}
    path = tmp_path / "it.rondeau"
    child = subprocess.Popen(
        [sys.executable, "-u", "-c", RECORDED, path, EXAMPLES / "kitchen.py", "0.1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    # The guest, who is asked last, answers when the first dish has done its waiting: until then all four have waited.
    while "adds the croutons" not in child.stdout.readline():
        assert child.poll() is None
    child.communicate("cherries\n", timeout=60)
    assert child.returncode == 0
    recording = Recording.load(path)
    lanes(recording)
    assert waiting_at_once(recording, dishes) == 4
    waits = {dish: {what[0] for what in story(recording, dish) if not isinstance(what, str)} for dish in dishes}
    assert "socket" in waits["soup"]
    assert waits["roast"] == {"thread"}
    assert "thread" not in waits["dessert"]  # the guest is asked without one
    assert {"file", "timer"} <= waits["salad"]


def test_in_the_work_queue_two_workers_take_turns(tmp_path):
    recording = example("work_queue.py", ["0.01"], "", tmp_path)
    workers = [task for task in recording.tasks.values() if task.coroutine == "worker"]
    assert len(workers) == 2
    assert waiting_at_once(recording, {"worker"}) == 2
    every = lanes(recording)
    for worker in workers:
        assert {"running", "waiting"} <= {state for state, _, _ in every[worker.id]}


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_every_example_can_be_recorded(name, tmp_path):
    arguments = {"aiohttp_pages.py": ["20"]}.get(name, ["0.01"])
    recording = example(name, arguments, "cherries\n", tmp_path)
    assert len(recording.events) > 10
    ends = {event.kind for event in recording.events}
    assert Kind.DONE in ends
