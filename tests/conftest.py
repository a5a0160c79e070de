"""The two arms of every test: standard asyncio, which is the oracle, and Rondeau.

A test that asks for `loop_factory`, `loop` or `run` is run on both. A test that asks for `compare` runs its body
on both and compares what the body wrote down. After each test leaks.py counts what is left.
"""

import asyncio
import logging
import re
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import leaks
import rondeau

ARMS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "rondeau": rondeau.new_event_loop,
}
FAILED = pytest.StashKey[bool]()

# Run in the background of a shell, this process ignores Ctrl-C, and so would every child that a test sends one to.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=ARMS)
def loop_factory(request):
    return ARMS[request.param]


@pytest.fixture
def run(loop_factory):
    """Runs a coroutine as asyncio.run does, on the arm's loop."""

    def run(main, *, debug=False):
        with asyncio.Runner(loop_factory=loop_factory, debug=debug) as runner:
            return runner.run(main)

    return run


@pytest.fixture
def loop(loop_factory):
    """A loop that does not run yet. It is closed for the test, which must have finished its tasks."""
    loop = loop_factory()
    loop.set_debug(False)
    yield loop
    if not loop.is_closed():
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


@pytest.fixture
def compare():
    """Runs `await body(note, …)` on both arms and returns what was noted, after comparing the two."""

    def compare(body, *arguments, debug=False):
        traces = {}
        for name, factory in ARMS.items():
            trace: list[Any] = []
            with asyncio.Runner(loop_factory=factory, debug=debug) as runner:
                runner.run(body(lambda *what, trace=trace: trace.append(plain(what)), *arguments))
            traces[name] = trace
        assert traces["rondeau"] == traces["asyncio"]
        return traces["rondeau"]

    return compare


# Whose functions and classes, on whose loop: the first is the oracle, the last two are mixes.
MIXES = {
    "asyncio": (asyncio, asyncio.SelectorEventLoop),
    "rondeau": (rondeau, rondeau.new_event_loop),
    "rondeau's names on asyncio's loop": (rondeau, asyncio.SelectorEventLoop),
    "asyncio's names on rondeau's loop": (asyncio, rondeau.new_event_loop),
}


@pytest.fixture
def compare_native():
    """Runs `await body(note, aio)` with asyncio's names on its own loop, with Rondeau's on Rondeau, and with both mixes.

    Compares what was noted; returns it.
    """

    def compare_native(body, *arguments, debug=False):
        traces = {}
        for name, (names, factory) in MIXES.items():
            trace: list[Any] = []
            with asyncio.Runner(loop_factory=factory, debug=debug) as runner:
                runner.run(body(lambda *what, trace=trace: trace.append(plain(what)), names, *arguments))
            traces[name] = trace
        for name, trace in traces.items():
            assert trace == traces["asyncio"], name
        return traces["asyncio"]

    return compare_native


def plain(what: Any) -> Any:
    """What stays of a note when names that may differ (addresses, task numbers, the loop's class) go."""
    if isinstance(what, tuple):
        return plain(what[0]) if len(what) == 1 else tuple(plain(part) for part in what)
    if isinstance(what, list):
        return [plain(part) for part in what]
    if isinstance(what, BaseException):
        return type(what).__name__, plain(what.args)
    if isinstance(what, str):
        what = re.sub(r"0x[0-9a-f]+", "0x…", what)
        what = re.sub(r"\bTask-\d+\b", "Task-N", what)
        what = re.sub(r"\bcreated at \S+:\d+", "created at …", what)  # Ours names the caller, not asyncio's file.
        what = what.replace("<_ThreadSafeHandle ", "<Handle ")  # 3.14 has a class for them.
        what = re.sub(r"\b(_Selector)?SocketTransport\b", "SocketTransport", what)
        what = re.sub(r"\bwhen=[\d.]+", "when=…", what)
        return re.sub(r"<(_UnixSelectorEventLoop|EventLoop|rondeau\.\S*EventLoop)\b", "<Loop", what)
    return what


@pytest.fixture
def logged(nothing_left):
    """What asyncio's logger was told, as strings. Without this fixture, a test that logs anything fails."""
    nothing_left.log_is_wanted = True
    return nothing_left.log


class Log(logging.Handler):
    """Keeps strings only: a kept record would keep tracebacks, and with them tasks alive (hence -p no:logging)."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[str] = []
        self.log_is_wanted = False

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        ending = f"\n{type(error).__name__}: {error}" if error else ""
        self.log.append(plain(f"{record.levelname} {record.getMessage()}{ending}"))


@pytest.fixture(autouse=True)
def nothing_left(request) -> Iterator[Log]:
    """After the test: no descriptor, thread, task, future, handle or open loop that was not there before."""
    log = Log()
    logger = logging.getLogger("asyncio")
    logger.addHandler(log)
    logger.propagate, logger.level = False, logging.WARNING
    before = leaks.look()
    yield log
    logger.removeHandler(log)
    if not request.node.stash.get(FAILED, False):
        leaks.compare(before, leaks.look(wait=True))
        # How long a callback took by the clock, which debug mode tells, is the machine's.
        told = [text for text in log.log if not re.match(r"WARNING Executing .* took [\d.]+ seconds", text, re.DOTALL)]
        assert log.log_is_wanted or not told, told


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


def pytest_collection_finish(session):
    leaks.start()
