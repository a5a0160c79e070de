"""Both arms for every program in this folder: standard asyncio, which is the oracle, and Rondeau.

A test hands `compare` a coroutine function that plays both ends (or one end, against a server of `servers.py`) and
returns what it saw, as plain data without ports or addresses. It runs on a new loop of either kind; the two results must be
equal, and each run must have left no descriptor, thread, task, handle, transport or loop. The test then asserts what
the result is, so two loops that fail alike do not pass.

`command` is for hosts that own the process: the same command line, once as it is and once under `python -m rondeau run`.
"""

import asyncio
import os
import sys
import time
from collections import Counter
from importlib import metadata
from pathlib import Path

import pytest

import leaks
import rondeau
import servers

ARMS = {"asyncio": asyncio.SelectorEventLoop, "rondeau": rondeau.new_event_loop}
COMMANDS = {"asyncio": [sys.executable], "rondeau": [sys.executable, "-m", "rondeau", "run"]}

SECONDS = float(os.environ.get("ECOSYSTEM_SECONDS", 200))  # For one program; a machine may be very busy.


@pytest.fixture
def compare(request):
    """`compare(body, *arguments)`: what `await body(*arguments)` returned on both loops."""
    forgiven = request.node.get_closest_marker("leaves") is not None

    def compare(body, *arguments):
        results, left = {}, {}
        for name, factory in ARMS.items():
            before = leaks.look()
            try:
                with asyncio.Runner(loop_factory=factory) as runner:
                    assert isinstance(runner.get_loop(), rondeau.EventLoop) == (name == "rondeau")
                    results[name], tasks = runner.run(_finished(body, arguments))
            except BaseException as error:
                error.add_note(f"(on {name})")
                raise
            left[name] = _left(before) + tasks
        assert results["rondeau"] == results["asyncio"]
        extra = left["rondeau"] - left["asyncio"] if forgiven else left["rondeau"]
        assert not extra, f"left behind on Rondeau: {extra}; on asyncio: {left['asyncio']}"
        assert forgiven or not left["asyncio"], f"left behind on asyncio: {left['asyncio']}"
        return results["rondeau"]

    return compare


async def _finished(body, arguments):
    """The body's result, and the tasks that it left running: asyncio.Runner would cancel them in silence."""
    async with asyncio.timeout(SECONDS):
        result = await body(*arguments)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:  # On their way out, perhaps: closing takes turns of the loop.
        _, others = await asyncio.wait(others, timeout=10)
    return result, Counter(f"task {task.get_coro()!r}".split(" at 0x")[0] for task in others)


def _left(before):
    """What is new since `before`, in the end. A thread that was joined may hold its objects a moment longer."""
    deadline = time.monotonic() + 5
    while (found := _kinds(before, leaks.look(wait=True))) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def _kinds(before, after):
    """Kinds of what is new, counted; names that differ from run to run are cut off."""
    descriptors = [name for fd, name in after.descriptors.items() if before.descriptors.get(fd) != name]
    return Counter(
        [f"descriptor {name.partition(':')[0]}" for name in descriptors]
        + [f"thread {type(thread).__name__}" for thread in after.threads - before.threads]
        + [f"object {text.split(' at 0x')[0].split()[0]}" for text in after.objects]
    )


def pytest_collection_finish(session):
    leaks.start()


def pytest_report_header(config):
    lines = (Path(__file__).with_name("requirements.txt")).read_text().splitlines()
    names = [line.partition(">")[0].partition("[")[0] for line in lines if line and not line.startswith("#")]
    found = []
    for name in names:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"{name} MISSING")
    return "peers: " + ", ".join(found)


@pytest.fixture(scope="session")
def certificates():
    return servers.Certificates()


@pytest.fixture(scope="session")
def postgres(certificates):
    with servers.started(servers.postgres, certificates) as server:
        yield server


@pytest.fixture(scope="session")
def redis(certificates):
    with servers.started(servers.redis, certificates) as server:
        yield server


@pytest.fixture(params=COMMANDS)
def command(request):
    """The words before a program's own on the command line, for each arm: `[*command, "-m", "module"]`."""
    return COMMANDS[request.param]
