"""The watchdog names what blocks a loop while it blocks: the task, the line, and afterwards for how long.

asyncio has nothing of the kind: these run on Rondeau only. What is to block computes or sleeps until the watchdog has told of
it, so that no test depends on a time. `test_watchdog_fooled.py` is the other half: that nothing else is taken for a block.
"""

import asyncio
import functools
import logging
import os
import socket
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest

import rondeau
from rondeau import _core, _watchdog
from rondeau.recording import Recording, analyse

THRESHOLD = 0.02
HERE = __file__


class Told:
    """What a watchdog tells, and how to block until it has told."""

    def __init__(self):
        self.blocks = []
        self.seen = threading.Event()

    def __call__(self, block):
        self.blocks.append(block)
        self.seen.set()

    @property
    def first(self):
        return self.blocks[0]


@pytest.fixture
def told():
    """A watchdog that watches, and what it tells. The log is silent."""
    told = Told()
    with rondeau.watchdog(THRESHOLD, log=False, on_block=told):
        yield told


def line_of(function, text):
    """The number of the line in `function` that has `text`."""
    lines = Path(HERE).read_text().splitlines()
    start = function.__code__.co_firstlineno
    return next(number for number, line in enumerate(lines[start - 1 :], start) if text in line and "line_of" not in line)


def test_sleeping_is_named_while_it_lasts(told):
    async def cook():
        while not told.seen.is_set():
            time.sleep(0.5)  # the block

    async def main():
        await asyncio.create_task(cook(), name="soup")

    rondeau.run(main())
    block = told.first
    assert (block.kind, block.ended, block.task) == ("blocked", False, "soup")
    assert block.what == "soup (coroutine test_sleeping_is_named_while_it_lasts.<locals>.cook)"
    assert (block.filename, block.function, block.line) == (HERE, "cook", "time.sleep(0.5)  # the block")
    assert block.lineno == line_of(cook, "# the block")
    assert block.call == "clock_nanosleep"
    assert not block.computes
    assert block.thread == threading.get_ident()


def test_computing_is_named_while_it_lasts(told):
    async def count():
        number = 0
        while not told.seen.is_set():
            number += 1  # the block

    rondeau.run(count())
    block = told.first
    assert (block.kind, block.ended, block.function) == ("blocked", False, "count")
    assert block.computes


def test_a_socket_that_is_read_with_a_blocking_library_is_named_at_the_programs_line(told):
    requests = pytest.importorskip("requests")

    def serve(listener):
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            told.seen.wait()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nsoup")

    async def order(url):
        with requests.Session() as session:
            session.trust_env = False
            return session.get(url, timeout=60).text  # the block

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=[listener])
        thread.start()
        text = rondeau.run(order(f"http://127.0.0.1:{listener.getsockname()[1]}/"))
        thread.join()
    block = told.first
    assert text == "soup"
    assert (block.filename, block.function, block.lineno) == (HERE, "order", line_of(order, "# the block"))
    assert block.stack[-1].filename.endswith("socket.py")
    assert block.call in ("recv", "poll", "read")


def test_its_end_is_told_with_its_length(told):
    async def main():
        time.sleep(5 * THRESHOLD)
        await asyncio.sleep(0)
        while not told.blocks or not told.blocks[-1].ended:
            await asyncio.sleep(0.001)

    rondeau.run(main())
    first, last = told.first, told.blocks[-1]
    assert first.key == last.key
    assert first.place == last.place
    assert last.seconds >= first.seconds >= THRESHOLD


def test_the_recorder_notes_what_blocked(told):
    async def cook():
        while not told.seen.is_set():
            time.sleep(0.2)

    async def main():
        await asyncio.create_task(cook(), name="soup")
        while not told.blocks[-1].ended:
            await asyncio.sleep(0.001)

    with rondeau.record() as record:
        rondeau.run(main())
        while not (blocks := record.recording().blocks):
            time.sleep(0.001)
    assert (blocks[0].file, blocks[0].line) == (HERE, line_of(cook, "time.sleep"))
    assert blocks[0].duration >= THRESHOLD * 1e9
    assert "in cook" in blocks[0].stack


@pytest.mark.parametrize("turns", ["native", "in Python", "within a turn"])
def test_a_callback_is_named_by_its_function(told, turns):
    def handler():
        told.seen.wait()

    async def main():
        loop = asyncio.get_running_loop()
        if turns == "in Python":
            loop._selector.select = loop._selector.select
            await asyncio.sleep(0)
        loop.call_soon(handler)
        if turns == "within a turn":
            loop.run_until_complete(asyncio.sleep(0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    rondeau.run(main(), nested=True)
    assert told.first.task is None
    assert told.first.what.endswith("handler")
    assert told.first.function == "handler"
    assert told.first.call == "futex"


@pytest.mark.parametrize(
    "wrap", [lambda called: called, functools.partial, lambda called: functools.partial(functools.partial(called))]
)
def test_a_callback_that_is_no_python_code_is_named_by_what_is_called(wrap):
    lock = threading.Lock()
    lock.acquire()
    blocks = []

    def tell(block):
        blocks.append(block)
        if not block.ended:
            lock.release()

    async def main():
        asyncio.get_running_loop().call_soon(wrap(lock.acquire))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    with rondeau.watchdog(THRESHOLD, log=False, on_block=tell):
        rondeau.run(main())
    first = blocks[0]
    assert (first.task, first.what, first.function) == (None, "the callback lock.acquire", "lock.acquire")
    assert (first.filename, first.place) == (None, "in lock.acquire, which is not Python code")


def test_a_function_of_a_module_is_named_with_it(told):
    async def main():
        loop = asyncio.get_running_loop()
        while not told.seen.is_set():
            loop.call_soon(time.sleep, 0.2)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    rondeau.run(main())
    assert told.first.what == "the callback time.sleep"
    assert str(told.first).startswith("the callback time.sleep has blocked the loop for ")
    assert told.first.call == "clock_nanosleep"


def test_what_was_called_is_forgotten_when_it_is_over(told):
    class Called:
        pass

    async def main():
        # `str` is called with what must not be kept.
        called = Called()
        gone = weakref.ref(called)
        asyncio.get_running_loop().call_soon(functools.partial(str, called))
        del called
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return gone() is None

    assert rondeau.run(main())


def test_a_callback_that_raises_is_reported_while_a_watchdog_looks(told):
    async def main():
        reports = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reports.append(context["exception"]))
        loop.call_soon(int, "no number")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return reports

    (report,) = rondeau.run(main())
    assert isinstance(report, ValueError)


def test_a_flight_recorder_writes_while_the_loop_is_still_blocked(tmp_path):
    async def cook():
        until = time.monotonic() + 60
        while not list(tmp_path.glob("*-stall.rondeau")):
            assert time.monotonic() < until, "no file"
            time.sleep(0.01)

    with rondeau.record() as record, rondeau.flight_recorder(tmp_path, signal=None, on_stall=True):
        with rondeau.watchdog(THRESHOLD, log=False):
            rondeau.run(cook())
    (path,) = tmp_path.glob("*-stall.rondeau")
    there = Recording.load(path)
    (block,) = there.blocks
    assert (block.file, there.tasks[block.task].coroutine) == (HERE, cook.__qualname__)
    # It is told of once, at its end, in what is taken then.
    (whole,) = record.recording().blocks
    assert (whole.file, whole.task) == (block.file, block.task)
    assert whole.duration >= block.duration >= THRESHOLD * 1e9
    # The blocked step is in both, and the analysis of the first ends with it.
    (held,) = [held for held in analyse(there).held if held.caught]
    assert held.file == HERE


def test_a_protocol_that_blocks_is_named(told):
    class Waiter(asyncio.Protocol):
        def data_received(self, data):
            told.seen.wait()
            asyncio.get_running_loop().stop()

    ours, theirs = socket.socketpair()
    with theirs, rondeau.Runner() as runner:
        loop = runner.get_loop()
        transport, _ = loop.run_until_complete(loop.create_connection(Waiter, sock=ours))
        theirs.send(b"soup")
        loop.run_forever()
        transport.close()
    assert told.first.what.endswith("Waiter.data_received")
    assert told.first.function == "data_received"


def test_a_turn_of_many_short_callbacks_is_no_lines_fault(told):
    def short():
        if not told.seen.is_set():
            time.sleep(0.0005)

    async def main():
        for _ in range(1000):  # So few that scheduling them is short itself.
            asyncio.get_running_loop().call_soon(short)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    rondeau.run(main())
    block = told.first
    assert block.kind == "busy"
    assert block.callbacks > 2
    assert "callbacks" in str(block)
    assert "sleep(0)" in block.advice


def test_a_call_that_keeps_the_gil_is_told_at_its_end(told):
    numbers = list(range(3_000_000))

    async def main():
        while not told.seen.is_set():
            sorted(numbers, key=None)
            numbers.sort(reverse=True)
            numbers.sort()
            sum(numbers * 20)  # Long, and nothing else can run.

    rondeau.run(main())
    assert told.first.function == "main"


def test_every_thread_that_runs_a_loop_is_watched(told):
    async def cook():
        told.seen.wait()

    thread = threading.Thread(target=lambda: rondeau.run(cook()))
    thread.start()
    thread.join()
    assert told.first.thread == thread.ident
    assert told.first.function == "cook"


def test_a_loop_that_ran_before_the_watchdog_is_watched_too():
    told = Told()
    with rondeau.Runner() as runner:
        runner.run(asyncio.sleep(0))
        with rondeau.watchdog(THRESHOLD, log=False, on_block=told):

            async def cook():
                told.seen.wait()

            runner.run(cook())
    assert told.first.function == "cook"


def test_a_watchdog_can_begin_in_the_midst_of_a_run():
    told = Told()

    async def main():
        with rondeau.watchdog(THRESHOLD, log=False, on_block=told):
            await asyncio.sleep(0)
            told.seen.wait()

    rondeau.run(main())
    assert told.first.function == "main"
    assert told.blocks[-1].ended  # Told when the watchdog stopped, at the latest.


def test_what_a_debugger_holds_is_not_told(told, monkeypatch):
    other = Told()
    with rondeau.watchdog(THRESHOLD, log=False, on_block=other):
        monkeypatch.setattr(_watchdog, "_DEBUGGERS", (os.path.basename(HERE),))

        async def main():
            native = _core.Watchdog(THRESHOLD)
            reports = []
            thread = threading.Thread(target=lambda: reports.extend(native.wait()))
            thread.start()
            while not reports:
                time.sleep(0.001)
            native.stop()
            thread.join()
            time.sleep(2 * THRESHOLD)

        rondeau.run(main())
    assert (told.blocks, other.blocks) == ([], [])


def test_an_adaptive_threshold_begins_at_ten_milliseconds():
    told = Told()

    async def main():
        told.seen.wait()

    with rondeau.watchdog("auto", log=False, on_block=told):
        rondeau.run(main())
    assert told.first.seconds >= 0.01


def test_the_log_reads_like_a_sentence(caplog_of_watchdog):
    seen = Told()

    async def cook():
        while not seen.seen.is_set():
            time.sleep(0.5)

    async def main():
        await asyncio.create_task(cook(), name="soup")

    with rondeau.watchdog(THRESHOLD, on_block=seen):
        rondeau.run(main())
    first, last = caplog_of_watchdog[0], caplog_of_watchdog[-1]
    assert first.startswith(
        "WARNING soup (coroutine test_the_log_reads_like_a_sentence.<locals>.cook) has blocked the loop for 0."
    )
    assert (
        f" at {HERE}:{line_of(cook, 'time.sleep')} in cook: time.sleep(0.5)\nIt waits in clock_nanosleep(2). Sleep without"
        in first
    )
    assert "await asyncio.sleep(...)." in first
    assert first.endswith("    time.sleep(0.5)")
    assert " blocked the loop for " in last


@pytest.fixture
def caplog_of_watchdog():
    lines = []

    class Lines(logging.Handler):
        def emit(self, record):
            lines.append(f"{record.levelname} {record.getMessage()}")

    handler = Lines()
    _watchdog.logger.addHandler(handler)
    _watchdog.logger.propagate = False
    yield lines
    _watchdog.logger.removeHandler(handler)
    _watchdog.logger.propagate = True


def test_an_on_block_that_fails_is_logged_and_the_others_are_told(told, caplog_of_watchdog):
    failed = threading.Event()

    def bad(block):
        failed.set()
        raise ValueError("burnt")

    async def main():
        told.seen.wait()
        failed.wait()

    with rondeau.watchdog(THRESHOLD, log=False, on_block=bad):
        rondeau.run(main())
    assert told.first.function == "main"
    assert any("which is told of blocks, failed" in line for line in caplog_of_watchdog)


@pytest.mark.parametrize("threshold", [0, -1, 0.0001, float("nan"), float("inf"), 100_000])
def test_a_threshold_that_is_none_is_refused(threshold):
    with pytest.raises(ValueError, match="from 0.001 to 86400"):
        rondeau.watchdog(threshold)


@pytest.mark.parametrize("threshold", ["often", [], object()])
def test_a_threshold_of_another_type_is_refused(threshold):
    with pytest.raises(TypeError):
        rondeau.watchdog(threshold)


def test_a_watchdog_is_started_once_and_stopped_as_often_as_one_likes():
    dog = rondeau.watchdog(1)
    dog.stop()
    dog = rondeau.watchdog(1).start()
    with pytest.raises(RuntimeError, match="started before"):
        dog.start()
    dog.stop()
    dog.stop()
    with pytest.raises(RuntimeError, match="started before"):
        dog.start()


def test_only_one_thread_waits_at_a_native_watchdog():
    native = _core.Watchdog(1)
    answers = []

    def attempt():
        try:
            answers.append(native.wait())
        except RuntimeError as error:
            answers.append(str(error))
            native.stop()

    threads = [threading.Thread(target=attempt) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["another thread waits at this watchdog", None]


PROGRAM = """
import asyncio, logging, os, sys, time
logging.basicConfig(format="%(name)s %(message)s", stream=sys.stdout)
async def cook():
    time.sleep(0.3)
async def main():
    await asyncio.sleep(0)
    await cook()
asyncio.run(main())
"""


def python(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=60, env={**os.environ, **environment}
    )


def test_the_environment_asks_for_one():
    done = python("-m", "rondeau", "run", "-c", PROGRAM, RONDEAU_WATCHDOG="0.05")
    assert (done.returncode, done.stderr) == (0, "")
    assert "rondeau.watchdog Task-1 (coroutine main) has blocked the loop for 0." in done.stdout
    assert " in cook" in done.stdout
    for off in ("0", ""):
        done = python("-m", "rondeau", "run", "-c", PROGRAM, RONDEAU_WATCHDOG=off)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = python("-m", "rondeau", "run", "-c", PROGRAM, RONDEAU_WATCHDOG="often")
    assert "ValueError: RONDEAU_WATCHDOG='often': expected a number of seconds" in done.stderr


def test_the_command_line_asks_for_one():
    for option in ("--watchdog", "--watchdog=0.05", "--watchdog=auto"):
        done = python("-m", "rondeau", "run", option, "--native", "-c", PROGRAM)
        assert (done.returncode, done.stderr) == (0, "")
        assert "has blocked the loop" in done.stdout, option
    done = python("-m", "rondeau", "run", "--watchdog=soon", "-c", PROGRAM)
    assert done.returncode == 2
    assert done.stderr.startswith("rondeau: --watchdog='soon': expected a number of seconds")


def test_a_fork_runs_loops_and_watches_anew():
    program = """
import asyncio, os, rondeau, time
dog = rondeau.watchdog(0.05, log=False).start()
rondeau.run(asyncio.sleep(0.01))
child = os.fork()
seen = []
if child == 0:
    rondeau.run(asyncio.sleep(0.01))
    dog.stop()
    async def main():
        while not seen:
            time.sleep(0.1)
    with rondeau.watchdog(0.05, log=False, on_block=seen.append):
        rondeau.run(main())
    print(seen[0].function, flush=True)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = python("-W", "ignore", "-c", program)
    assert (done.stdout, done.stderr) == ("main\n0\n", "")


def test_a_process_that_ends_with_a_watchdog_ends():
    program = "import rondeau, time; rondeau.watchdog(0.01).start(); rondeau.run(rondeau.sleep(0.05))"
    done = python("-c", program)
    assert (done.returncode, done.stderr) == (0, "")


def test_trace_names_what_blocked(tmp_path):
    done = python("-m", "rondeau", "trace", "--out", f"{tmp_path}/", "-c", PROGRAM)
    assert done.returncode == 0, done.stderr
    blocks = Recording.load(tmp_path / "command.rondeau").blocks
    assert ("<string>", PROGRAM.splitlines().index("    time.sleep(0.3)") + 1) in {(block.file, block.line) for block in blocks}
